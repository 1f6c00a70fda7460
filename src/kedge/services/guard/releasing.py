"""Carries a release out: reads the venue anew, checks, writes it down, and lets go."""

from __future__ import annotations

from collections.abc import Callable

from kedge.domain.brake import Latch
from kedge.domain.venue import GuardVenue
from kedge.risk.brake.levels import released
from kedge.services.guard.accounting import Accounting
from kedge.services.guard.acting import Hands
from kedge.services.guard.holder import Holder
from kedge.services.guard.judging import Judge
from kedge.services.guard.ports import JournalPort
from kedge.services.guard.reading import Truth
from kedge.services.guard.recorder import Recorder
from kedge.services.guard.records import Released, ReleaseRefused
from kedge.services.guard.release import RESET, ReleaseOrder, refusal, refusals_of_account, refusals_of_latch
from kedge.services.guard.settings import GuardSettings
from kedge.services.guard.timeline import Timeline
from kedge.services.guard.watch import Watch


class Releaser:
    """Lets go of one account's brake."""

    def __init__(
        self,
        settings: GuardSettings,
        journal: JournalPort,
        truth: Truth,
        watch: Watch,
        accounting: Accounting,
        holder: Holder,
        hands: Hands,
        judge: Judge,
        recorder: Recorder,
        timeline: Timeline,
        wall_ns: Callable[[], int],
    ) -> None:
        self._settings, self._journal, self._truth, self._watch, self._accounting = settings, journal, truth, watch, accounting
        self._holder, self._hands, self._judge, self._recorder, self._timeline = holder, hands, judge, recorder, timeline
        self._wall_ns = wall_ns

    async def release(self, order: ReleaseOrder, venue: GuardVenue | None) -> Latch:
        """Let go, or say why not; see `Guard.release`."""
        whys = refusals_of_latch(order, self._holder.latch)
        if not whys and self._journal.was_used(order.approval_id):
            whys = [f"approval {order.approval_id} was used before"]
        if not whys:  # the latch is looked at again: reading takes its time
            whys = await self._refusals_now(order, venue) or refusals_of_latch(order, self._holder.latch)
        if whys:
            self._recorder.write(ReleaseRefused(wall_ns=self._wall_ns(), approval_id=order.approval_id, why="; ".join(whys)))
            raise refusal(whys)
        return self._let_go(order)

    async def _refusals_now(self, order: ReleaseOrder, venue: GuardVenue | None) -> list[str]:
        """What of the account, read now, forbids it."""
        if venue is None or not self._watch.has_begun:
            return ["the account was not seen yet"]
        if not await self._watch.read(venue, self._holder.level, whole=True) or self._truth.trouble:
            return [f"the venue cannot be read: {self._truth.trouble}"]
        view = self._watch.view()
        if view is None:
            return ["the account cannot be seen whole"]
        orders, pending = len(self._truth.orders), self._hands.closer.pending
        return refusals_of_account(order, self._holder.latch, view, self._settings.triggers, orders, pending)

    def _let_go(self, order: ReleaseOrder) -> Latch:
        before = self._holder.latch
        self._journal.append(
            Released(
                wall_ns=self._wall_ns(), approval_id=order.approval_id, generation=before.generation, from_level=before.level,
                reason=order.reason, root_cause=order.root_cause, high_water=order.high_water, actors=order.actors, solo=order.solo,
            )
        )  # fmt: skip
        reset_e8 = self._truth.equity_e8() if order.high_water == RESET else None
        high_e8 = (self._accounting.high_water_e8 or before.high_water_e8) if reset_e8 is None else reset_e8
        actors = "+".join(order.actors)
        self._holder.let_go(released(before, order.approval_id, actors, order.reason, self._wall_ns(), high_e8))
        if reset_e8 is not None:
            self._accounting.begin_anew()
        self._timeline.clear()
        self._judge.released()
        self._recorder.page("RELEASED", f"the brake was released by {actors}: {order.reason}")
        return self._holder.latch
