"""The guard's judgement: what it sees against its limits, and the latch that follows.

Rules: the latch comes before the record of what led to it; a breach is written down when it begins, not with every reading; one that asks
for no more than what holds already is told to a person; an account that cannot be seen is judged by that.
"""

from __future__ import annotations

from collections.abc import Callable

from kedge.domain.brake import SEVERITY, BrakeLevel, Trigger
from kedge.domain.units import NS_PER_S
from kedge.risk.brake.levels import Wish
from kedge.risk.brake.triggers import Breach, judge, lost_e8
from kedge.risk.brake.view import GuardView
from kedge.services.guard.holder import Holder
from kedge.services.guard.reading import Truth
from kedge.services.guard.recorder import Recorder
from kedge.services.guard.records import Breached, Seen, SeenPosition
from kedge.services.guard.settings import GuardSettings
from kedge.services.guard.timeline import Timeline
from kedge.services.guard.watch import Watch


class Judge:
    """Judges one account.

    Attributes
    ----------
    view : GuardView or None
        What was judged last.
    """

    def __init__(
        self,
        settings: GuardSettings,
        truth: Truth,
        watch: Watch,
        holder: Holder,
        recorder: Recorder,
        timeline: Timeline,
        wall_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
    ) -> None:
        self._settings, self._truth, self._watch, self._holder = settings, truth, watch, holder
        self._recorder, self._timeline, self._wall_ns, self._monotonic_ns = recorder, timeline, wall_ns, monotonic_ns
        self._started_ns = monotonic_ns()
        self._seen_ns = -(1 << 62)
        self._breached: set[tuple[Trigger, BrakeLevel]] = set()
        self.view: GuardView | None = None

    def judge(self, begun_ns: int, trouble: str = "") -> None:
        """Judge what is known now; `begun_ns` is when the newest reading began, `trouble` why there is none."""
        view = self.view = self._watch.view()
        if view is None:
            self._blind(trouble)
            return
        breaches = judge(view, self._settings.triggers)
        if breaches:
            self._brake(breaches[0], begun_ns)
        for one in breaches:
            if (one.trigger, one.level) not in self._breached:
                self._recorder.write(
                    Breached(
                        wall_ns=self._wall_ns(), trigger=one.trigger, level=one.level, observed=one.observed, limit=one.limit,
                        instrument=one.instrument,
                    )
                )  # fmt: skip
        self._breached = {(one.trigger, one.level) for one in breaches}
        self._watch.judged_ns = self._monotonic_ns() - view.view_age_ns

    def failed(self, why: str) -> None:
        """A round ended before anything was judged: risk that nobody judges for too long is a breach of its own."""
        limit_s, judged_ns = self._settings.triggers.stale_halt_s, self._watch.judged_ns
        since_ns = self._monotonic_ns() - (self._started_ns if judged_ns is None else judged_ns)
        if limit_s and since_ns > limit_s * NS_PER_S and self._watch.has_risk:
            self.engage(
                Wish(
                    level=BrakeLevel.HALTED, trigger=Trigger.STALE_DATA, reason="the account could not be judged",
                    observed=f"not judged for {since_ns / NS_PER_S:.0f} s: {why}", limit=f"{limit_s} s",
                )
            )  # fmt: skip

    def engage(self, wish: Wish, breach_ns: int | None = None) -> bool:
        """Raise the latch, and remember what the account was worth then."""
        done = self._holder.raise_to(wish, breach_ns)
        if done and self.view is not None:
            self._timeline.equity_e8 = self.view.equity_e8
        return done

    def released(self) -> None:
        """Breaches count anew."""
        self._breached.clear()

    def note_seen(self) -> None:
        """Write a reading down: one a second with risk, one a minute without."""
        view, wallet, now_ns, settings = self.view, self._truth.wallet, self._monotonic_ns(), self._settings
        every_s = settings.seen_every_s if self._watch.has_risk else settings.seen_flat_every_s
        if view is None or wallet is None or now_ns - self._seen_ns < round(every_s * NS_PER_S):
            return
        self._seen_ns = now_ns
        positions = tuple(
            SeenPosition(instrument=one.instrument, lots=one.lots, mark_e8=self._truth.mark_e8(one), stop_ticks=one.stop_loss_ticks)
            for one in self._truth.positions
        )
        self._recorder.write(
            Seen(
                wall_ns=self._wall_ns(), equity_e8=view.equity_e8, wallet_e8=wallet.wallet_e8,
                drawdown_e8=lost_e8(view.high_water_e8, view.loss_equity_e8), day_loss_e8=lost_e8(view.day_start_e8, view.loss_equity_e8),
                gross_e8=view.gross_e8, maintenance_e8=view.maintenance_e8, var99_e8=view.var99_e8, var_method=view.var_method,
                open_orders=view.open_orders, positions=positions,
            )
        )  # fmt: skip

    def _brake(self, worst: Breach, begun_ns: int) -> None:
        if SEVERITY[worst.level] > SEVERITY[self._holder.level]:
            reason = f"{worst.trigger} {worst.instrument}".strip()
            wish = Wish(level=worst.level, trigger=worst.trigger, reason=reason, observed=worst.observed, limit=worst.limit)
            self.engage(wish, begun_ns)
        elif (worst.trigger, worst.level) not in self._breached:
            words = f"{worst.trigger}: {worst.observed} against {worst.limit}, while the brake is {self._holder.level}"
            self._recorder.page(f"BREACH {worst.trigger}", words)

    def _blind(self, trouble: str) -> None:
        """Nothing is known of an account that may hold risk: after a while that is a breach of its own."""
        limit_s = self._settings.triggers.stale_halt_s
        blind_ns = self._monotonic_ns() - self._started_ns
        if limit_s and blind_ns > limit_s * NS_PER_S and self._watch.has_risk:
            observed = f"not seen for {blind_ns / NS_PER_S:.0f} s: {trouble}"
            reason = "the account was not seen since the guard began"
            self.engage(
                Wish(level=BrakeLevel.HALTED, trigger=Trigger.STALE_DATA, reason=reason, observed=observed, limit=f"{limit_s} s"),
            )
