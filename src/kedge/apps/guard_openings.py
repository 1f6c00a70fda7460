"""What the guard's door opens to: the guard's own calls, with what its process knows beside them.

Rules: no permit while the journal takes no records or the process was told to end; a release is checked here, offline, before the guard
looks at the account; an answer to a release that got lost is given again and changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final

import msgspec

from kedge.apps.guard_http import Doors
from kedge.domain.brake import BrakeLevel, Latch, Trigger
from kedge.domain.errors import KedgeError, RecordingFailed
from kedge.ops import guard_files
from kedge.ops.config import Config
from kedge.ops.elapsed_clock import elapsed_ns
from kedge.ops.logs import fields
from kedge.ops.state_folder import keys_folder
from kedge.services.guard.guard import Guard
from kedge.services.guard.status import GuardStatus, Heartbeat, PermitAnswer
from kedge.services.guard_clocks import WallWatch
from kedge.services.guard_record import KeptRecords
from kedge.storage.guard_journal import read_page
from kedge.storage.keys import PUBLIC_FILE, PublicKey

LEAVES: Final = "the guard was told to end"


class Openings:
    """What people and traders can ask of one guard.

    Attributes
    ----------
    leaves : str
        Why the guard gives no more permits though it still watches; empty while it does.
    """

    def __init__(self, guard: Guard, records: KeptRecords, settings: Config, logger: logging.Logger) -> None:
        self._guard, self._records, self._log = guard, records, logger
        self._folder, self._account = settings.state_folder, settings.settings.account
        self._solo_is_declared = bool(settings.settings.governance.solo_reason)
        self._clocks = WallWatch(time.time_ns, elapsed_ns)
        self.leaves = ""
        self._pin_server_key()

    def doors(self) -> Doors:
        """For the door."""
        return Doors(self.permit, self.engage, self.release, self.status, self.history, self.report)

    def permit(self, nonce: str, beat: Heartbeat | None) -> PermitAnswer:
        """Whether new risk is permitted now."""
        said, why = self._guard.permit(nonce, beat), self._against()
        return msgspec.structs.replace(said, granted=False, why=said.why or why) if why else said

    def engage(self, level: BrakeLevel, actor_id: str, reason: str, source: str) -> tuple[Latch, bool]:
        """Raise the brake; the latch, and whether it is on the disk."""
        latch = self._guard.engage(level, actor_id=actor_id, reason=reason, source=source)
        return latch, self._guard.status().latch_is_durable

    def report(self, trigger: Trigger, reason: str) -> Latch:
        """A trader says that it must not go on."""
        latch = self._guard.report(trigger, reason, source="trader")
        self._log.warning("brake engaged by the trader's report", extra=fields(event="brake", trigger=str(trigger), reason=reason))
        return latch

    async def release(self, record: str) -> Latch:
        """Let go, if the record is what two people signed and the account is as it must be.

        Raises
        ------
        KedgeError
            Why not.
        """
        from kedge.services.guard_release import read_release

        self.look_at_clocks()
        order = await asyncio.to_thread(
            lambda: read_release(
                record,
                self._server_key(),
                account=self._account,
                solo_is_declared=self._solo_is_declared,
                now_wall_ns=time.time_ns(),
                known_from_wall_ns=self._clocks.known_from_wall_ns,
            )
        )
        now = self._guard.status().latch
        if now.level is BrakeLevel.RUNNING and now.release_id == order.approval_id:
            return now  # its answer got lost
        if self._records.problem:
            raise RecordingFailed("a release that cannot be recorded is none", why=self._records.problem, fix="mend the guard's journal")
        latch = await self._guard.release(order)
        self._log.warning("brake released", extra=fields(event="brake", approval_id=order.approval_id, generation=latch.generation))
        return latch

    def look_at_clocks(self) -> None:
        """See whether the wall clock was set, by which approvals age; to be called about every second."""
        if by_ns := self._clocks.look():
            words = "the wall clock was set: releases that were asked for before are refused"
            self._log.warning(words, extra=fields(event="clock_set", by_s=by_ns / 1e9))

    async def history(self, limit: int, before: int | None) -> dict[str, Any]:
        """A page of the guard's records, newest first."""
        page = await asyncio.to_thread(read_page, self._records.path, limit, before)
        return {"records": [one._asdict() for one in page.records], "before": page.before_seq}

    def status(self) -> GuardStatus:
        """The guard now, with what speaks against permits here."""
        said = self._guard.status()
        return msgspec.structs.replace(said, permits=said.permits or self._against(), journal=said.journal or self._records.problem)

    def _against(self) -> str:
        return self.leaves or (f"the guard's journal: {self._records.problem}" if self._records.problem else "")

    def _pin_server_key(self) -> None:
        """Pin the key that lies here when the guard begins: one that is put in its place later is another one."""
        try:
            self._server_key()
        except KedgeError as error:
            self._log.warning("the server's key: %s", error)

    def _server_key(self) -> PublicKey:
        """The server's key, as it was seen first."""
        try:
            offered: str | None = (keys_folder(self._folder) / PUBLIC_FILE).read_text(encoding="utf-8")
        except OSError:
            offered = None
        return PublicKey.from_text(guard_files.pinned_server_key(self._folder, offered))
