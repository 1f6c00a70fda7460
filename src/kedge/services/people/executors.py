"""What using an approval carries out, by kind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kedge.governance.approval_kinds import ApprovalKind, role_grant
from kedge.governance.approval_record import Approval
from kedge.services.people.brake_release import ReleaseBrake
from kedge.services.people.limit_changes import GrantOverride, LoosenLimits
from kedge.services.people.shared import Doing
from kedge.storage.people_store import Tx

if TYPE_CHECKING:
    from kedge.services.people.accounts import Accounts


class Executor(Protocol):
    """What using an approval of one kind carries out."""

    def check(self, tx: Tx, approval: Approval) -> None:
        """Refuse a request that could not be carried out as things are."""
        ...

    def carry_out(self, doing: Doing, approval: Approval) -> dict[str, str]:
        """Carry it out inside the transaction that uses it up; what this returns stands in the act."""
        ...


class GrantRoles:
    """Gives a person roles that take two people."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def check(self, tx: Tx, approval: Approval) -> None:
        self._accounts.grantee(tx, role_grant(approval.content()).person_id, asked_wall_ns=approval.requester.at_wall_ns)

    def carry_out(self, doing: Doing, approval: Approval) -> dict[str, str]:
        grant = role_grant(approval.content())
        grantee = self._accounts.grantee(doing.tx, grant.person_id, asked_wall_ns=approval.requester.at_wall_ns)
        person = self._accounts.grant(doing.tx, grantee, grant.roles, version=grant.version)
        return {"person_id": person.person_id, "roles": " ".join(person.roles)}


def executors(accounts: Accounts, state_folder: Path) -> dict[str, Executor]:
    """Every kind that the server itself carries out, or has the guard of its state folder carry out."""
    return {
        ApprovalKind.ROLE_GRANT.value: GrantRoles(accounts),
        ApprovalKind.BRAKE_RELEASE.value: ReleaseBrake(state_folder),
        ApprovalKind.LIMIT_LOOSEN.value: LoosenLimits(state_folder),
        ApprovalKind.ORDER_OVERRIDE.value: GrantOverride(state_folder),
    }
