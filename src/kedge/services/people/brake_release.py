"""What using an approval to release the brake carries out: the signed record goes to the guard, which decides by itself.

Rules: the guard, not this server, lets go: it checks signatures, people and books on its own; the approval counts as used only when the
guard has let go, and asking again after an answer that got lost changes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kedge.domain.brake import BrakeLevel
from kedge.domain.errors import Conflict, IntegrityError, NotFound
from kedge.governance.approval_record import Approval
from kedge.governance.brake_release import BrakeRelease, brake_release
from kedge.ops.guard_files import read_status
from kedge.services import guard_door
from kedge.services.people.shared import Doing
from kedge.storage.people_rows import ApprovalRow
from kedge.storage.people_store import Tx


class ReleaseBrake:
    """Releases the brake of this state folder's account."""

    def __init__(self, state_folder: Path) -> None:
        self._state_folder = state_folder

    def check(self, tx: Tx, approval: Approval) -> None:
        """Refuse a request that the guard would refuse as the brake is now.

        Raises
        ------
        InvalidInput
            The payload is none of a release.
        Conflict
            No guard runs, the brake is not on, or it is another generation or account.
        """
        asked = brake_release(approval.content())
        now = datetime.fromtimestamp(approval.requester.at_wall_ns / 1e9, UTC)
        try:
            latch: dict[str, Any] = read_status(self._state_folder, now)["latch"]
        except (NotFound, IntegrityError, KeyError) as error:
            raise Conflict(
                "nobody knows where the brake is", why=f"the guard left no word: {error}", fix="kedge guard, or kedge up; then ask again"
            ) from None
        _require_same(asked, latch)

    def carry_out(self, doing: Doing, approval: Approval) -> dict[str, str]:
        """Have the guard let go.

        Raises
        ------
        Conflict, Forbidden, InvalidInput, VenueUnavailable
            It does not, in its own words, or does not answer.
        """
        row = doing.tx.get(ApprovalRow, approval.approval_id)
        assert row is not None  # it is being used in this transaction
        latch = guard_door.release(self._state_folder, row.body)["latch"]
        return {"generation": str(latch["generation"]), "level": str(latch["level"])}


def _require_same(asked: BrakeRelease, latch: dict[str, Any]) -> None:
    if latch.get("level") == BrakeLevel.RUNNING:
        raise Conflict("the brake is not on", why="there is nothing to release", fix="kedge brake status")
    if latch.get("account") != asked.account:
        raise Conflict(
            f"the release is of account {asked.account!r}",
            why=f"the guard here watches {latch.get('account')!r}",
            fix="kedge brake release",
        )
    if latch.get("generation") != asked.generation:
        raise Conflict(
            f"the release is of generation {asked.generation}",
            why=f"the brake has generation {latch.get('generation')} now: it was engaged or raised since it was looked at",
            fix="look at it again, then: kedge brake release",
        )
