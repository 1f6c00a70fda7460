"""The guard of one account: watches, judges, latches, acts, permits.

Rules: everything is worked out from the venue's truth, never from the trader; the latch comes first; nothing that fails beside the venue
stops cancelling or closing; a defect in one round is told and the next round goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import msgspec

from kedge.domain.brake import BrakeLevel, Latch, Trigger
from kedge.domain.errors import KedgeError
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import GuardVenue
from kedge.risk.brake.levels import Wish
from kedge.risk.brake.view import GuardView
from kedge.services.guard.accounting import Accounting
from kedge.services.guard.acting import Hands
from kedge.services.guard.holder import Holder
from kedge.services.guard.judging import Judge
from kedge.services.guard.numbers import Colours, RiskNumbers
from kedge.services.guard.permitting import Permitter
from kedge.services.guard.ports import Alarm, JournalPort, LatchPort
from kedge.services.guard.reading import Truth
from kedge.services.guard.recorder import Recorder
from kedge.services.guard.records import (
    GuardStarted,
    GuardStopped,
)
from kedge.services.guard.release import ReleaseOrder
from kedge.services.guard.releasing import Releaser
from kedge.services.guard.settings import GuardSettings
from kedge.services.guard.status import GuardStatus, Heartbeat, PermitAnswer
from kedge.services.guard.telling import status_of
from kedge.services.guard.timeline import Timeline
from kedge.services.guard.waiting import Bell
from kedge.services.guard.watch import Watch

__all__ = ["Guard", "ReleaseOrder"]

_LOG: Final = logging.getLogger(__name__)

ACT_EVERY_S: Final = 0.05
IDLE_EVERY_S: Final = 0.25
SLOW_EVERY_S: Final = 1.0
CONNECT_AGAIN_S: Final = 1.0
CONNECT_WITHIN_S: Final = 20.0
FILE_EVERY_NS: Final = 5 * NS_PER_S
HIGH_WATER_EVERY_NS: Final = 60 * NS_PER_S
DEFECT_PAUSE_S: Final = 0.1


class Guard:
    """Watches one account and brakes it.

    Parameters
    ----------
    connect : callable
        Gives a venue that is not started; called again where starting it failed.
    latch, journal, alarm
        See `ports`.
    wall_ns, monotonic_ns : callables
        This machine's clocks; the second goes on while the machine is suspended, and otherwise at the pace of `asyncio` timers.
    version : str
        Of the program, for the record.
    colours : callable, optional
        Backtest colours of the VaR methods.
    """

    def __init__(
        self,
        connect: Callable[[], GuardVenue],
        latch: LatchPort,
        journal: JournalPort,
        settings: GuardSettings,
        *,
        alarm: Alarm,
        wall_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
        version: str = "",
        colours: Colours | None = None,
    ) -> None:
        self.settings, self._connect, self._journal = settings, connect, journal
        self._wall_ns, self._monotonic_ns, self._version = wall_ns, monotonic_ns, version
        self.started_wall_ns, self._started_ns = wall_ns(), monotonic_ns()
        self.recorder = Recorder(journal, alarm, wall_ns, monotonic_ns, settings.page_every_s)
        self.timeline = Timeline()
        self.truth = Truth(monotonic_ns, settings.read_within_s)
        self.accounting = Accounting(self.truth, self.recorder, self.timeline, wall_ns, monotonic_ns, lambda: self.holder.latch.generation)
        self.holder = Holder(latch, self.recorder, self.timeline, wall_ns, monotonic_ns, self._high_water_e8)
        numbers = RiskNumbers(settings.prior_sigma_e8, settings.history_days, colours)
        self.watch = Watch(settings, self.truth, self.accounting, numbers, self.recorder, wall_ns, monotonic_ns)
        self.hands = Hands(settings, self.truth, self.accounting, self.holder, self.recorder, self.timeline, wall_ns, monotonic_ns)
        self.judge = Judge(settings, self.truth, self.watch, self.holder, self.recorder, self.timeline, wall_ns, monotonic_ns)
        self.permitter = Permitter(settings, self.truth, self.watch, self.holder, self.recorder, wall_ns, monotonic_ns)
        self._releaser = Releaser(
            settings, journal, self.truth, self.watch, self.accounting, self.holder, self.hands, self.judge, self.recorder, self.timeline,
            wall_ns,
        )  # fmt: skip
        self.venue_trouble = "not connected yet"
        self._venue: GuardVenue | None = None
        self._stopping = asyncio.Event()
        self._act_now = Bell()
        self._file_ns = self._high_ns = -(1 << 62)
        self.holder.listeners.append(self._level_changed)
        self._level_changed()

    @property
    def view(self) -> GuardView | None:
        """What was judged last; None before the account was seen."""
        return self.judge.view

    # life ---------------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch until `stop`."""
        self.holder.write()
        latch = self.holder.latch
        self.recorder.write(
            GuardStarted(
                wall_ns=self._wall_ns(), account=self.settings.account, name=self.settings.name, level=latch.level,
                generation=latch.generation, version=self._version, settings=msgspec.json.encode(self.settings).decode(),
            )
        )  # fmt: skip
        if latch.level is not BrakeLevel.RUNNING:
            self.recorder.page("BRAKE", f"the guard began with the brake on: {latch.level}, {latch.trigger}, {latch.reason}")
        stopping = asyncio.create_task(self._stopping.wait())
        work = asyncio.create_task(self._work())
        try:
            await asyncio.wait({stopping, work}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stopping, work):
                task.cancel()
            await asyncio.gather(stopping, work, return_exceptions=True)
            await self.hands.close()
            await self.truth.close()
            await self.accounting.close()
            if self._venue is not None:
                with suppress(KedgeError):
                    await self._venue.close()
            self.recorder.write(
                GuardStopped(wall_ns=self._wall_ns(), reason=self.permitter.stopping or "cancelled", positions=len(self.truth.positions))
            )
        if not work.cancelled():  # it ends by itself only where the venue's client cannot even be made
            await work

    def stop(self, reason: str) -> None:
        """End `run` soon; positions and orders stay as they are, and no permit is granted any more."""
        self.permitter.stopping = self.permitter.stopping or reason
        self._stopping.set()

    async def _work(self) -> None:
        venue = await self._connected()
        self._venue = venue
        async with asyncio.TaskGroup() as group:
            group.create_task(self._for_ever(lambda: self._hear(venue)))
            group.create_task(self._for_ever(lambda: self._see(venue), self.judge.failed))
            group.create_task(self._for_ever(lambda: self._act(venue)))
            group.create_task(self._for_ever(lambda: self._slow(venue)))

    async def _connected(self) -> GuardVenue:
        """A venue that is started; tried until there is one."""
        while True:
            venue = self._connect()
            try:
                async with asyncio.timeout(CONNECT_WITHIN_S):
                    await venue.start()
            except (KedgeError, TimeoutError) as error:
                self.venue_trouble = error.what if isinstance(error, KedgeError) else f"not started within {CONNECT_WITHIN_S:g} s"
                self.recorder.page("VENUE", f"the guard cannot reach the venue: {self.venue_trouble}")
                with suppress(KedgeError):
                    await venue.close()
                self.judge.judge(self._monotonic_ns(), self.venue_trouble)
                await asyncio.sleep(CONNECT_AGAIN_S)
                continue
            except BaseException:  # told to end while it connects
                await venue.close()
                raise
            self.venue_trouble = ""
            return venue

    async def _for_ever(self, once: Callable[[], Awaitable[None]], failed: Callable[[str], None] = lambda _: None) -> None:
        """One round after the other, whatever happens in one; `failed` is told why one did."""
        while True:
            try:
                await once()
            except Exception as error:
                _LOG.exception("a round of the guard failed")
                self.recorder.page("DEFECT", f"a round of the guard failed and is tried again: {error}")
                failed(str(error)[:200])
                await asyncio.sleep(DEFECT_PAUSE_S)

    # rounds -------------------------------------------------------------------------------------------------------------

    async def _hear(self, venue: GuardVenue) -> None:
        self.watch.hear(await venue.news())

    async def _see(self, venue: GuardVenue) -> None:
        """Read, judge, and wait until it is time again, or until the private stream stirs on an account without risk."""
        begun_ns = self._monotonic_ns()
        self.watch.stirred.clear()
        was_whole = await self.watch.read(venue, self.holder.level)
        self.venue_trouble = self.truth.trouble
        if self.accounting.marks is None and self.truth.seen_ns is not None:
            await self._begin_books(venue)
        self.judge.judge(begun_ns, self.venue_trouble)
        self.hands.saw(venue, whole=was_whole)
        self.permitter.note()
        self.judge.note_seen()
        self._act_now.ring()
        took_s = (self._monotonic_ns() - begun_ns) / NS_PER_S
        await asyncio.sleep(max(0.0, min(self.settings.poll_risk_s, self.settings.poll_flat_s) - took_s))
        left_s = self.watch.period_s(self.holder.level) - (self._monotonic_ns() - begun_ns) / NS_PER_S
        if left_s > 0:
            await self.watch.stirred.wait(left_s)

    async def _act(self, venue: GuardVenue) -> None:
        self._act_now.clear()
        self.hands.step(venue, self.watch.silent_ns, self.watch.bare)
        await self._act_now.wait(IDLE_EVERY_S if self.holder.level is BrakeLevel.RUNNING else ACT_EVERY_S)

    async def _slow(self, venue: GuardVenue) -> None:
        now_ns = self._monotonic_ns()
        if now_ns - self._file_ns >= FILE_EVERY_NS or not self.holder.is_durable:
            self._file_ns = now_ns
            self.holder.check_file()
        if now_ns - self._high_ns >= HIGH_WATER_EVERY_NS and self.accounting.marks is not None:
            self._high_ns = now_ns
            self.holder.check_file()  # what others changed is found before it is written over
            self.holder.keep_high_water()
            self.accounting.keep()  # a day that turns while no guard runs begins with the equity that was known last
        self.recorder.flush()
        await self.watch.slow_round(venue)
        await asyncio.sleep(SLOW_EVERY_S)

    # what people and traders ask ----------------------------------------------------------------------------------------

    def engage(self, level: BrakeLevel, *, actor_id: str, reason: str, source: str, trigger: Trigger = Trigger.MANUAL) -> Latch:
        """Raise the brake; on return the latch is durable, or `status` says that it is not. A milder level changes nothing.

        Raises
        ------
        InvalidInput
            The level cannot be asked for, or reason or actor is empty.
        """
        self.judge.engage(Wish(level=level, trigger=trigger, reason=reason, actor_id=actor_id, source=source))
        return self.holder.latch

    def report(self, trigger: Trigger, reason: str, *, source: str) -> Latch:
        """A trader says that it must not go on: its journal or its model is not what it should be. HALTED."""
        self.judge.engage(Wish(level=BrakeLevel.HALTED, trigger=trigger, reason=reason, actor_id="trader", source=source, observed=reason))
        return self.holder.latch

    def permit(self, nonce: str, beat: Heartbeat | None = None) -> PermitAnswer:
        """Whether new risk is permitted now; `beat` is the trader's sign of life."""
        return self.permitter.answer(nonce, beat)

    async def release(self, order: ReleaseOrder) -> Latch:
        """Let go of the brake, if the venue read just now shows clean books and nothing is breached.

        Raises
        ------
        Conflict
            Why it is not released.
        RecordingFailed
            It could not be recorded; the brake stays on.
        """
        return await self._releaser.release(order, self._venue)

    def now_ns(self) -> int:
        """The guard's monotonic clock."""
        return self._monotonic_ns()

    def now_wall_ns(self) -> int:
        """The guard's wall clock."""
        return self._wall_ns()

    def status(self) -> GuardStatus:
        """The guard now."""
        return status_of(self)

    # within -------------------------------------------------------------------------------------------------------------

    async def _begin_books(self, venue: GuardVenue) -> None:
        try:
            begun = await self.accounting.begin(venue, self.holder.latch, self._journal.baseline())
        except KedgeError as error:
            self.venue_trouble = error.what
            self.recorder.page("BOOKS", f"the guard's books cannot begin: {error.what}")
            return
        if begun:
            await self.accounting.follow(venue, ask_ledger=True)
            self.accounting.keep()

    def _level_changed(self) -> None:
        self.permitter.note()
        self.hands.level_changed()
        self._act_now.ring()

    def _high_water_e8(self) -> int:
        return self.accounting.high_water_e8 or self.holder.latch.high_water_e8
