"""Stopping a live trader: what is at risk, and leaving it, cancelling its orders, or closing everything first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Final

import msgspec

from kedge.domain.events import Command, CommandGiven
from kedge.services.live import STOPPED, LiveTrader

POSITIONS_SHOWN: Final = 20


class OnStop(StrEnum):
    """What becomes of orders and positions."""

    LEAVE = "leave"
    CANCEL = "cancel"
    FLATTEN = "flatten"


class RiskOn(msgspec.Struct, frozen=True):
    """What is at risk now: our live orders, and positions as `instrument: signed quantity`."""

    orders: int
    unknown_orders: int
    positions: dict[str, str]

    @property
    def is_on(self) -> bool:
        return bool(self.orders or self.positions)


class Stopped(msgspec.Struct, frozen=True):
    """How a stop ended. `complete` says that nothing of what was to go is left."""

    how: OnStop
    complete: bool
    left: RiskOn


def risk_on(trader: LiveTrader) -> RiskOn:
    """What is at risk, by our books."""
    state = trader.core.state
    orders = [order for slot in state.by_index for order in state.orders.of(slot.instrument).values()]
    return RiskOn(
        len(orders),
        sum(order.status == "unknown" for order in orders),
        {slot.instrument: slot.spec.qty_text(slot.position_lots) for slot in state.by_index if slot.position_lots},
    )


async def stop(trader: LiveTrader, how: OnStop, *, within_s: float, actor: str, reason: str) -> Stopped:
    """Stop trading; `run` returns afterwards.

    `LEAVE` waits for answers under way, also those about stops of positions, since nobody will ask again. `CANCEL` also cancels every
    order. `FLATTEN` also closes every position, and the run stays flat until a person resumes. What is not done within the time is left as
    it is and told.
    """
    core = trader.core
    trader.condition = "stopping"
    core.kill.reach("stop")
    if how is OnStop.FLATTEN:
        trader.command(CommandGiven(core.now_ns(), Command.FLATTEN, actor, reason))
        complete = await _until(trader, lambda: not risk_on(trader).is_on, within_s)
        trader.hold()
    else:
        trader.hold()
        if how is OnStop.CANCEL and risk_on(trader).orders:
            trader.command(CommandGiven(core.now_ns(), Command.CANCEL_ALL, actor, reason))
        complete = await _until(trader, lambda: how is OnStop.LEAVE or not risk_on(trader).orders, within_s)
    if pending := [*trader.desk.under_way, *trader.stops.under_way]:
        await asyncio.wait(pending, timeout=within_s)
    core.journal.flush()
    trader.finish(STOPPED)
    return Stopped(how, complete, risk_on(trader))


async def _until(trader: LiveTrader, is_done: Callable[[], bool], within_s: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while not is_done():
                trader.core.changed.clear()
                await trader.core.changed.wait()
    return is_done()
