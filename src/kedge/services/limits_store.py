"""The limits of an account as files: `<state>/limits/<account>/000001.json` and so on, one for each change.

Rules: a document is durable and whole when its call returns, and never changed afterwards; two changes at once give one document and one
conflict. Anyone who may do so tightens alone, at once; loosening takes an approval, and so does a change that does both. The trader reads
the folder, so that it is told of every change once, by number, whoever dies when. What the guard would act on before the trader refuses it
is never let in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from kedge.domain.canonical import encode
from kedge.domain.errors import Conflict, Forbidden, IntegrityError, InvalidInput, NotFound, RecordingFailed
from kedge.risk.brake.triggers import TriggerLimits
from kedge.risk.limits import Limits
from kedge.risk.limits_document import LimitsDocument, check_document
from kedge.risk.limits_fields import OWNER, changed, differences
from kedge.risk.limits_table import check_limits
from kedge.services.whole_files import put_new, put_over

FOLDER: Final = "limits"
TRIGGERS_NAME: Final = "triggers.json"
NO_GUARD: Final = TriggerLimits(
    drawdown_halt_e8=0, drawdown_flatten_e8=0, var99_flatten_e8=0, day_loss_halt_e8=0, day_loss_flatten_e8=0, gross_leverage_reduce_e8=0,
    position_notional_reduce_e8=0, margin_ratio_flatten_e8=0, liquidation_flatten_e8=0,
)  # fmt: skip
"""Triggers where no guard runs: every one is off."""
DIGITS: Final = 6
REASON_CHARS_MAX: Final = 500
FROM_CONFIGURATION: Final = "the configuration"


class LimitsStore:
    """The documents of one account.

    Parameters
    ----------
    state : Path
        The state folder.
    wall_ns : callable
        Says when a document is made.
    """

    def __init__(self, state: Path, account: str, *, wall_ns: Callable[[], int]) -> None:
        self.folder = Path(state) / FOLDER / account
        self.account, self._wall_ns = account, wall_ns

    # reading -----------------------------------------------------------------------------------------------

    def newest_number(self) -> int:
        """How many documents there are; 0 for none. Costs a listing of the folder."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return 0
        return max((int(name[:DIGITS]) for name in names if _is_document(name)), default=0)

    def newest(self) -> LimitsDocument | None:
        """The document in force; None before the first one.

        Raises
        ------
        IntegrityError
            It is damaged, was changed, or does not follow the one before it: nothing may be traded by it.
        """
        number = self.newest_number()
        return self.get(number) if number else None

    def get(self, number: int) -> LimitsDocument:
        """One document, checked against the one before it.

        Raises
        ------
        NotFound, IntegrityError
        """
        document = self._read(number)
        check_document(document, self._read(number - 1) if number > 1 else None)
        return document

    def history(self) -> list[LimitsDocument]:
        """Every document, newest first, each checked."""
        return [self.get(number) for number in range(self.newest_number(), 0, -1)]

    # changing ----------------------------------------------------------------------------------------------

    def begin(self, configured: Limits, triggers: TriggerLimits | None, actor: str) -> LimitsDocument:
        """The document that a trader starts with: the newest, with what the configuration has changed since, or the first.

        `triggers` are those of the guard that permits this trader; None where no guard runs, so that none acts before the limits do.

        Raises
        ------
        Forbidden
            The configuration asks for more than the document in force allows.
        InvalidConfig
            A hard limit reaches the guard's brake.
        """
        if triggers is None:
            triggers = NO_GUARD
        check_limits(configured, triggers)
        self._write_triggers(triggers)
        newest = self.newest()
        if newest is None:
            return self._add(None, configured, configured, actor=actor, reason=f"first of the account, from {FROM_CONFIGURATION}")
        before, present = Limits.from_plain(newest.configured), newest.typed()
        check_limits(present, triggers)
        moved = {change.name: change.after for change in differences(before, configured)}
        if not moved:
            return newest
        wanted = changed(present, moved)
        self._refuse_loosening(present, wanted, f"{FROM_CONFIGURATION} was changed")
        return self._add(newest, wanted, configured, actor=actor, reason=f"{FROM_CONFIGURATION} is tighter now")

    def tighten(self, changes: Mapping[str, str], *, actor: str, reason: str, base_version: str = "") -> LimitsDocument:
        """Make limits tighter, at once; by name and value as people write them, see `risk.limits_fields`.

        Raises
        ------
        Forbidden
            Some of it loosens: that takes an approval of the kind limit-loosen.
        Conflict
            The document in force is another one than `base_version`, or there is none yet.
        InvalidInput, InvalidConfig
            A name or value that is none, or nothing changes.
        """
        newest = self._newest_of(base_version)
        wanted = self._wanted(newest, changes)
        self._refuse_loosening(newest.typed(), wanted, "what was asked for")
        return self._add(newest, wanted, Limits.from_plain(newest.configured), actor=actor, reason=reason)

    def check_loosening(self, changes: Mapping[str, str], base_version: str) -> Limits:
        """The limits that a loosening would give; raises where it could not be carried out as things are."""
        return self._wanted(self._newest_of(base_version), changes)

    def loosen(
        self, changes: Mapping[str, str], *, base_version: str, actor: str, approver: str, approval_id: str, reason: str
    ) -> LimitsDocument:
        """Carry out an approved change, once: carried out before, it is the document that it gave then.

        Raises
        ------
        Conflict
            The document in force is not the one that the approval was given for.
        """
        newest = self.newest()
        if newest is not None and newest.approval_id == approval_id:
            return newest
        newest = self._newest_of(base_version)
        wanted = self._wanted(newest, changes)
        told = Limits.from_plain(newest.configured)
        return self._add(newest, wanted, told, actor=actor, reason=reason, approver=approver, approval_id=approval_id)

    # within ------------------------------------------------------------------------------------------------

    def _newest_of(self, base_version: str) -> LimitsDocument:
        newest = self.newest()
        if newest is None:
            raise Conflict(f"account {self.account} has no limits yet", why="its trader has never started", fix="start the trader first")
        if base_version and newest.version != base_version:
            raise Conflict(
                f"limits {base_version} are not in force",
                why=f"number {newest.number}, {newest.version}, is",
                fix="look at it and ask again",
            )
        return newest

    def _wanted(self, newest: LimitsDocument, changes: Mapping[str, str]) -> Limits:
        present = newest.typed()
        wanted = changed(present, changes)
        if wanted == present:
            raise InvalidInput("nothing changes", why=f"limits {newest.version} say so already", fix="name another value")
        check_limits(wanted, self._triggers())
        return wanted

    def _refuse_loosening(self, present: Limits, wanted: Limits, what: str) -> None:
        looser = [change for change in differences(present, wanted) if change.loosens]
        if looser:
            told = ", ".join(f"{change.name} from {change.before or 'none'} to {change.after or 'none'}" for change in looser)
            raise Forbidden(
                f"{what}: {told}",
                why="loosening a limit takes two people",
                fix=f"kedge approval request limit-loosen for account {self.account}, version {present.version}; or take that back",
            )

    def _add(
        self,
        before: LimitsDocument | None,
        limits: Limits,
        configured: Limits,
        *,
        actor: str,
        reason: str,
        approver: str = "",
        approval_id: str = "",
    ) -> LimitsDocument:
        if not actor.strip() or not reason.strip() or len(reason) > REASON_CHARS_MAX:
            raise InvalidInput(
                f"reason is {reason[:40]!r}", why=f"who and why are wanted, 1 to {REASON_CHARS_MAX} characters", fix="say why"
            )
        document = LimitsDocument(
            account=self.account,
            number=1 if before is None else before.number + 1,
            version=limits.version,
            owner=OWNER,
            reason=reason,
            actor=actor,
            made_wall_ns=self._wall_ns(),
            supersedes="" if before is None else before.version,
            limits=limits.plain(),
            configured=configured.plain(),
            approver=approver,
            approval_id=approval_id,
        )
        body = encode(document)
        self._publish(self._path(document.number), body)
        return msgspec.json.decode(body, type=LimitsDocument)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:0{DIGITS}d}.json"

    def _read(self, number: int) -> LimitsDocument:
        path = self._path(number)
        try:
            document = msgspec.json.decode(path.read_bytes(), type=LimitsDocument)
        except FileNotFoundError:
            raise NotFound(f"limits document {number} of {self.account}", why="there is none", fix=f"see {self.folder}") from None
        except (OSError, msgspec.DecodeError) as error:
            raise IntegrityError(f"{path} cannot be read", why=str(error), fix="restore it from a backup; nothing trades without") from None
        if (document.account, document.number) != (self.account, number):
            raise IntegrityError(f"{path} is of {document.account}, {document.number}", why="it was moved here", fix="restore the folder")
        return document

    def _triggers(self) -> TriggerLimits:
        """What the guard acts on, as the trader of this account was configured last."""
        try:
            return msgspec.json.decode((self.folder / TRIGGERS_NAME).read_bytes(), type=TriggerLimits)
        except (OSError, msgspec.DecodeError):
            return TriggerLimits()

    def _write_triggers(self, triggers: TriggerLimits) -> None:
        try:
            if not (self.folder / TRIGGERS_NAME).exists() or self._triggers() != triggers:
                put_over(self.folder / TRIGGERS_NAME, encode(triggers))
        except OSError as error:
            raise self._failed(error) from None

    def _publish(self, path: Path, body: bytes) -> None:
        try:
            put_new(path, body)
        except FileExistsError:
            raise Conflict(f"limits document {path.stem} exists", why="somebody else was faster", fix="look at it and ask again") from None
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: Exception) -> RecordingFailed:
        return RecordingFailed(f"cannot write limits in {self.folder}", why=str(error), fix="free disk space or mend the folder")


def _is_document(name: str) -> bool:
    return len(name) == DIGITS + len(".json") and name.endswith(".json") and name[:DIGITS].isdigit()
