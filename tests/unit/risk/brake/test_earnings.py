"""Of a change of equity losses count as much as trading can have done: a withdrawal is none of it, and no deposit hides it."""

from __future__ import annotations

import pytest
from tests.simulation.world import listing

from kedge.domain.events import OrderFilled
from kedge.domain.orders import Liquidity, Side
from kedge.domain.units import E8, NS_PER_S
from kedge.risk.brake.earnings import (
    BEYOND_SHOWN_BPS,
    BEYOND_UNKNOWN_BPS,
    BEYOND_UNSEEN_BPS,
    KEPT,
    LISTED_NS,
    NOISE_BPS,
    Earnings,
    Estimate,
    Shown,
)

S = NS_PER_S
NOW = 1_000_000 * S
BASE = 10_000 * E8
SPECS = {spec.instrument_id: spec for spec in listing()}
A, B, _ = SPECS
TICK = SPECS[A].tick_e8
LOT = SPECS[A].tick_value_e8
FEE = SPECS[A].taker_fee_e8
AT = 10_000


def fill(name: str, lots: int, price: int = AT, of: str = A, ts_ns: int = NOW, fee_e8: int = 0) -> OrderFilled:
    side = Side.BUY if lots > 0 else Side.SELL
    return OrderFilled(ts_ns, name, "", of, side, abs(lots), price, fee_e8, Liquidity.TAKER, 0)


def shown(equity_e8: int, lots: int, price: int | None = AT, *, unrealised_e8: int = 0, cost: int | None = None) -> Shown:
    """What the venue shows of A; its position cost what it costs at `AT`, and so much of equity is not realised."""
    costs = {A: lots * AT * LOT if cost is None else cost} if lots else {}
    return Shown(
        equity_e8=equity_e8, wallet_e8=equity_e8 - unrealised_e8, lots={A: lots} if lots else {}, costs_e8=costs,
        marks_e8={} if price is None else {A: price * TICK},
    )  # fmt: skip


def begun(lots: int = 100) -> Earnings:
    earnings = Earnings()
    earnings.show({A: AT * TICK}, {})
    agree(earnings, lots)
    return earnings


def agree(
    earnings: Earnings, lots: int, price: int | None = AT, *, explained: int | None = None, waiting: tuple[OrderFilled, ...] = (),
    now_ns: int = NOW, unrealised_e8: int = 0,
) -> None:  # fmt: skip
    held = {A: lots if explained is None else explained}
    earnings.agree(shown(BASE, lots, price, unrealised_e8=unrealised_e8), held, waiting, SPECS, now_ns)


def judged(earnings: Earnings, change_e8: int, lots: int, price: int | None = AT, waiting: tuple[OrderFilled, ...] = ()) -> Estimate:
    earnings.show({} if price is None else {A: price * TICK}, {})
    unrealised_e8 = lots * ((price or AT) - AT) * LOT
    return earnings.estimate(shown(BASE + change_e8, lots, price, unrealised_e8=unrealised_e8), waiting, SPECS)


def test_nothing_is_left_out_before_anything_was_agreed_on() -> None:
    found = Earnings().estimate(shown(-5, 3), [], SPECS)
    assert (found.equity_e8, found.strange_e8, found.is_strange) == (-5, 0, False)


@pytest.mark.parametrize("gone_e8", [-9_000 * E8, -1, 1, 500 * E8])
def test_what_moves_without_a_trade_is_neither_profit_nor_loss_and_the_price_counts_all_the_same(gone_e8: int) -> None:
    found = judged(begun(100), gone_e8, 100)
    assert (found.equity_e8, found.strange_e8, found.is_strange) == (BASE, gone_e8, True)
    lost_e8 = -100 * 700 * LOT
    found = judged(begun(100), gone_e8 + lost_e8, 100, AT - 700)
    assert (found.equity_e8, found.strange_e8) == (BASE + lost_e8, gone_e8)
    found = judged(begun(-100), gone_e8 + lost_e8, -100, AT + 700)
    assert (found.equity_e8, found.strange_e8) == (BASE + lost_e8, gone_e8)


def test_a_trade_that_was_told_counts_at_its_price_and_fee_whatever_came_with_it() -> None:
    earned_e8 = -100 * 900 * LOT - 77
    for flow_e8 in (-3_000 * E8, 3_000 * E8):
        earnings = begun(100)
        earnings.take([fill("f", -100, AT - 900, fee_e8=77)])
        found = judged(earnings, earned_e8 + flow_e8, 0, None)
        assert (found.equity_e8, found.strange_e8, found.is_strange) == (BASE + earned_e8, flow_e8, True)


def test_a_position_that_got_smaller_counts_as_lost_as_far_as_prices_allow() -> None:
    lost_e8 = -100 * 900 * LOT
    earnings = begun(100)
    earnings.show({A: (AT - 900) * TICK}, {})
    found = judged(earnings, lost_e8, 0, AT - 900)
    assert (found.equity_e8, found.strange_e8, found.is_strange) == (BASE + lost_e8, 0, False)
    found = judged(begun(100), -9_000 * E8, 0, AT - 900)
    assert BASE - found.equity_e8 == pytest.approx(100 * 900 * LOT, rel=0.02), "the worst that was shown, and a fee"
    assert found.is_strange
    beyond_e8 = -100 * (900 + AT * BEYOND_SHOWN_BPS // 20_000) * LOT
    found = judged(begun(100), beyond_e8, 0, AT - 900)
    assert (found.equity_e8, found.strange_e8) == (BASE + beyond_e8, 0)


def test_a_deposit_hides_no_close_that_nobody_told_of_and_none_is_made_up() -> None:
    found = judged(begun(100), 3_000 * E8, 0, AT - 900)
    assert BASE - found.equity_e8 == pytest.approx(100 * 900 * LOT, rel=0.02)
    for flow_e8 in (3_000 * E8, -3_000 * E8):
        found = judged(begun(100), flow_e8, 0, AT)
        assert 0 < BASE - found.equity_e8 < 100 * AT * LOT // 1_000


def test_the_venues_stop_may_have_closed_where_it_stood() -> None:
    stopped_e8 = -100 * 1_500 * LOT
    assert judged(begun(100), stopped_e8, 0).strange_e8 < 0
    earnings = begun(100)
    earnings.show({A: AT * TICK}, {A: (AT - 1_500) * TICK})
    assert judged(earnings, stopped_e8, 0).strange_e8 == 0


def test_where_no_price_is_shown_much_more_may_have_been_lost() -> None:
    known, unknown = judged(begun(100), -9_000 * E8, 0), judged(begun(100), -9_000 * E8, 0, None)
    assert (BASE - unknown.equity_e8) > (BASE - known.equity_e8) * (BEYOND_UNKNOWN_BPS // BEYOND_SHOWN_BPS) // 2


def test_a_short_that_was_bought_back_dearly_counts_too() -> None:
    lost_e8 = -100 * 400 * LOT
    found = judged(begun(-100), lost_e8, 0, AT + 400)
    assert (found.equity_e8, found.strange_e8) == (BASE + lost_e8, 0)


def test_after_a_restart_prices_that_nobody_saw_count_further() -> None:
    earnings = Earnings()
    earnings.resume(BASE, {A: 100}, {A: AT * TICK}, [])
    unseen_e8 = -100 * AT * BEYOND_UNSEEN_BPS // 11_000 * LOT
    found = judged(earnings, unseen_e8, 0)
    assert (found.equity_e8, found.strange_e8) == (BASE + unseen_e8, 0)
    assert judged(begun(100), unseen_e8, 0).strange_e8 < 0
    earnings.resume(BASE, {A: 100}, {A: AT * TICK}, [fill("f", -100, AT - 50, fee_e8=3)])
    found = judged(earnings, -9_000 * E8, 0)
    assert found.equity_e8 == BASE - 100 * 50 * LOT - 3


def test_a_fill_that_positions_do_not_show_yet_may_be_in_the_wallet_or_not() -> None:
    one = fill("f", -40, AT - 10, fee_e8=5)
    for change_e8, counted_e8 in ((-40 * 10 * LOT - 5, -40 * 10 * LOT - 5), (0, 0), (-9_000 * E8, -40 * 10 * LOT - 5)):
        earnings = begun(100)
        earnings.take([one])
        assert judged(earnings, change_e8, 100, AT, (one,)).equity_e8 == BASE + counted_e8


def test_a_wallet_that_lags_behind_positions_is_measured_from_what_was_held_in_it() -> None:
    earnings, sold = begun(100), fill("f", -100, AT - 900)
    earnings.take([sold])
    agree(earnings, 0, None)
    assert earnings.lots == {A: 100}
    assert judged(earnings, -100 * 900 * LOT, 0, None).equity_e8 == BASE - 100 * 900 * LOT


def test_positions_that_lag_behind_the_wallet_are_measured_from_what_is_held_in_it() -> None:
    earnings, sold = begun(100), fill("f", -60)
    earnings.take([sold])
    earnings.know(["f"])
    agree(earnings, 100, waiting=(sold,))
    assert earnings.lots == {A: 40}
    found = judged(earnings, -500 * E8, 40)
    assert (found.equity_e8, found.strange_e8) == (BASE, -500 * E8)


def test_a_fill_that_the_ledger_lists_is_in_the_wallet_whenever_it_is_heard() -> None:
    earnings = begun(100)
    earnings.know(["f"])
    earnings.take([fill("f", -100, AT - 900)])
    assert earnings.instruments == {A}
    found = judged(earnings, -500 * E8, 100)
    assert (found.equity_e8, found.strange_e8) == (BASE, -500 * E8)


def test_an_old_fill_is_in_the_wallet_whatever_its_row_is_called() -> None:
    earnings = begun(100)
    earnings.take([fill("f", -50, AT - 900, ts_ns=NOW)])
    agree(earnings, 50, now_ns=NOW + LISTED_NS)
    assert earnings.lots == {A: 50}


def test_noise_between_two_answers_is_not_strange_where_something_traded() -> None:
    within_e8 = BASE * NOISE_BPS // 10_000
    earnings = begun(100)
    earnings.take([fill("f", 10)])
    assert not judged(earnings, within_e8, 110).is_strange
    assert judged(earnings, within_e8 + 1, 110).is_strange


def test_what_nobody_has_the_record_of_counts_whole_while_it_is_held() -> None:
    earnings = begun(100)
    earnings.take([fill("f", 10, of=B)])
    found = earnings.estimate(shown(BASE - 700, 100), [], {})
    assert (found.equity_e8, found.is_strange) == (BASE - 700, False)
    found = earnings.estimate(shown(BASE - 700, 100), [], {A: SPECS[A]})
    assert found.equity_e8 == BASE, "a trade of something else that is not held says nothing yet"


def test_a_trade_of_something_that_was_never_shown_counts_by_what_was_paid() -> None:
    earnings, one = begun(0), fill("f", 500, fee_e8=9)
    earnings.take([one])
    found = judged(earnings, -3_000 * E8, 0, None, (one,))
    assert found.equity_e8 == BASE - 9


def test_a_price_that_moved_between_two_answers_is_not_counted_twice_nor_left_out() -> None:
    lost_e8 = -100 * 900 * LOT
    sold = fill("f", -100, AT - 900)
    early = begun(100)  # the wallet's answer knew the fall, the positions' did not
    early.take([sold])
    agree(early, 0, None, unrealised_e8=lost_e8)
    assert judged(early, 0, 0, AT - 900).equity_e8 == BASE
    late = begun(100)  # the positions' answer knew it, the wallet's did not
    agree(late, 100, AT - 900, unrealised_e8=0)
    late.take([sold])
    assert judged(late, lost_e8, 0, AT - 900).equity_e8 == BASE + lost_e8
    assert judged(late, lost_e8 - 3_000 * E8, 0, AT - 900).equity_e8 == BASE + lost_e8


def test_a_position_that_cost_something_else_was_traded_though_it_is_as_large_as_before() -> None:
    realised_e8 = -100 * 200 * LOT
    earnings = begun(100)
    found = earnings.estimate(shown(BASE + realised_e8, 100, AT - 200, cost=100 * (AT - 200) * LOT), [], SPECS)
    assert (found.equity_e8, found.strange_e8) == (BASE + realised_e8, 0)


def test_answers_that_cannot_be_compared_count_as_torn() -> None:
    earnings = Earnings()
    earnings.agree(shown(BASE, 100, None), {A: 100}, [], SPECS, NOW)
    earnings.take([fill("f", -100, AT - 300)])
    assert judged(earnings, -100 * 300 * LOT, 0, AT - 300).equity_e8 == BASE


def test_only_so_many_listed_fills_are_remembered() -> None:
    earnings = begun(0)
    earnings.know(f"f{n}" for n in range(KEPT + 5))
    earnings.take([fill("f0", 10), fill(f"f{KEPT}", 10, of=B)])
    assert earnings.instruments == {A}
