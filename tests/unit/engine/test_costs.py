"""What trading cost: slippage by fill and in all, against the mid or the mark, and the shortfall of what was not filled."""

from __future__ import annotations

import msgspec

from kedge.domain.events import QuoteLost, QuoteSampled
from kedge.domain.orders import Side
from kedge.domain.outputs import Decided, OrderSent
from kedge.engine.costs import CostLedger, FillCost, against, arrival_of, bps_text, half_text, slippage2_e8
from kedge.strategy.execution import ExecutionPolicy, Style

from ...builders import AAA, BBB, MINUTE, T0, Wish, bar, canceled, engine, filled, instrument, liquidated, order, sent

VALUE_E8 = instrument().tick_value_e8


def test_slippage_is_positive_when_it_cost_something_on_both_sides() -> None:
    buy, sell = (filled(order("o", side, 10), T0, 1_002) for side in (Side.BUY, Side.SELL))
    assert (slippage2_e8(buy, 2_001, VALUE_E8), slippage2_e8(sell, 2_001, VALUE_E8)) == (30 * VALUE_E8, -30 * VALUE_E8)


def test_text_is_exact_and_unknown_is_never_zero() -> None:
    assert (half_text(300_000_000), half_text(-4), half_text(0)) == ("1.50000000", "-0.00000002", "0.00000000")
    assert (bps_text(1, 0), bps_text(3, 2_000)) == ("", "15.00")
    assert [against(*pair) for pair in ((0, 0), (1, 0), (0, 1), (1, 1))] == ["", "mid", "mark", "mid and mark"]
    unknown = FillCost()
    assert (unknown.slippage, unknown.bps, unknown.against) == ("", "", "")


def test_the_account_sums_what_is_measured_against_the_mid_apart_from_the_mark() -> None:
    wish = Wish().say(0.1)
    one = engine(wish)
    one.step(QuoteSampled(T0 + MINUTE, AAA, 998, 1_001, 1, 1))
    (first,) = sent(one.step(bar(1)))
    one.step(filled(first, T0 + MINUTE + 1, 1_002))
    one.step(QuoteLost(T0 + 2 * MINUTE, AAA, "gap"))
    wish.say(0.15)
    (second,) = sent(one.step(bar(2)))
    one.step(filled(second, T0 + 2 * MINUTE + 1, 999, fill_id="f2"))
    told = one.summary()
    lots = second.qty_lots
    assert told["slippage_against"] == "mid and mark"
    assert told["slippage_against_mid"] == half_text((2_004 - 1_999) * 10_000 * VALUE_E8)
    assert told["slippage_against_mark"] == half_text(-2 * lots * VALUE_E8)
    cost, worth = 50_000 - 2 * lots, 1_999 * 10_000 + 2_000 * lots
    assert told["slippage_bps"] == f"{cost * 10_000 / worth:.2f}"


def test_liquidations_and_fills_of_nobody_are_no_slippage_of_a_decision() -> None:
    one = engine(Wish().say(0.1))
    (made,) = sent(one.step(bar(1)))
    one.step(filled(made, T0 + MINUTE + 1, 1_000))
    one.step(liquidated(T0 + MINUTE + 2, Side.SELL, 100, 900))
    assert one.summary()["slippage"] == "0.00000000"


def test_the_unfilled_rest_has_a_shortfall_while_it_waits_and_when_it_is_replaced() -> None:
    wish = Wish().say(0.1)
    one = engine(wish, execution=ExecutionPolicy(style=Style.LIMIT))
    (made,) = sent(one.step(bar(1)))
    one.step(filled(made, T0 + MINUTE + 1, 1_000, lots=4_000, leaves=6_000))
    one.step(bar(2, 1_005))
    assert one.summary()["unfilled_shortfall"] == half_text(2 * 5 * 6_000 * VALUE_E8)
    wish.say(0.0)
    one.step(bar(3, 1_005))
    one.step(canceled(made, T0 + 3 * MINUTE))
    kept = one.state.unfilled2_e8
    assert kept == 2 * 5 * 6_000 * VALUE_E8
    (out,) = sent(one.step(bar(4, 1_005)))
    one.step(filled(out, T0 + 4 * MINUTE + 1, 1_005, fill_id="f2"))
    assert one.summary()["unfilled_shortfall"] == half_text(kept)


def test_a_journal_folds_into_costs_by_fill_and_by_decision() -> None:
    wish = Wish().say(0.1)
    one = engine(wish)
    one.step(QuoteSampled(T0 + MINUTE, AAA, 999, 1_001, 1, 1))
    outputs = one.step(bar(1))
    (made,) = sent(outputs)
    ledger = CostLedger({AAA: instrument()})
    ledger.took(outputs)
    first = ledger.fill(filled(made, T0, 1_001, lots=4_000, leaves=6_000))
    second = ledger.fill(filled(made, T0, 1_002, lots=1_000, leaves=5_000, fill_id="f2"))
    assert (first.against, first.decision_id, first.slippage) == ("mid", "run.1", half_text(2 * 4_000 * VALUE_E8))
    assert (first.bps, second.bps) == ("10.00", "20.00")
    (decision,) = ledger.decisions.values()
    assert decision.as_plain(instrument()) == {
        "decision_id": "run.1", "instrument": AAA, "against": "mid", "ordered": "10.000", "filled": "5.000",
        "slippage": half_text(2 * 6_000 * VALUE_E8), "slippage_bps": "12.00",
    }  # fmt: skip
    assert ledger.fill(bar(2)) == ledger.fill(filled(order("other"), T0, 1_000)) == FillCost()
    elsewhere = msgspec.structs.replace(filled(made, T0, 1_000, fill_id="f3"), instrument=BBB)
    assert ledger.fill(elsewhere) == FillCost()


def test_an_order_without_a_known_decision_or_a_price_counts_for_nothing() -> None:
    ledger = CostLedger({AAA: instrument()})
    one = engine(Wish().say(0.1))
    outputs = one.step(bar(1))
    decided = next(o for o in outputs if isinstance(o, Decided))
    ordered = next(o for o in outputs if isinstance(o, OrderSent))
    ledger.took([ordered])
    assert ledger.fill(filled(ordered.approved.order, T0, 1_000)) == FillCost()
    ledger.took([msgspec.structs.replace(decided, mark_ticks=0), ordered])
    assert ledger.decisions == {}
    assert arrival_of(msgspec.structs.replace(decided, mid2_ticks=2_003), like=False) == 2 * decided.mark_ticks
