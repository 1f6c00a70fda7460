"""The cost of a position in place of ours: wallet and realised profit move by as much, lots and equity stay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.events import CostRestated
from kedge.domain.orders import Side
from kedge.domain.venue import LedgerEntry, LedgerKind, VenuePosition, VenueWallet
from kedge.kernel.account import EQUITY, REALISED, WALLET, new_account, open_account, restate_cost
from kedge.services.reconcile import WALLET_DIFFERS, Foreign, VenueBooks, agreed, balances_e8, differences, restatements
from kedge.services.seen import Seen

from ...builders import AAA, BBB, MINUTE, T0, Wish, bar, engine, filled, instrument, sent


def held(lots_cost: dict[str, tuple[int, int]], wallet_e8: int, ledger: Sequence[LedgerEntry] = ()) -> VenueBooks:
    positions = [
        VenuePosition(instrument=name, position_idx=0, lots=lots, cost_e8=cost, mark_e8=None, leverage_e2=None, stop_loss_ticks=0, ts_ns=T0)
        for name, (lots, cost) in lots_cost.items()
    ]
    wallet = VenueWallet(wallet_e8=wallet_e8, equity_e8=None, available_e8=None, ts_ns=T0)
    return VenueBooks(orders=(), executions=(), ledger=ledger, positions=positions, wallet=wallet)


def test_restating_a_cost_moves_the_wallet_by_as_much_and_leaves_equity():
    wish = Wish()
    one = engine(wish, [instrument(AAA), instrument(BBB)])
    wish.say(0.1)
    (order,) = sent(one.step(bar(1)))
    assert order.side is Side.BUY
    one.step(filled(order, T0 + MINUTE, 1_000))
    state = one.state
    slot, before = state.slots[AAA], [state.account_view[cell] for cell in (WALLET, EQUITY, REALISED)]
    cost = int(state.costs[slot.index])
    one.step(CostRestated(T0 + MINUTE, AAA, cost - 700))
    assert int(state.costs[slot.index]) == cost - 700
    assert [state.account_view[cell] for cell in (WALLET, EQUITY, REALISED)] == [before[0] - 700, before[1], before[2] - 700]
    assert slot.position_lots == order.qty_lots


def test_costs_are_restated_only_where_they_explain_the_wallets_difference_to_the_last_unit():
    one = engine(Wish(), [instrument(AAA), instrument(BBB)])
    one.step(bar(1))
    wallet, seen = one.state.account_view[WALLET], Seen(T0)
    one.state.lots[0], one.state.costs[0] = 10, 5_000
    explained = restatements(one.state, held({AAA: (10, 5_300)}, wallet + 300), seen, T0)
    assert explained == [CostRestated(T0, AAA, 5_300)]
    assert restatements(one.state, held({AAA: (10, 5_300)}, wallet + 299), seen, T0) == []
    assert restatements(one.state, held({AAA: (11, 5_300)}, wallet + 300), seen, T0) == []
    assert restatements(one.state, held({AAA: (10, 5_000)}, wallet), seen, T0) == []
    assert restatements(one.state, held({AAA: (10, 5_300), BBB: (1, 1)}, wallet + 300), seen, T0) == []
    one.state.lots[1], one.state.costs[1] = 10, 5_000
    assert restatements(one.state, held({AAA: (10, 5_300), BBB: (10, 4_700)}, wallet), seen, T0) == [], "equal wallets need no explanation"


def trade(number: int, change_e8: int, kind: LedgerKind = LedgerKind.TRADE, balance_e8: int | None = None) -> LedgerEntry:
    fill_id = f"f{number}" if kind is LedgerKind.TRADE else ""
    return LedgerEntry(
        entry_id=f"e{number}", ts_ns=T0 + number, kind=kind, word="WORD", instrument=AAA, change_e8=change_e8, cash_flow_e8=change_e8,
        funding_e8=0, fee_e8=0, balance_e8=balance_e8, fill_id=fill_id,
    )  # fmt: skip


def test_money_that_nothing_explains_does_not_hide_what_a_cost_explains():
    one = engine(Wish(), [instrument(AAA)])
    one.step(bar(1))
    wallet, seen, old = one.state.account_view[WALLET], Seen(T0), trade(1, -70)
    since = agreed(held({}, wallet - 40, [old]))
    one.state.lots[0], one.state.costs[0] = 10, 5_000
    rows = [old, trade(2, 90), trade(3, 250)]  # they earned 340 where our books have 40
    books = held({AAA: (10, 5_300)}, wallet + 300 + 777, rows)
    assert restatements(one.state, books, seen, T0) == [], "nothing is known of the time before"
    restated = restatements(one.state, books, seen, T0, since)
    assert restated == [CostRestated(T0, AAA, 5_300)]
    assert restatements(one.state, held({AAA: (10, 5_300)}, wallet + 1_077, rows[:2]), seen, T0, since) == [], "a row is not shown yet"
    assert restatements(one.state, held({AAA: (10, 5_301)}, wallet + 1_077, rows), seen, T0, since) == [], "to the last unit"
    one.step(restated[0])
    (left,) = differences(one.state, books, seen, Foreign.REFUSE, wallet_tolerance_e8=0, ts_ns=T0)
    assert (left.code, left.theirs - left.ours) == (WALLET_DIFFERS, 777), "people are shown what nobody explains, and no more"


def test_a_process_that_has_just_begun_believes_the_balances_beside_the_ledgers_rows():
    one = engine(Wish(), [instrument(AAA)])
    one.step(bar(1))
    wallet, seen = one.state.account_view[WALLET], Seen(T0)
    one.state.lots[0], one.state.costs[0] = 10, 5_000
    rows = [trade(1, 90, balance_e8=wallet + 50), trade(2, 250), trade(3, -60, LedgerKind.FUNDING, wallet + 240 + 777)]
    books = held({AAA: (10, 5_240)}, wallet + 240 + 777, rows)  # 777 came between the rows, and none tells of it
    assert balances_e8(books) == {wallet + 240, wallet + 240 + 777}
    assert restatements(one.state, books, seen, T0) == [CostRestated(T0, AAA, 5_240)]
    assert restatements(one.state, held({AAA: (10, 5_241)}, wallet + 1_017, rows), seen, T0) == [], "to the last unit"
    assert restatements(one.state, held({AAA: (10, 5_240)}, wallet + 1_017, rows[1:]), seen, T0) == [], "no balance from before is shown"
    known = agreed(held({}, wallet, rows))
    assert restatements(one.state, books, seen, T0, known) == [], "what was seen equal is believed before what is printed"


def test_a_row_that_nobody_understands_does_not_hide_what_a_cost_explains_either():
    one = engine(Wish(), [instrument(AAA)])
    one.step(bar(1))
    wallet, strange = one.state.account_view[WALLET], trade(1, 500, LedgerKind.OTHER)
    one.state.lots[0], one.state.costs[0] = 10, 5_000
    books = held({AAA: (10, 5_300)}, wallet + 300 + 500, [strange])
    assert restatements(one.state, books, Seen(T0), T0) == [CostRestated(T0, AAA, 5_300)]


def test_a_cost_of_no_slot_is_refused():
    account = new_account()
    open_account(account, 1_000, T0)
    with pytest.raises(InvalidInput):
        restate_cost(account, 1, 5, np.zeros(1, np.int64))
