"""Limits that change while an engine runs, alerts at soft levels, and the account's rows from order to order."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from kedge.domain.events import DailyHistory, Event, LimitsChanged, OrderAccepted, OverrideGranted
from kedge.domain.orders import Side
from kedge.domain.outputs import AlertRaised, CancelSent, OrderRefused, OrderSent, RiskStateChanged
from kedge.engine.engine import Engine
from kedge.ops.settings import Limits as Configured
from kedge.risk.limits import Limits
from kedge.risk.states import RiskState
from kedge.strategy.execution import ExecutionPolicy, Style

from ...builders import AAA, BBB, HOUR, MINUTE, T0, Wish, bar, engine, filled, instrument, sent, settings

PRODUCT = Limits.from_plain(Configured().engine_values())
BARE = Limits()


def told(document: Limits, number: int = 1, at: int = T0 + 3 * MINUTE, **changes: Any) -> LimitsChanged:
    given = {"limits": document.plain(), "version": document.version, "number": number, "actor": "p1", "reason": "a quiet week", **changes}
    return LimitsChanged(at, **given)


def replaced(**changes: Any) -> Limits:
    return msgspec.structs.replace(BARE, **changes)


def test_a_tighter_document_holds_from_the_next_order_on_and_stands_on_it() -> None:
    wish = Wish()
    run = engine(wish)
    run.step(bar(1))
    tight = replaced(order_notional_frac_soft_e8=3_000_000, order_notional_frac_max_e8=4_000_000, position_notional_frac_max_e8=6_000_000)
    assert run.step(told(tight)) == ()
    wish.say(0.09)
    outputs = run.step(bar(4))
    (refused,) = (one for one in outputs if isinstance(one, OrderRefused))
    assert (refused.code, refused.limit, refused.limits_version) == ("POSITION_NOTIONAL", "600.00", tight.version)
    assert all(one.approved.limits_version == tight.version for one in outputs if isinstance(one, OrderSent))
    assert max(one.qty_lots for one in sent(outputs)) <= 4_000, "slices keep to the tighter limit of one order"


def test_a_document_that_was_told_before_or_overtaken_is_no_news() -> None:
    run = engine(limits=BARE, limits_number=3)
    for number in (1, 3):
        run.step(told(replaced(stale_bars_e2=120), number))
        assert run.state.limits == BARE
    run.step(told(replaced(stale_bars_e2=120), 7))
    assert (run.state.limits.stale_bars_e2, run.state.limits_number) == (120, 7)


@pytest.mark.parametrize("changes", [{"version": "0" * 16}, {"limits": {"order_notional_frac_max_e8": 0}}, {"limits": {"no_such": 1}}])
def test_what_cannot_be_read_halts_and_leaves_the_limits_in_force(changes: dict[str, Any]) -> None:
    run = engine()
    run.step(bar(1))
    run.step(told(replaced(stale_bars_e2=120), **changes))
    assert (run.state.risk_state, run.state.halt_code) == (RiskState.HALTED, "LIMITS_UNREADABLE")
    assert run.state.limits == BARE


def test_resting_orders_that_breach_the_new_limits_are_taken_back_and_others_stay() -> None:
    wish = Wish()
    run = engine(wish, [instrument(AAA), instrument(BBB, base="BBB")], execution=ExecutionPolicy(style=Style.LIMIT))
    resting = []
    for name, exposure in ((AAA, 0.05), (BBB, 0.09)):
        run.step(bar(1, instrument_id=name))
        wish.say(exposure, name)
        resting += sent(run.step(bar(2, instrument_id=name)))
    for n, one in enumerate(resting):
        run.step(OrderAccepted(T0 + 2 * MINUTE + 1 + n, one.client_order_id, f"v{n}"))
    limits = replaced(order_notional_frac_soft_e8=5_000_000, order_notional_frac_max_e8=6_000_000)
    outputs = run.step(told(limits))
    assert outputs == (CancelSent(client_order_id=resting[1].client_order_id, reason="LIMITS_CHANGED"),)
    listed = replaced(restricted=("AAA",), order_notional_frac_max_e8=6_000_000, order_notional_frac_soft_e8=5_000_000)
    outputs = run.step(told(listed, 2))
    assert outputs == (CancelSent(client_order_id=resting[0].client_order_id, reason="LIMITS_CHANGED"),)


def test_a_tighter_drawdown_acts_at_once() -> None:
    wish = Wish()
    run = engine(wish)
    run.step(bar(1))
    wish.say(0.1)
    (buy,) = sent(run.step(bar(2)))
    run.step(filled(buy, T0 + 2 * MINUTE + 1, 1_000))
    run.step(bar(3, 980))
    assert run.state.risk_state is RiskState.RUNNING
    limits = replaced(drawdown_soft_e8=50_000, drawdown_reduce_e8=100_000, drawdown_halt_e8=150_000)
    changes = [one for one in run.step(told(limits, at=T0 + 3 * MINUTE + 1)) if isinstance(one, RiskStateChanged)]
    assert [(one.state, one.code) for one in changes] == [("halted", "DRAWDOWN")], "0.2 % was lost"


def test_replaying_the_events_gives_the_same_outputs_and_a_restored_engine_goes_on_alike() -> None:
    def events() -> list[Event]:
        rng = np.random.default_rng(3)
        closes = tuple(int(price) for price in 10_000 * np.cumprod(1 + rng.normal(0, 0.02, 400)))
        bars = [bar(n, closes[-1] + int(rng.integers(-50, 50)), span=HOUR) for n in range(1, 120)]
        middle: list[Event] = [
            told(msgspec.structs.replace(PRODUCT, var99_soft_e8=500_000, var99_max_e8=800_000), 2, at=T0 + 60 * HOUR),
            OverrideGranted(T0 + 60 * HOUR, "a1", AAA, Side.BUY, 10**6, ("FAT_FINGER",), T0 + 99 * HOUR, "p1", "p2", "x"),
        ]
        return [DailyHistory(T0, AAA, T0, closes), *bars[:60], *middle, *bars[60:]]

    class Swings:
        name, features = "swings", ()

        def on_event(self, view: Any) -> Any:
            from kedge.strategy.base import Target

            return (Target(view.instrument, ((view.ts_ns // HOUR) % 7) / 50),)

    def fresh() -> Engine:
        return Engine(settings(limits=PRODUCT, interval_ns=HOUR), [instrument()], Swings())

    run, twin = fresh(), fresh()
    for n, event in enumerate(events()):
        outputs = run.step(event)
        for one in sent(outputs):
            run.step(filled(one, event.ts_ns, int(run.state.marks[0]), fill_id=f"f{n}.{one.client_order_id}"))
        assert twin.step(event) == outputs, n
        for one in sent(outputs):
            twin.step(filled(one, event.ts_ns, int(twin.state.marks[0]), fill_id=f"f{n}.{one.client_order_id}"))
        if n == 70:
            assert twin.snapshot() == run.snapshot()
            restored = fresh()
            restored.restore(run.snapshot())
            assert restored.snapshot() == run.snapshot()
            twin = restored
    assert run.state.limits_number == 2
    assert run.state.funnel.sent > 10


def test_a_soft_level_alerts_once_a_crossing_and_is_over_well_below() -> None:
    wish = Wish()
    limits = replaced(position_notional_frac_soft_e8=5_000_000, gross_leverage_soft_e8=8_000_000, drawdown_soft_e8=100_000)
    run = engine(wish, limits=limits)
    run.step(bar(1))
    wish.say(0.06)
    outputs = run.step(bar(2))
    assert [one for one in outputs if isinstance(one, AlertRaised)] == [
        AlertRaised(code="POSITION_NOTIONAL", severity="soft", observed="600.00", limit="500.00", instrument=AAA)
    ]
    (buy,) = sent(outputs)
    run.step(filled(buy, T0 + 2 * MINUTE + 1, 1_000))
    assert run.step(bar(3)) == (), "said once"
    assert run.step(bar(4, 980))[0] == AlertRaised(code="DRAWDOWN", severity="soft", observed="0.1200%", limit="0.1000%")
    wish.say(0.045)
    (sale,) = sent(run.step(bar(5, 1_000)))
    run.step(filled(sale, T0 + 5 * MINUTE + 1, 1_000, fill_id="f2"))
    over = [one for one in run.step(bar(6, 1_000)) if isinstance(one, AlertRaised)]
    assert [(one.code, one.severity) for one in over] == [("POSITION_NOTIONAL", "over")]
    wish.say(0.06)
    again = [one.code for one in run.step(bar(7, 1_000)) if isinstance(one, AlertRaised)]
    assert again == ["POSITION_NOTIONAL"], "the next crossing is told again"


def test_a_large_order_alerts_until_a_smaller_one() -> None:
    wish = Wish()
    run = engine(wish, limits=replaced(order_notional_frac_soft_e8=3_000_000, gross_leverage_soft_e8=100_000_000))
    run.step(bar(1))
    run.step(bar(1))
    told_: list[tuple[str, str]] = []
    for n, exposure in enumerate((0.05, 0.01, 0.02, 0.06), 2):
        wish.say(exposure)
        outputs = run.step(bar(n))
        told_ += [(one.code, one.severity) for one in outputs if isinstance(one, AlertRaised)]
        for one in sent(outputs):
            run.step(filled(one, T0 + n * MINUTE + 1, 1_000, fill_id=f"f{n}"))
    assert told_ == [("ORDER_NOTIONAL", "soft"), ("ORDER_NOTIONAL", "over"), ("ORDER_NOTIONAL", "soft")]


def test_var_refuses_what_would_go_beyond_it_and_alerts_before() -> None:
    wish = Wish()
    run = engine(wish, limits=PRODUCT, interval_ns=HOUR)
    run.step(bar(1, span=HOUR))
    outputs: list[Any] = []
    for n, exposure in enumerate((0.1, 0.2, 0.24, 0.28), 2):
        wish.say(exposure)
        outputs = list(run.step(bar(n, span=HOUR)))
        for one in sent(outputs):
            run.step(filled(one, T0 + n * HOUR + 1, 1_000, fill_id=f"f{n}"))
    codes = [one.code for one in outputs if isinstance(one, OrderRefused)]
    assert codes == ["POSITION_NOTIONAL"], "nearer than VaR on one market: 28 % of equity"
    assert sorted(name.partition("|")[0] for name in run.state.alerts) == ["ES975", "POSITION_NOTIONAL", "VAR99"]
    two = engine(w := Wish(), [instrument(AAA), instrument(BBB, base="BBB")], limits=PRODUCT, interval_ns=HOUR)
    for name in (AAA, BBB):
        two.step(bar(1, instrument_id=name, span=HOUR))
    w.say(0.2)
    for one in sent(two.step(bar(2, span=HOUR))):
        two.step(filled(one, T0 + 2 * HOUR + 1, 1_000))
    w.say(0.2, BBB)
    found = [one for one in two.step(bar(2, instrument_id=BBB, span=HOUR)) if isinstance(one, OrderRefused)]
    assert [(one.code, one.observed, one.limit) for one in found][-1] == ("VAR99", "3.9097% by prior", "3.5000%")


@pytest.mark.parametrize(("span", "first"), [(HOUR, 3), (24 * HOUR, 3)])
def test_the_account_s_rows_alert_at_bars(span: int, first: int) -> None:
    """Four times a day, three hours past midnight first, where bars are short; at every bar where they are long."""
    wish = Wish()
    limits = replaced(margin_ratio_soft_e8=50_000, var99_soft_e8=600_000, es975_soft_e8=600_000)
    run = engine(wish, limits=limits, interval_ns=span)
    run.step(bar(1, span=span))
    wish.say(0.04)
    (buy,) = sent(run.step(bar(2, span=span)))
    run.step(filled(buy, T0 + 2 * span + 1, 1_000))
    run.state.lots[0] = 20_000
    codes = {one.code for one in run.step(bar(first, span=span)) if isinstance(one, AlertRaised)}
    assert codes == {"VAR99", "ES975", "MARGIN_RATIO"}
    run.state.lots[0] = 100
    if span == HOUR:
        assert {one.code for one in run.step(bar(first + 1, span=span)) if isinstance(one, AlertRaised)} <= {"DRAWDOWN", "DAILY_LOSS"}
    over = {(one.code, one.severity) for one in run.step(bar(first + 6, span=span)) if isinstance(one, AlertRaised)}
    assert over >= {("VAR99", "over"), ("ES975", "over"), ("MARGIN_RATIO", "over")}
    assert not any(severity == "soft" and code in ("VAR99", "ES975", "MARGIN_RATIO") for code, severity in over)
    run.state.account[0] = -(10**15)
    run.step(bar(first + 12, span=span))
    assert not any(name.startswith("VAR99") for name in run.state.alerts)


def test_an_override_of_what_is_not_traded_is_no_news() -> None:
    run = engine()
    run.step(bar(1))
    assert run.step(OverrideGranted(T0 + MINUTE, "a1", BBB, Side.BUY, 1, ("FAT_FINGER",), T0 + HOUR, "p1", "p2", "x")) == ()
    assert not run.state.gate.overrides


def test_distance_to_liquidation_is_judged_over_the_whole_book() -> None:
    wish = Wish()
    limits = replaced(
        order_notional_frac_soft_e8=100_000_000, order_notional_frac_max_e8=100_000_000, position_notional_frac_max_e8=100_000_000,
        gross_leverage_max_e8=1_000_000_000, net_leverage_max_e8=1_000_000_000, liquidation_distance_min_e8=20_000_000,
        liquidation_distance_soft_e8=30_000_000, liquidation_sigmas_min_e2=500, liquidation_sigmas_soft_e2=600,
    )  # fmt: skip
    run = engine(wish, [instrument(AAA), instrument(BBB, base="BBB")], limits=limits)
    for name in (AAA, BBB):
        run.step(bar(1, instrument_id=name))
    run.state.lots[:], run.state.costs[:] = (360_000, 0), (360_000 * 10_000_000, 0)
    wish.say(0.05, BBB)
    outputs = run.step(bar(2, instrument_id=BBB))
    crossed = [one for one in outputs if isinstance(one, AlertRaised)]
    assert [(one.code, one.severity) for one in crossed] == [("LIQUIDATION_DISTANCE", "soft")], "of the other one, 26 % away"
    run.state.lots[0], run.state.costs[0] = 400_000, 400_000 * 10_000_000
    for one in sent(outputs):
        run.step(filled(one, T0 + 2 * MINUTE + 1, 1_000))
    wish.say(0.09, BBB)
    refused = [one for one in run.step(bar(3, instrument_id=BBB)) if isinstance(one, OrderRefused)]
    assert [one.code for one in refused] == ["LIQUIDATION_DISTANCE"]
    assert refused[0].limit == "at least 25.0000%", "five times the prior's 5 % a day"
