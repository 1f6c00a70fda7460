"""The venue's ledger: which rows are cash, which add up, and which nobody understands until a person has seen them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kedge.domain.events import CashMoved, Command, CommandGiven, Event, FundingSettled, OrderFilled
from kedge.domain.orders import OrderKind
from kedge.domain.record import Record, Step
from kedge.domain.venue import LedgerEntry, LedgerKind
from kedge.kernel.account import DAY_LOSS_E8, DRAWDOWN_E8, FLOWS, WALLET
from kedge.risk.states import RiskState
from kedge.services.ledger import LEDGER_DIFFERS, UNKNOWN_LEDGER, cash_missed, ledger_differences, not_understood
from kedge.services.live import LiveTrader
from kedge.services.seen import Seen, cost_of, rebuild
from kedge.strategy.execution import ExecutionPolicy

from ...builders import AAA, E8, T0, Wish, bar, filled, order
from .live_world import ACCOUNT, World, compare_books, play, until
from .venue_in_process import VenueInProcess

RESTING = {"execution": ExecutionPolicy(entry=OrderKind.LIMIT)}


def row(kind: LedgerKind = LedgerKind.TRADE, **given: Any) -> LedgerEntry:
    plain: dict[str, Any] = {
        "entry_id": "e1", "ts_ns": T0, "kind": kind, "word": "WORD", "instrument": AAA, "change_e8": -7, "cash_flow_e8": 0,
        "funding_e8": 0, "fee_e8": 7, "balance_e8": None, "fill_id": "f1",
    }  # fmt: skip
    return LedgerEntry(**{**plain, **given})


def cash(kind: LedgerKind, **given: Any) -> LedgerEntry:
    return row(kind, **{"fill_id": "", "change_e8": 9, "cash_flow_e8": 9, "fee_e8": 0, **given})


def seen(*events: OrderFilled | FundingSettled | CashMoved) -> Seen:
    known = Seen(T0)
    for event in events:
        known.add(event)
    return known


FILL = filled(order(), T0, 1_000, fee_e8=7)


@pytest.mark.parametrize(
    "kind", [LedgerKind.TRANSFER, LedgerKind.CONVERSION, LedgerKind.BONUS, LedgerKind.INTEREST, LedgerKind.REFUND, LedgerKind.LIQUIDATION]
)
def test_every_known_kind_that_no_execution_tells_is_booked_as_given(kind: LedgerKind):
    assert cash_missed([cash(kind)], seen()) == [CashMoved(T0, 9, "WORD", "e1")]
    assert cash_missed([cash(kind)], seen(CashMoved(T0, 9, "WORD", "e1"))) == []
    assert not_understood([cash(kind)], seen()) == []


def test_a_row_of_no_known_kind_is_not_booked_but_told_with_its_figures():
    unknown = cash(LedgerKind.OTHER, word="BORROW")
    assert cash_missed([unknown], seen()) == []
    assert not_understood([unknown], seen()) == [unknown]
    (told,) = ledger_differences([unknown], seen(), T0)
    assert (told.code, told.ours, told.theirs, told.detail) == (UNKNOWN_LEDGER, 0, 9, "BORROW e1")
    assert ledger_differences([unknown], seen(CashMoved(T0, 9, "BORROW", "e1")), T0) == []


def test_a_row_that_moved_nothing_needs_no_explanation():
    assert ledger_differences([cash(LedgerKind.OTHER, change_e8=0)], seen(), T0) == []


def test_a_trade_that_cost_what_was_booked_is_no_difference():
    assert ledger_differences([row()], seen(FILL), T0) == []
    assert ledger_differences([row(fill_id="another")], seen(FILL), T0) == []  # from before the run


def test_a_fee_that_the_ledger_gives_otherwise_is_a_difference():
    (told,) = ledger_differences([row(fee_e8=8, change_e8=-8)], seen(FILL), T0)
    assert (told.code, told.instrument, told.ours, told.theirs, told.detail) == (LEDGER_DIFFERS, AAA, 7, 8, "execution f1")


def test_a_trade_of_two_rows_is_compared_by_their_sum():
    rows = [row(entry_id="e1", fee_e8=3, change_e8=-3), row(entry_id="e2", fee_e8=4, change_e8=-4)]
    assert ledger_differences(rows, seen(FILL), T0) == []


@pytest.mark.parametrize("paid", [5, -5])
def test_a_settlement_is_compared_with_what_the_ledger_paid(paid: int):
    settled = FundingSettled(T0, AAA, 100, 10**11, 5, paid, "s1")
    right = row(LedgerKind.FUNDING, fill_id="s1", funding_e8=-paid, fee_e8=0, change_e8=-paid)
    assert ledger_differences([right], seen(settled), T0) == []
    wrong = msgspec.structs.replace(right, funding_e8=paid, change_e8=paid)
    (told,) = ledger_differences([wrong], seen(settled), T0)
    assert (told.ours, told.theirs) == (paid, -paid)


def test_a_row_that_does_not_add_up_is_a_difference():
    (told,) = ledger_differences([row(change_e8=-9, cash_flow_e8=1)], seen(FILL), T0)
    assert (told.code, told.ours, told.theirs, told.detail) == (LEDGER_DIFFERS, -6, -9, "row e1")


def test_costs_come_back_with_the_ids_when_a_journal_is_read_again():
    settled = FundingSettled(T0 + 1, AAA, 100, 10**11, 5, -3, "s1")
    known, _ = rebuild(Told([FILL, settled, CashMoved(T0 + 2, 9, "W", "e1")]), 4, Seen(T0))
    assert [known.cost_e8(name) for name in ("f1", "s1", "e1", "nobody")] == [7, -3, None, None]
    assert cost_of(bar(1)) is None


class Told:
    """A journal of these events."""

    def __init__(self, events: list[Event]) -> None:
        self.steps = [Step(seq=seq, source="test", event=event) for seq, event in enumerate(events, 1)]

    def records(self, *, start_seq: int = 0) -> Iterator[Record]:
        return (step for step in self.steps if step.seq >= start_seq)


# in a running trader --------------------------------------------------------------------------------------------------


def test_deposits_and_withdrawals_are_booked_as_flows_that_are_no_loss(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish().say(0.1))

    async def script(trader: LiveTrader) -> None:
        account = trader.core.state.account_view
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.core.state.slots[AAA].position_lots > 0)
        world.exchange.play(bar(2, 990))
        await until(trader, lambda: trader.core.state.slots[AAA].mark_ts_ns == bar(2).ts_ns)
        before = account[DRAWDOWN_E8], account[DAY_LOSS_E8]
        assert before > (0, 0)
        for amount in (500 * E8, -2_000 * E8):
            world.exchange.core.transfer(ACCOUNT, amount, world.exchange.now_ns)
            world.exchange.publish()
            await until(trader, lambda: account[WALLET] == world.exchange.core.wallet(ACCOUNT).wallet_e8)
        assert account[FLOWS] == -1_500 * E8
        world.exchange.play(bar(3, 990))
        await until(trader, lambda: trader.core.state.slots[AAA].mark_ts_ns == bar(3).ts_ns)
        for now, was in zip((account[DRAWDOWN_E8], account[DAY_LOSS_E8]), before, strict=True):
            assert abs(now - was) <= 2

    play(world, trader, script)
    compare_books(trader.engine, world.exchange)


def strange_rows(world: World, entries: list[LedgerEntry]) -> None:
    """Rows that the venue's ledger holds beside its own; the wallet moves with them."""

    def prepare(venue: VenueInProcess) -> None:
        ledger, wallet = venue.ledger, venue.wallet

        async def with_rows(since_ts_ns: int) -> list[LedgerEntry]:
            return [*await ledger(since_ts_ns), *entries]

        async def moved() -> Any:
            plain = await wallet()
            return msgspec.structs.replace(plain, wallet_e8=plain.wallet_e8 + sum(entry.change_e8 for entry in entries))

        venue.ledger, venue.wallet = with_rows, moved  # type: ignore[method-assign]

    world.prepare = prepare


def test_an_unknown_row_halts_with_its_figures_and_is_booked_when_a_person_resumes(tmp_path: Path):
    world = World(tmp_path)
    entries: list[LedgerEntry] = []
    strange_rows(world, entries)
    trader = world.trader(strategy=Wish())

    async def script(trader: LiveTrader) -> None:
        state = trader.core.state
        wallet_e8 = state.account_view[WALLET]
        entries.append(cash(LedgerKind.OTHER, ts_ns=trader.core.now_ns(), word="BORROW", change_e8=-9, cash_flow_e8=-9))
        trader.want_reconciliation("test")
        await until(trader, lambda: state.risk_state is RiskState.HALTED)
        assert state.halt_code == UNKNOWN_LEDGER
        assert trader.books.last is not None
        assert [(one.code, one.theirs) for one in trader.books.last.reports] == [(UNKNOWN_LEDGER, -9)]
        count = trader.books.count
        trader.want_reconciliation("again")
        await until(trader, lambda: trader.books.count > count)
        assert state.account_view[WALLET] == wallet_e8
        trader.command(CommandGiven(trader.core.now_ns(), Command.RESUME, "ann", "a fee of the venue, accepted"))
        await until(trader, lambda: state.account_view[WALLET] == wallet_e8 - 9)
        await until(trader, lambda: trader.books.last is not None and trader.books.last.agreed)

    play(world, trader, script)
    assert trader.core.state.risk_state is RiskState.RUNNING


def test_a_fill_whose_fee_the_ledger_gives_otherwise_halts(tmp_path: Path):
    world = World(tmp_path)

    def prepare(venue: VenueInProcess) -> None:
        ledger = venue.ledger

        async def dearer(since_ts_ns: int) -> list[LedgerEntry]:
            return [msgspec.structs.replace(entry, fee_e8=entry.fee_e8 + 1) for entry in await ledger(since_ts_ns)]

        venue.ledger = dearer  # type: ignore[method-assign]

    world.prepare = prepare
    trader = world.trader(strategy=Wish().say(0.1))

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.core.state.slots[AAA].position_lots > 0)
        trader.want_reconciliation("test")
        await until(trader, lambda: trader.core.state.risk_state is RiskState.HALTED)

    play(world, trader, script)
    assert trader.core.state.halt_code == LEDGER_DIFFERS


def test_terms_that_somebody_changed_are_taken_over(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish().say(-0.1), plan=RESTING)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        orders = trader.core.state.orders
        await until(trader, lambda: any(one.venue_order_id for one in orders.of(AAA).values()))
        (ours,) = orders.of(AAA).values()
        name, lots = ours.order.client_order_id, ours.qty_lots
        world.venue.is_up = False  # the row that would tell is lost
        world.exchange.core.amend(ACCOUNT, AAA, world.exchange.now_ns, link_id=name, qty_lots=lots - 100, limit_ticks=1_005)
        world.exchange.publish()
        world.venue.is_up = True
        trader.want_reconciliation("test")
        await until(trader, lambda: (ours.qty_lots, ours.limit_ticks) == (lots - 100, 1_005))
        assert trader.core.state.risk_state is RiskState.RUNNING

    play(world, trader, script)
    compare_books(trader.engine, world.exchange)
