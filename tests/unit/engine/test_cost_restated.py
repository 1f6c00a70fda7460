"""The cost of a position in place of ours: wallet and realised profit move by as much, lots and equity stay."""

from __future__ import annotations

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.events import CostRestated
from kedge.domain.orders import Side
from kedge.domain.venue import VenuePosition, VenueWallet
from kedge.kernel.account import EQUITY, REALISED, WALLET, new_account, open_account, restate_cost
from kedge.services.reconcile import VenueBooks, restatements

from ...builders import AAA, BBB, MINUTE, T0, Wish, bar, engine, filled, instrument, sent


def held(lots_cost: dict[str, tuple[int, int]], wallet_e8: int) -> VenueBooks:
    positions = [
        VenuePosition(instrument=name, position_idx=0, lots=lots, cost_e8=cost, mark_e8=None, leverage_e2=None, stop_loss_ticks=0, ts_ns=T0)
        for name, (lots, cost) in lots_cost.items()
    ]
    wallet = VenueWallet(wallet_e8=wallet_e8, equity_e8=None, available_e8=None, ts_ns=T0)
    return VenueBooks(orders=(), executions=(), ledger=(), positions=positions, wallet=wallet)


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
    wallet = one.state.account_view[WALLET]
    one.state.lots[0], one.state.costs[0] = 10, 5_000
    explained = restatements(one.state, held({AAA: (10, 5_300)}, wallet + 300), T0)
    assert explained == [CostRestated(T0, AAA, 5_300)]
    assert restatements(one.state, held({AAA: (10, 5_300)}, wallet + 299), T0) == []
    assert restatements(one.state, held({AAA: (11, 5_300)}, wallet + 300), T0) == []
    assert restatements(one.state, held({AAA: (10, 5_000)}, wallet), T0) == []
    assert restatements(one.state, held({AAA: (10, 5_300), BBB: (1, 1)}, wallet + 300), T0) == []
    one.state.lots[1], one.state.costs[1] = 10, 5_000
    assert restatements(one.state, held({AAA: (10, 5_300), BBB: (10, 4_700)}, wallet), T0) == [], "equal wallets need no explanation"


def test_a_cost_of_no_slot_is_refused():
    account = new_account()
    open_account(account, 1_000, T0)
    with pytest.raises(InvalidInput):
        restate_cost(account, 1, 5, np.zeros(1, np.int64))
