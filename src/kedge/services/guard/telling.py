"""The guard's status from its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedge.domain.brake import BrakeLevel
from kedge.domain.venue import VenuePosition
from kedge.risk.brake.triggers import lost_e8, readings
from kedge.services.guard.status import GuardStatus, PositionStatus

if TYPE_CHECKING:
    from kedge.services.guard.guard import Guard


def status_of(guard: Guard) -> GuardStatus:
    """The guard now."""
    view, truth, watch, marks = guard.view, guard.truth, guard.watch, guard.accounting.marks
    now_ns, figures = guard.now_ns(), watch.figures
    seen_ns, heard_ns = truth.seen_ns, watch.heard_ns
    return GuardStatus(
        account=guard.settings.account,
        guard=guard.settings.name,
        wall_ns=guard.now_wall_ns(),
        started_wall_ns=guard.started_wall_ns,
        latch=guard.holder.latch,
        latch_is_durable=guard.holder.is_durable,
        is_flat=guard.holder.level is BrakeLevel.HALTED_FLAT and guard.hands.is_flat,
        view_age_ns=None if seen_ns is None else now_ns - seen_ns,
        permits=guard.permitter.why_not(),
        heartbeat_age_ns=None if heard_ns is None else now_ns - heard_ns,
        run_id=guard.permitter.beat.run_id,
        trader_pid=guard.permitter.beat.pid,
        journal=guard.recorder.trouble,
        venue=guard.venue_trouble,
        equity_e8=truth.equity_e8(),
        wallet_e8=None if truth.wallet is None else truth.wallet.wallet_e8,
        high_water_e8=guard.holder.latch.high_water_e8 if marks is None else marks.high_water_e8,
        day_start_e8=0 if marks is None else marks.day_start_e8,
        drawdown_e8=None if view is None else lost_e8(view.high_water_e8, view.loss_equity_e8),
        day_loss_e8=None if view is None else lost_e8(view.day_start_e8, view.loss_equity_e8),
        var99_e8=None if figures is None else figures.var99_e8,
        es975_e8=None if figures is None else figures.es975_e8,
        var_method="" if figures is None else figures.method,
        var_flags=() if figures is None else figures.flags,
        clock_off_ms=watch.clock_off_ms,
        books=guard.accounting.unexplained()[1],
        orders=truth.counts(),
        positions=tuple(_position(guard, position) for position in truth.positions),
        readings=() if view is None else readings(view, guard.settings.triggers),
        times=guard.timeline.times(),
        pages=tuple(guard.recorder.pages),
    )


def _position(guard: Guard, position: VenuePosition) -> PositionStatus:
    view = guard.view
    seen = next((one for one in view.positions if one.instrument == position.instrument), None) if view is not None else None
    return PositionStatus(
        instrument=position.instrument,
        lots=position.lots,
        mark_e8=guard.truth.mark_e8(position),
        notional_e8=0 if seen is None else seen.notional_e8,
        stop_ticks=position.stop_loss_ticks,
        liquidation_e8=None if seen is None else seen.liquidation_e8,
        waits=guard.hands.closer.waits.get(position.instrument, ""),
    )
