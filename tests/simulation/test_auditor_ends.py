"""Lies about how orders, losses and trades that are not ours end; the auditor notices each."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.simulation.audit_losses import Losses
from tests.simulation.test_auditor import NAME, START, WALLET, Told, violates

from kedge.domain.events import OrderAccepted, OrderCanceled, OrderFilled, PositionAdopted
from kedge.domain.orders import FillCause, Liquidity, Side
from kedge.domain.outputs import OrderSent, RiskStateChanged
from kedge.simulation.venue_types import ExecType, PositionRow, Status

S = 1_000_000_000


@pytest.fixture
def told() -> Told:
    return Told()


def figures(told: Told, **other: Any) -> dict[str, Any]:
    """The engine's books as the journal has them."""
    here = told.auditor.journal
    lots = {name: held for name, held in here.lots.items() if held}
    return {
        "wallet_e8": here.wallet_e8, "equity_e8": here.equity_e8, "drawdown_e8": 0, "day_loss_e8": 0, "lots": lots, "open": {NAME: (0, 0)},
        **other,
    }  # fmt: skip


def test_a_cancel_that_frees_what_was_traded_and_not_told_is_noticed(told: Told) -> None:
    told.send()
    told.take()
    told.trade(lots=40)
    told.auditor.theirs["a"].is_open = False
    told.auditor._open[NAME].clear()
    with violates("EXPOSURE"):
        told.record(OrderCanceled(told.now_ns, "a", "EC_Done"))


def test_a_cancel_that_says_what_was_traded_keeps_it_reserved_until_it_is_told_and_that_must_not_take_long(told: Told) -> None:
    told.send()
    told.take()
    told.trade(lots=40)
    told.auditor.theirs["a"].is_open = False
    told.auditor._open[NAME].clear()
    told.record(OrderCanceled(told.now_ns, "a", "EC_Done", 40))
    assert told.auditor.ours["a"].reserved == 40
    told.auditor.tick()
    told.now_ns += 5 * S
    with violates("END_UNTOLD"):
        told.auditor.tick()
    told.fill(lots=40)
    assert told.auditor.ours["a"].reserved == 0
    told.auditor.tick()
    assert told.auditor.overdue == {}


def test_an_order_that_ended_at_once_and_stays_open_in_our_books_is_noticed(told: Told) -> None:
    told.send()
    told.take()
    told.row("a", 100, 0, Status.CANCELLED)
    told.now_ns += 7 * S
    told.auditor.tick()
    told.now_ns += 2 * S
    with violates("END_UNTOLD"):
        told.auditor.tick()


def test_an_engine_that_reserves_less_than_is_open_is_noticed(told: Told) -> None:
    told.send()
    told.take()
    told.bar()
    told.record(OrderAccepted(told.now_ns, "a", "v-a"))
    with violates("RESERVED"):
        told.auditor.figures(figures(told))


def test_the_opening_leg_of_a_turn_that_overtakes_the_closing_one_is_noticed(told: Told) -> None:
    closing, opening = told.order("a", reduce_only=True, side=Side.SELL), told.order("b", slice_no=1, side=Side.SELL)
    for approved in (closing, opening):
        told.record(OrderCanceled(told.now_ns, "x", ""), OrderSent(approved=approved))
    told.auditor.left_create(closing)
    with violates("LEGS"):
        told.auditor.left_create(opening)


def test_the_opening_leg_after_the_closing_one_arrived_is_in_order(told: Told) -> None:
    closing, opening = told.order("a", reduce_only=True, side=Side.SELL), told.order("b", slice_no=1, side=Side.SELL)
    for approved in (closing, opening):
        told.record(OrderCanceled(told.now_ns, "x", ""), OrderSent(approved=approved))
    told.auditor.left_create(closing)
    told.auditor.arrived_create("a", NAME, is_phantom=False)
    told.auditor.row(msgspec.structs.replace(told.resting("a"), side=Side.SELL))
    told.auditor.left_create(opening)
    assert list(told.auditor.flights) == ["a", "b"]


def test_what_the_venue_itself_trades_and_nobody_stops_for_is_noticed(told: Told) -> None:
    told.send()
    told.take()
    told.trade()
    told.fill()
    told.auditor.row(told.execution("", 100, "bust", 55, exec_type=ExecType.BUST, side=Side.SELL))
    with violates("VENUE_ACTED"):
        told.record(OrderFilled(START, "bust", "", NAME, Side.SELL, 100, 10_000, 55, Liquidity.TAKER, 0, FillCause.LIQUIDATION))


@pytest.mark.parametrize("state", ["running", "reduce_only"])
def test_a_loss_beyond_its_limit_that_stops_nothing_is_noticed(told: Told, state: str) -> None:
    told.auditor._brakes = (10_000_000, 1_000_000)
    told.auditor.risk, told.auditor.code = state, "DAILY_LOSS"
    told.auditor.journal.wallet_e8 -= WALLET // 50
    with violates("BRAKE"):
        told.bar(10_000)


def test_a_halt_for_a_loss_that_is_none_is_noticed(told: Told) -> None:
    told.auditor._brakes = (10_000_000, 1_000_000)
    with violates("BRAKED"):
        told.record(OrderCanceled(START, "x", ""), RiskStateChanged(state="halted", code="DAILY_LOSS", observed="1.0000%", limit="1.0000%"))


def test_a_position_is_taken_over_only_where_that_is_allowed_and_as_the_venue_has_it(told: Told) -> None:
    told.send()
    told.take()
    told.trade()
    with violates("ADOPTED"):
        told.record(PositionAdopted(START, NAME, 100, 100 * 10_000 * 10_000))
    told.auditor._adopts = True
    with violates("ADOPTED"):
        told.record(PositionAdopted(START, NAME, 99, 100 * 10_000 * 10_000))
    told.record(PositionAdopted(START, NAME, 100, 100 * 10_000 * 10_000))
    assert told.auditor.journal.lots == {NAME: 100}


def test_time_without_a_price_does_not_count_against_a_missing_stop(told: Told) -> None:
    told.send()
    told.take()
    told.trade()
    told.fill()
    told.auditor.row(PositionRow("acct", NAME, 1_000, 1, 1, START, START, 100, 100 * 10_000 * 10_000))
    for _ in range(30):
        told.now_ns += S
        told.auditor.tick()
    told.bar()
    told.auditor.tick()
    with violates("NO_STOP"):
        for _ in range(10):
            told.now_ns += S
            told.bar()
            told.auditor.tick()
    assert told.now_ns > START + 35 * S


def test_trading_that_goes_on_at_a_reduce_level_or_is_reduced_for_nothing_is_noticed(told: Told) -> None:
    told.auditor.losses = Losses({"DRAWDOWN": (50_000_000, 60_000_000), "DAILY_LOSS": (1_000_000, 2_000_000)})
    told.bar(10_000)
    reduced = RiskStateChanged(state="reduce_only", code="DAILY_LOSS", observed="2.0000%", limit="2.0000%")
    with violates("REDUCED"):
        told.record(OrderCanceled(START, "x", ""), reduced)
    told.auditor.risk, told.auditor.code = "running", ""
    told.auditor.journal.wallet_e8 -= WALLET // 50
    with violates("REDUCED"):
        told.bar(10_000)
