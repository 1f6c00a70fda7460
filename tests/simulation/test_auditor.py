"""The auditor is told lies, one at a time, and notices each."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from tests.simulation.auditor import BOOKS, Auditor, S, Violation
from tests.simulation.money import Purse, funding_e8, lost_e8

from kedge.domain.canonical import encode
from kedge.domain.events import (
    BarClosed,
    CashMoved,
    Event,
    FundingSettled,
    OrderCanceled,
    OrderFilled,
    OrderProvenAbsent,
    OrderRejected,
    OrderUnanswered,
)
from kedge.domain.orders import ApprovedOrder, Liquidity, OrderIntent, OrderKind, Side, TimeInForce
from kedge.domain.outputs import OrderSent, Output, RiskStateChanged
from kedge.domain.record import Step
from kedge.simulation.venue_types import CreateType, ExecType, ExecutionRow, OrderRow, PositionRow, Status, StopType, TradeRow, WalletRow

START, NAME, WALLET = 1_699_920_000 * S, "sim:AAAUSDT", 10_000 * 100_000_000


class Told:
    """An auditor, and the truth as a day would tell it."""

    def __init__(self) -> None:
        self.now_ns, self.seq = START, 0
        self.auditor = Auditor(lambda: self.now_ns, START, WALLET, "acct", 25_000_000, expects_stops=True)
        self.auditor.stream("private", True, True)
        self.auditor.granted_ns = START
        for book in BOOKS:
            self.auditor.listed(book)

    def record(self, event: Event, *outputs: Output) -> None:
        self.seq += 1
        self.auditor.record(encode(Step(seq=self.seq, source="live", event=event, outputs=outputs, recorded_ts_ns=None)))

    def bar(self, price: int = 10_000) -> None:
        self.record(BarClosed(self.now_ns, NAME, self.now_ns - S, price, price, price, price, 1_000))

    def order(self, name: str = "a", lots: int = 100, **more: Any) -> ApprovedOrder:
        given: dict[str, Any] = {
            "decision_id": "d1", "strategy": "s", "instrument": NAME, "side": Side.BUY, "kind": OrderKind.MARKET,
            "time_in_force": TimeInForce.IOC, **more,
        }  # fmt: skip
        return ApprovedOrder(order=OrderIntent(client_order_id=name, qty_lots=lots, **given), limits_version="v")

    def send(self, name: str = "a", lots: int = 100, **more: Any) -> ApprovedOrder:
        """An order decided, recorded, and on its way."""
        approved = self.order(name, lots, **more)
        self.record(BarClosed(self.now_ns, NAME, self.now_ns - S, 10_000, 10_000, 10_000, 10_000, 1_000), OrderSent(approved=approved))
        self.auditor.left_create(approved)
        return approved

    def take(self, name: str = "a", lots: int = 100, status: Status = Status.NEW) -> None:
        """The venue has the order."""
        self.auditor.arrived_create(name, NAME, is_phantom=False)
        self.row(name, lots, lots, status)

    def row(self, name: str, lots: int, leaves: int, status: Status) -> None:
        self.auditor.row(self.resting(name, lots, leaves, status))

    def resting(self, name: str, lots: int = 100, leaves: int = 100, status: Status = Status.NEW) -> OrderRow:
        """An order's row."""
        return OrderRow(
            "acct", NAME, 1, f"v-{name}", name, Side.BUY, OrderKind.LIMIT, TimeInForce.GTC, 10_000, lots, leaves, self.now_ns,
            self.now_ns, 10_000, 1, status,
        )  # fmt: skip

    def trade(self, name: str = "a", lots: int = 100, exec_id: str = "e1", fee: int = 55) -> None:
        """The order trades at the venue."""
        self.auditor.row(TradeRow(NAME, f"t-{exec_id}", self.now_ns, 10_000, lots, Side.BUY, "PlusTick", 1))
        self.auditor.row(self.execution(name, lots, exec_id, fee))

    def execution(self, name: str, lots: int, exec_id: str, fee: int, **more: Any) -> ExecutionRow:
        given: dict[str, Any] = {
            "exec_type": ExecType.TRADE, "side": Side.BUY, "price_e8": 10_000 * 10_000_000, "leaves_lots": 0, "fee_rate_e8": 55_000, **more,
        }  # fmt: skip
        return ExecutionRow(
            account="acct", instrument=NAME, number=1, exec_id=exec_id, order_id=f"v-{name}", link_id=name, kind=OrderKind.MARKET,
            stop_type=StopType.NONE, create_type=CreateType.USER, order_price_ticks=0, order_qty_lots=lots, qty_lots=lots, value_e8=0,
            fee_e8=fee, is_maker=False, pnl_e8=0, closed_lots=0, mark_e8=10_000 * 10_000_000, index_e8=1, ts_ns=self.now_ns, seq=1, **given,
        )  # fmt: skip

    def fill(self, name: str = "a", lots: int = 100, exec_id: str = "e1", fee: int = 55, leaves: int = 0) -> None:
        """The journal books it."""
        self.record(OrderFilled(self.now_ns, exec_id, name, NAME, Side.BUY, lots, 10_000, fee, Liquidity.TAKER, leaves))


@pytest.fixture
def told() -> Told:
    return Told()


def violates(rule: str) -> Any:
    return pytest.raises(Violation, match=f"^{rule} ")


def test_an_honest_day_breaks_no_rule(told: Told) -> None:
    told.send()
    told.take()
    told.trade()
    told.row("a", 100, 0, Status.FILLED)
    told.fill()
    told.bar(10_010)
    worth = 100 * 10 * 10_000
    told.auditor.figures(
        {"wallet_e8": WALLET - 55, "equity_e8": WALLET - 55 + worth, "drawdown_e8": 0, "day_loss_e8": 0, "lots": {NAME: 100}}
    )
    assert told.auditor.count == (4, 3, 1 + len(BOOKS))


def test_an_order_that_leaves_twice_is_noticed(told: Told) -> None:
    approved = told.send()
    with violates("SENT_TWICE"):
        told.auditor.left_create(approved)


def test_an_order_that_leaves_before_its_record_is_noticed(told: Told) -> None:
    with violates("NOT_DURABLE"):
        told.auditor.left_create(told.order())


def test_an_order_that_leaves_with_other_terms_is_noticed(told: Told) -> None:
    told.record(BarClosed(told.now_ns, NAME, START - S, 9, 9, 9, 9, 9), OrderSent(approved=told.order(lots=50)))
    with violates("OTHER_TERMS"):
        told.auditor.left_create(told.order(lots=51))


def test_new_risk_without_a_young_permit_is_noticed(told: Told) -> None:
    told.now_ns += 2 * S
    with violates("NO_PERMIT"):
        told.send()


def test_new_risk_while_the_stream_is_down_is_noticed(told: Told) -> None:
    told.auditor.stream("private", False, False)
    with violates("BLIND"):
        told.send()


def test_new_risk_before_the_books_were_read_again_is_noticed(told: Told) -> None:
    told.auditor.stream("private", False, False)
    told.auditor.stream("private", True, False)
    with violates("NOT_COMPARED"):
        told.send()


def test_reducing_needs_neither_permit_nor_comparison(told: Told) -> None:
    told.auditor.stream("private", False, False)
    told.auditor.granted_ns = None
    told.send(reduce_only=True)
    assert list(told.auditor.flights) == ["a"]


def test_an_order_decided_while_halted_is_noticed(told: Told) -> None:
    told.record(BarClosed(START, NAME, START - S, 9, 9, 9, 9, 9), RiskStateChanged(state="halted", code="COMMAND", observed="", limit=""))
    with violates("HALTED"):
        told.send(reduce_only=True)


def test_a_halt_that_nothing_explains_is_noticed(told: Told) -> None:
    with violates("UNEXPLAINED"):
        told.record(
            BarClosed(START, NAME, START - S, 9, 9, 9, 9, 9), RiskStateChanged(state="halted", code="WALLET_DIFFERS", observed="", limit="")
        )


def test_an_order_beyond_the_limit_is_noticed(told: Told) -> None:
    with violates("LIMIT"):
        told.send(lots=2_600)


def test_open_orders_count_towards_the_limit(told: Told) -> None:
    told.send("a", 1_500)
    told.take("a", 1_500)
    with violates("LIMIT"):
        told.send("b", 1_500)


def test_an_order_taken_by_the_venue_and_booked_as_refused_is_noticed(told: Told) -> None:
    told.send()
    told.take()
    with violates("BOOKED_REFUSED"):
        told.record(OrderRejected(told.now_ns, "a", "NO_ANSWER", "time-out"))


def test_a_time_out_booked_as_refused_is_noticed_before_the_order_arrives(told: Told) -> None:
    told.send()
    with violates("BOOKED_REFUSED"):
        told.record(OrderRejected(told.now_ns, "a", "NO_ANSWER", "time-out"))


def test_an_order_booked_as_absent_is_noticed_when_it_came_or_may_come_or_was_not_looked_for(told: Told) -> None:
    told.send()
    with violates("ABSENT_EARLY"):
        told.record(OrderProvenAbsent(told.now_ns, "a"))
    told.now_ns += 3 * S
    told.auditor.listed("find_order", "a")
    with violates("ABSENT_UNPROVEN"):
        told.record(OrderProvenAbsent(told.now_ns, "a"))
    told.take()
    with violates("BOOKED_ABSENT"):
        told.record(OrderProvenAbsent(told.now_ns, "a"))


def test_an_order_that_rests_and_is_booked_as_over_is_noticed(told: Told) -> None:
    told.send()
    told.take()
    with violates("BOOKED_CANCELED"):
        told.record(OrderCanceled(told.now_ns, "a", "x"))


def test_more_at_the_venue_than_our_books_reserve_is_noticed(told: Told) -> None:
    told.send()
    told.take()
    with violates("EXPOSURE"):
        told.row("a", 200, 200, Status.NEW)


def test_a_fill_booked_twice_or_invented_or_changed_is_noticed(told: Told) -> None:
    told.send()
    told.take()
    with violates("INVENTED"):
        told.fill()
    told.trade()
    with violates("OTHER_FILL"):
        told.fill(fee=54)
    told.auditor.booked.clear()
    told.fill()
    with violates("BOOKED_TWICE"):
        told.fill()


def test_cash_booked_twice_is_noticed(told: Told) -> None:
    told.record(CashMoved(START, 5, "deposit", "c1"))
    with violates("BOOKED_TWICE"):
        told.record(CashMoved(START, 5, "deposit", "c1"))


def test_an_attempt_that_no_refusal_explains_is_noticed(told: Told) -> None:
    with violates("ATTEMPT"):
        told.send(attempt=1)


def test_an_order_beside_one_of_unknown_fate_is_noticed(told: Told) -> None:
    told.send()
    told.record(OrderUnanswered(told.now_ns, "a"))
    with violates("UNKNOWN_OPEN"):
        told.send("b", slice_no=1)


def test_an_id_used_twice_is_noticed(told: Told) -> None:
    told.send()
    with violates("SAME_ID"):
        told.send()


def test_money_that_appears_at_the_venue_is_noticed(told: Told) -> None:
    with violates("VENUE_CASH"):
        told.auditor.row(WalletRow("acct", WALLET + 1, 0, 0, 0, 0, 0, 0, 0, START))


def test_a_trade_with_nobody_is_noticed(told: Told) -> None:
    told.send()
    told.take()
    with violates("VENUE_PRINTS"):
        told.auditor.row(told.execution("a", 100, "e1", 55))


def test_a_position_that_no_fill_explains_is_noticed(told: Told) -> None:
    with violates("VENUE_POSITION"):
        told.auditor.row(PositionRow("acct", NAME, 1_000, 1, 1, START, START, 5, 5))


def test_funding_of_the_wrong_sign_is_noticed(told: Told) -> None:
    told.send()
    told.take()
    told.trade()
    paid = {"exec_type": ExecType.FUNDING, "fee_rate_e8": 10_000}
    with violates("FUNDING"):
        told.auditor.row(told.execution("", 100, "f1", -1_000_000, **paid))
    told.auditor.row(told.execution("", 100, "f2", 1_000_000, **paid))
    with violates("OTHER_FUNDING"):
        told.record(FundingSettled(START, NAME, 10_000, 10_000 * 10_000_000, 100, -1_000_000, "f2"))


def test_a_position_left_without_its_stop_is_noticed(told: Told) -> None:
    told.send()
    told.take()
    told.trade()
    told.fill()
    told.auditor.row(PositionRow("acct", NAME, 1_000, 1, 1, START, START, 100, 100 * 10_000 * 10_000))
    for _ in range(8):
        told.auditor.tick()
        told.now_ns += S
        told.bar()
    told.auditor.tick()
    told.now_ns += S
    with violates("NO_STOP"):
        told.auditor.tick()


def test_a_gap_that_nobody_asks_about_is_noticed(told: Told) -> None:
    told.auditor.stream("private", False, False)
    told.auditor.stream("private", True, False)
    told.now_ns += 21 * S
    with violates("GAP_NOT_ASKED"):
        told.auditor.tick()


@pytest.mark.parametrize("name", ["wallet_e8", "equity_e8", "drawdown_e8", "day_loss_e8", "lots"])
def test_an_engine_whose_books_are_not_the_journals_is_noticed(told: Told, name: str) -> None:
    true: dict[str, Any] = {"wallet_e8": WALLET, "equity_e8": WALLET, "drawdown_e8": 0, "day_loss_e8": 0, "lots": {}}
    told.auditor.figures(true)
    with violates("BOOKS"):
        told.auditor.figures({**true, name: {NAME: 1} if name == "lots" else true[name] + 1})


def test_the_auditors_money_is_right_by_hand() -> None:
    purse = Purse(1_000_000_000, START)
    purse.fill("x", 3, 10, 5)
    purse.fill("x", -1, 13, 5)
    assert (purse.lots["x"], purse.costs["x"], purse.wallet_e8) == (2, 200_000, 1_000_000_000 + 30_000 - 10)
    purse.fill("x", -5, 8, 0)
    assert (purse.lots["x"], purse.costs["x"], purse.wallet_e8) == (-3, -240_000, 1_000_000_000 + 30_000 - 10 - 40_000)
    purse.mark("x", 9, START + S)
    assert purse.equity_e8 == purse.wallet_e8 - 30_000
    before = purse.drawdown_e8
    purse.flow(-500_000_000)
    purse.mark("x", 9, START + 2 * S)
    assert abs(purse.drawdown_e8 - before) <= 1
    purse.restate("x", -230_000)
    assert purse.equity_e8 == purse.wallet_e8 - 40_000
    assert lost_e8(3, 2) == 33_333_334
    assert lost_e8(0, -1) == 100_000_000
    assert funding_e8(100, 10_000 * 10_000_000, 10_000, 10_000_000) == Fraction(1_000_000)
