"""What using approvals about limits carries out: a looser document, or leave for one order to pass.

Rules: files carry both to the trader, each once: a document by its number, an override by its approval. They are written before the
approval counts as used; carried out again after a death in between, they are what they were.
"""

from __future__ import annotations

import time
from pathlib import Path

from kedge.domain.errors import Conflict, InvalidInput
from kedge.governance.approval_record import Approval
from kedge.governance.limit_payloads import limit_loosen, order_override
from kedge.risk.limits_document import OverrideGrant
from kedge.services.limits_store import LimitsStore
from kedge.services.overrides import OverrideFiles
from kedge.services.people.shared import Doing
from kedge.storage.people_store import Tx

NS_PER_S = 1_000_000_000


class LoosenLimits:
    """Makes a looser document of limits."""

    def __init__(self, state_folder: Path) -> None:
        self._state_folder = state_folder

    def check(self, tx: Tx, approval: Approval) -> None:
        """Refuse a request that could not be carried out as things are: another document is in force, or the guard would act on it."""
        asked = limit_loosen(approval.content())
        self._store(asked.account).check_loosening(asked.changes, asked.base_version)

    def carry_out(self, doing: Doing, approval: Approval) -> dict[str, str]:
        """Make the document; the trader takes it within a second."""
        asked = limit_loosen(approval.content())
        document = self._store(asked.account, doing.now_wall_ns).loosen(
            asked.changes,
            base_version=asked.base_version,
            actor=approval.requester.person_id,
            approver=_approver(approval),
            approval_id=approval.approval_id,
            reason=asked.reason,
        )
        return {"account": asked.account, "number": str(document.number), "version": document.version}

    def _store(self, account: str, now_wall_ns: int | None = None) -> LimitsStore:
        return LimitsStore(self._state_folder, known_account(account), wall_ns=time.time_ns if now_wall_ns is None else lambda: now_wall_ns)


class GrantOverride:
    """Lets one order pass limits that would refuse it."""

    def __init__(self, state_folder: Path) -> None:
        self._state_folder = state_folder

    def check(self, tx: Tx, approval: Approval) -> None:
        """Refuse one for an account that has no trader here."""
        asked = order_override(approval.content())
        if LimitsStore(self._state_folder, known_account(asked.account), wall_ns=time.time_ns).newest() is None:
            raise Conflict(f"account {asked.account} has no limits yet", why="its trader has never started", fix="start the trader first")

    def carry_out(self, doing: Doing, approval: Approval) -> dict[str, str]:
        """Leave it for the trader; it is void after `valid_s`, or after one order."""
        asked = order_override(approval.content())
        approver = _approver(approval)
        if approver == approval.requester.person_id:
            raise Conflict("an override takes two persons", why="one person stood in for both", fix="wait for a second person")
        grant = OverrideGrant(
            approval_id=approval.approval_id,
            account=asked.account,
            instrument=asked.instrument,
            side=asked.side,
            qty=asked.qty,
            rules=asked.rules,
            made_wall_ns=doing.now_wall_ns,
            expires_wall_ns=doing.now_wall_ns + asked.valid_s * NS_PER_S,
            requester=approval.requester.person_id,
            approver=approver,
            reason=asked.reason,
        )
        OverrideFiles(self._state_folder, known_account(asked.account)).put(grant)
        return {"account": asked.account, "instrument": asked.instrument, "rules": " ".join(asked.rules)}


def known_account(account: str) -> str:
    """An alias that can name a folder."""
    if not account or not all(character.isalnum() or character in "_.-" for character in account) or account.startswith("."):
        raise InvalidInput(f"account {account[:40]!r}", why="no alias of an account looks like this", fix="kedge config show names it")
    return account


def _approver(approval: Approval) -> str:
    step = approval.approver
    return "" if step is None else step.person_id
