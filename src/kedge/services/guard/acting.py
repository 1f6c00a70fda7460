"""The guard's hands: what is done at each level, and when the account counts as flat.

Rules: nothing here waits for a read or for an answer; a silent trader's resting orders go, whatever the level; at HALTED a position stays
only while a stop protects it; flat is declared from what the venue shows, and what appears afterwards is taken away again and called about.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from kedge.domain.brake import SEVERITY, BrakeLevel
from kedge.domain.instrument import InstrumentId
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import CancelKind, GuardVenue
from kedge.risk.brake.flatness import DeadMan, FlatClock
from kedge.services.guard.accounting import Accounting
from kedge.services.guard.cancelling import Canceller
from kedge.services.guard.closing import Closer
from kedge.services.guard.holder import Holder
from kedge.services.guard.reading import Truth
from kedge.services.guard.recorder import Recorder
from kedge.services.guard.records import DeadMan as DeadManRecord
from kedge.services.guard.records import Disturbed, Flat
from kedge.services.guard.settings import GuardSettings
from kedge.services.guard.timeline import Timeline


class Hands:
    """Acts on one account."""

    def __init__(
        self,
        settings: GuardSettings,
        truth: Truth,
        accounting: Accounting,
        holder: Holder,
        recorder: Recorder,
        timeline: Timeline,
        wall_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
    ) -> None:
        self._settings, self._truth, self._accounting, self._holder = settings, truth, accounting, holder
        self._recorder, self._timeline, self._wall_ns, self._monotonic_ns = recorder, timeline, wall_ns, monotonic_ns
        self.canceller = Canceller(truth, holder, recorder, timeline, wall_ns, monotonic_ns)
        self.closer = Closer(
            settings.account, settings.closing, settings.recv_window_s, truth, recorder, timeline, wall_ns, monotonic_ns
        )  # fmt: skip
        self._dead_man = DeadMan(settings.triggers.heartbeat_cancel_s)
        self._flat: FlatClock | None = None
        self._swept_every = self._claimed = False
        self._quiet = False

    def level_changed(self) -> None:
        """The latch is another one."""
        level = self._holder.level
        self.canceller.begin()
        self._quiet = False
        if not self._is_closing(level):
            self._flat = None
            self.closer.leave()
            return
        self.closer.begin(self._holder.latch.generation)
        if self._flat is None:
            self._swept_every = False
            quiet_ns, zero_ns = round(self._settings.quiet_s * NS_PER_S), round(self._settings.zero_s * NS_PER_S)
            self._flat = FlatClock(self._holder.latched_ns, quiet_ns, zero_ns)

    @property
    def is_flat(self) -> bool:
        """Whether the account was closed and has shown nothing since."""
        return self._flat is not None and self._flat.is_flat

    def step(self, venue: GuardVenue, silent_ns: int, bare: Collection[InstrumentId] = ()) -> None:
        """Send what is due now; `silent_ns` is how long the trader was not heard, `bare` what has stood without a stop for too long."""
        level = self._holder.level
        self._claim(venue, level)
        if SEVERITY[level] < SEVERITY[BrakeLevel.HALTED]:
            self._see_to_the_silent(venue, silent_ns)
        if level is not BrakeLevel.RUNNING:
            self.canceller.step(venue)
        if self._is_closing(level):
            self.closer.step(venue)
        elif level is BrakeLevel.HALTED:
            self._close_bare(venue, bare)

    def saw(self, venue: GuardVenue, *, whole: bool) -> None:
        """Something was read; `whole` where positions and orders were, in one round."""
        level, truth, now_ns = self._holder.level, self._truth, self._monotonic_ns()
        if SEVERITY[level] < SEVERITY[BrakeLevel.HALTED]:
            return
        self._mark(now_ns)
        if not self._is_closing(level) or self._flat is None or truth.positions_ns is None or truth.orders_ns is None:
            return
        if not whole and not truth.positions and not truth.orders:
            return  # that there is nothing counts only where all was looked at
        begun_ns = min(truth.positions_ns, truth.orders_ns)
        if not truth.positions and not truth.resting and (truth.orders or not self._swept_every):
            self._swept_every = self.canceller.sweep(venue, CancelKind.EVERY) or self._swept_every
        was_flat = self._flat.is_flat
        is_flat = self._flat.saw(begun_ns, len(truth.orders) + self.closer.pending, len(truth.positions))
        if is_flat and not was_flat and level is BrakeLevel.FLATTENING:
            self._declare_flat(now_ns)
        elif was_flat and not is_flat:
            self._swept_every = False
            self._disturbed("the account was flat")

    async def close(self) -> None:
        """Leave what is under way."""
        await self.canceller.close()
        await self.closer.close()

    # within -------------------------------------------------------------------------------------------------------------

    def _is_closing(self, level: BrakeLevel) -> bool:
        return SEVERITY[level] >= SEVERITY[BrakeLevel.FLATTENING]

    def _claim(self, venue: GuardVenue, level: BrakeLevel) -> None:
        """Take the venue's whole limits once nobody else can hold a permit any more; give them back after the release."""
        is_halted = SEVERITY[level] >= SEVERITY[BrakeLevel.HALTED]
        wanted = is_halted and self._monotonic_ns() - self._holder.latched_ns >= round(self._settings.whole_room_s * NS_PER_S)
        if wanted != self._claimed and (wanted or not is_halted):
            venue.claim_room(whole=wanted)
            self._claimed = wanted

    def _close_bare(self, venue: GuardVenue, bare: Collection[InstrumentId]) -> None:
        """Close what has no stop, and nothing else: the trader may not any more, and one whose price is passed cannot be put back."""
        for name in bare:
            words = f"{name} has stood without a working stop for {self._settings.triggers.stop_missing_s} s while the brake is halted"
            self._recorder.page(f"BARE {name}", f"{words}: the guard closes this position, and no other")
        if bare:
            self.closer.begin(self._holder.latch.generation)
        self.closer.step(venue, bare)

    def _see_to_the_silent(self, venue: GuardVenue, silent_ns: int) -> None:
        adding = self._truth.adding
        if not self._dead_man.is_due(self._monotonic_ns(), silent_ns, len(adding)):
            return
        self._recorder.write(DeadManRecord(wall_ns=self._wall_ns(), silent_ns=silent_ns, orders=len(adding)))
        self._recorder.page("DEAD_MAN", f"the trader was not heard for {silent_ns / 1e9:.0f} s: {len(adding)} of its orders are cancelled")
        self.canceller.cancel_adding(venue)

    def _mark(self, now_ns: int) -> None:
        truth, sent_ns = self._truth, self.canceller.all_sent_ns
        looked = sent_ns is not None and truth.orders_ns is not None and truth.orders_ns > sent_ns
        is_quiet = looked and not truth.resting and not [order for order in truth.adding if order.is_conditional]
        if is_quiet:
            self._timeline.mark("cancels", now_ns)
            self._timeline.mark("orders_zero", now_ns)
            if not truth.positions:
                self._timeline.mark("positions_zero", now_ns)
            self._quiet = True
        elif self._quiet and truth.adding:
            self._quiet = False
            self._disturbed("orders came after all were gone")

    def _disturbed(self, words: str) -> None:
        truth = self._truth
        self._timeline.unmark("orders_zero")
        self._timeline.unmark("positions_zero")
        self._recorder.page(
            "DISTURBED", f"{words}: {len(truth.adding)} orders, {len(truth.positions)} positions; they are taken away again"
        )
        self._recorder.write(
            Disturbed(
                wall_ns=self._wall_ns(), level=self._holder.level, orders=len(truth.adding), positions=len(truth.positions), words=words
            )
        )  # fmt: skip

    def _declare_flat(self, now_ns: int) -> None:
        generation, timeline = self._holder.latch.generation, self._timeline
        timeline.mark("flat", now_ns)
        equity_e8 = self._truth.equity_e8() or 0
        began_e8 = timeline.equity_e8
        lost_e8 = None if began_e8 is None else began_e8 + timeline.flows_e8 - equity_e8
        times = timeline.times()
        self._holder.declare_flat()
        self._recorder.write(
            Flat(
                wall_ns=self._wall_ns(), generation=generation, latched_ns=times.latched_ns, permits_stopped_ns=times.permits_stopped_ns,
                first_cancel_ns=times.first_cancel_ns, cancels_ns=times.cancels_ns, orders_zero_ns=times.orders_zero_ns,
                positions_zero_ns=times.positions_zero_ns, flat_ns=times.flat_ns, slices=timeline.slices, equity_breach_e8=began_e8,
                equity_flat_e8=equity_e8, loss_e8=lost_e8,
            )
        )  # fmt: skip
        lost = "" if lost_e8 is None else f", {lost_e8 / 1e8:.2f} lost since the breach"
        self._recorder.page("FLAT", f"positions and orders are zero after {timeline.slices} orders{lost}")
