"""Drawdown and the day's loss through the engine: levels, latches, the UTC day, and a restart that forgets nothing.

The position is 20,000 lots (2,000 USDT at 1,000 ticks) on 10,000 USDT, so 5 ticks are 0.1 % of equity.
"""

from __future__ import annotations

import pytest

from kedge.domain.events import BarClosed, Command, CommandGiven, OrderProvenAbsent
from kedge.domain.orders import Side
from kedge.domain.outputs import CancelSent, OrderRefused, RiskStateChanged
from kedge.domain.units import E8
from kedge.engine.engine import Engine
from kedge.kernel.account import DRAWDOWN_E8, PEAK
from kedge.risk.states import RiskState

from ...builders import AAA, DAY, HOUR, T0, WALLET_E8, Wish, bar, engine, filled, sent


def long_engine(**changes: object) -> tuple[Engine, Wish]:
    wish = Wish().say(0.2)
    one = engine(wish, **changes)
    for n, made in enumerate(sent(one.step(bar(1)))):
        one.step(filled(made, T0 + 61_000_000_000, 1_000, fill_id=f"f{n}"))
    return one, wish


def at(ts_ns: int, close: int) -> BarClosed:
    return BarClosed(ts_ns, AAA, ts_ns - 60_000_000_000, close, close, close, close, 1_000_000)


def states(outputs: tuple[object, ...]) -> list[tuple[str, str]]:
    return [(o.state, o.code) for o in outputs if isinstance(o, RiskStateChanged)]


def test_the_days_loss_reduces_then_halts_on_the_tick_that_crosses_it() -> None:  # C-RISK-10
    one, _ = long_engine()
    assert states(one.step(at(T0 + HOUR, 926))) == []  # 1.48 %
    assert states(one.step(at(T0 + 2 * HOUR, 925))) == [("reduce_only", "DAILY_LOSS")]  # 1.5 %
    assert states(one.step(at(T0 + 3 * HOUR, 901))) == []
    assert states(one.step(at(T0 + 4 * HOUR, 900))) == [("halted", "DAILY_LOSS")]  # 2 %
    assert one.summary()["daily_loss"] == "0.02000000"


def test_reduce_only_lets_out_and_not_in() -> None:
    one, wish = long_engine()
    one.step(at(T0 + HOUR, 925))
    wish.say(0.3)
    refused = [o for o in one.step(at(T0 + 2 * HOUR, 925)) if isinstance(o, OrderRefused)]
    assert [o.code for o in refused] == ["REDUCE_ONLY"]
    wish.say(0.1)
    assert [o.side for o in sent(one.step(at(T0 + 3 * HOUR, 925)))] == [Side.SELL]


def test_a_days_halt_outlasts_the_day_only() -> None:
    one, wish = long_engine()
    one.step(at(T0 + HOUR, 900))
    assert one.state.risk_state is RiskState.HALTED
    assert states(one.step(at(T0 + 2 * HOUR, 950))) == [], "prices came back on the same day"
    wish.say(0.1)
    assert sent(one.step(at(T0 + 3 * HOUR, 1_000))) == []
    outputs = one.step(at(T0 + DAY, 1_000))
    assert states(outputs) == [("running", "NEW_DAY")]
    assert len(sent(outputs)) == 1, "and it goes back to work"
    assert one.summary()["daily_loss"] == "0.00000000"


def test_a_persons_halt_given_during_a_days_halt_stays() -> None:
    one, _ = long_engine()
    one.step(at(T0 + HOUR, 900))
    assert states(one.step(CommandGiven(T0 + 2 * HOUR, Command.HALT, "ann", "stay down"))) == [("halted", "COMMAND")]
    assert states(one.step(at(T0 + DAY, 1_000))) == []
    assert one.state.risk_state is RiskState.HALTED


def falling(one: Engine, from_day: int = 1) -> list[tuple[str, str]]:
    """1.2 % a day, so that the day's loss never acts: 6 ticks of 10 a day on a fifth of equity."""
    seen = []
    for day in range(from_day, 8):
        seen += states(one.step(at(T0 + day * DAY, 1_000 - 60 * day)))
    return seen


def test_drawdown_latches_until_a_person_resumes_and_again_while_it_lasts() -> None:  # C-RISK-11
    one, _ = long_engine()
    assert falling(one) == [("reduce_only", "DRAWDOWN"), ("halted", "DRAWDOWN")]
    assert one.summary()["drawdown_now"] == "0.08400000"
    for day in (8, 9):
        assert states(one.step(at(T0 + day * DAY, 700))) == [], "prices came back, a halt does not end by itself"
    resumed = states(one.step(CommandGiven(T0 + 9 * DAY, Command.RESUME, "bob", "looked at it")))
    assert resumed == [("running", "COMMAND")], "6 % is under the level that reduces"


def test_a_resume_while_the_loss_lasts_halts_again_at_once() -> None:
    one, _ = long_engine()
    falling(one)
    outputs = one.step(CommandGiven(T0 + 7 * DAY + 1, Command.RESUME, "bob", "hope"))
    assert states(outputs) == [("running", "COMMAND"), ("halted", "DRAWDOWN")]


def flat_below(*closes: int) -> Engine:
    """An account that lost what these closes say, one a day, and closed its position an hour later: its equity stands still from there."""
    one, wish = long_engine()
    for n, close in enumerate(closes, 1):
        one.step(at(T0 + n * DAY, close))
    wish.say(0.0)
    out_ns = T0 + len(closes) * DAY + HOUR
    for n, made in enumerate(sent(one.step(at(out_ns, closes[-1])))):
        one.step(filled(made, out_ns + 1, closes[-1], fill_id=f"out{n}"))
    assert one.state.by_index[0].position_lots == 0
    return one


def test_a_days_reduction_ends_with_the_day_though_the_flat_book_stays_below_its_peak() -> None:
    one = flat_below(940, 880, 820, 740)  # 1.2 % three times, and 1.6 %
    assert (one.state.risk_state, one.state.halt_code) == (RiskState.REDUCE_ONLY, "DAILY_LOSS")
    outputs = one.step(at(T0 + 5 * DAY, 740))
    (change,) = [o for o in outputs if isinstance(o, RiskStateChanged)]
    assert (change.state, change.code, change.observed, change.limit) == ("running", "RECOVERED", "DAILY_LOSS 0.0000%", "1.0000%")
    assert 5_000_000 < one.state.account_view[DRAWDOWN_E8] < 6_500_000, "between the levels of the drawdown for good"


def test_a_person_lets_a_flat_book_go_on_beyond_the_reduce_level_of_drawdown_and_it_stays_so() -> None:
    one = flat_below(940, 880, 820, 760, 700, 670)
    assert (one.state.risk_state, one.state.halt_code) == (RiskState.REDUCE_ONLY, "DRAWDOWN")
    for day in (7, 8, 9):
        assert states(one.step(at(T0 + day * DAY, 670))) == [], "nothing but a person ends it"
    assert states(one.step(CommandGiven(T0 + 9 * DAY + 1, Command.RESUME, "bob", "understood"))) == [("running", "COMMAND")]
    two = engine(Wish())
    two.restore(one.snapshot())
    assert two.snapshot() == one.snapshot()
    for each in (one, two):
        assert [states(each.step(at(T0 + (10 + n) * DAY, 670))) for n in range(3)] == [[], [], []]
        assert each.state.account_view[DRAWDOWN_E8] >= 6_500_000
    assert two.snapshot() == one.snapshot(), "a restart remembers what was accepted"


def test_an_accepted_drawdown_is_told_when_it_is_over_and_counts_again_afterwards() -> None:
    one, _ = long_engine()
    for day in range(1, 7):
        one.step(at(T0 + day * DAY, 1_000 - 55 * day))
    assert (one.state.risk_state, one.state.halt_code) == (RiskState.REDUCE_ONLY, "DRAWDOWN")
    resume = CommandGiven(T0 + 6 * DAY + 1, Command.RESUME, "bob", "understood")
    assert states(one.step(resume)) == [("running", "COMMAND")]
    assert states(one.step(at(T0 + 7 * DAY, 672))) == []
    assert states(one.step(at(T0 + 8 * DAY, 760))) == [("running", "RECOVERED")], "4.8 %"
    assert states(one.step(at(T0 + 9 * DAY, 710))) == []
    assert states(one.step(at(T0 + 10 * DAY, 660))) == [("reduce_only", "DRAWDOWN")]


def test_an_accepted_drawdown_still_halts_at_its_halt_level() -> None:
    one, _ = long_engine()
    for day in range(1, 7):
        one.step(at(T0 + day * DAY, 1_000 - 55 * day))
    one.step(CommandGiven(T0 + 6 * DAY + 1, Command.RESUME, "bob", "understood"))
    assert states(one.step(at(T0 + 7 * DAY, 620))) == []
    assert states(one.step(at(T0 + 8 * DAY, 590))) == [("halted", "DRAWDOWN")]


def test_a_resume_from_a_days_reduction_is_undone_while_the_loss_stands_at_its_level() -> None:
    one, _ = long_engine()
    one.step(at(T0 + HOUR, 925))
    again = one.step(CommandGiven(T0 + HOUR + 1, Command.RESUME, "bob", "hope"))
    assert states(again) == [("running", "COMMAND"), ("reduce_only", "DAILY_LOSS")]
    one.step(at(T0 + 2 * HOUR, 930))
    assert states(one.step(CommandGiven(T0 + 2 * HOUR + 1, Command.RESUME, "bob", "1.4 %"))) == [("running", "COMMAND")]
    assert states(one.step(at(T0 + 3 * HOUR, 930))) == []


def test_drawdown_takes_a_days_reduction_over_and_outlasts_the_day() -> None:
    one, _ = long_engine()
    for n, close in enumerate((940, 880, 820, 760), 1):
        assert states(one.step(at(T0 + n * DAY, close))) == []
    assert states(one.step(at(T0 + 5 * DAY, 760))) == []
    assert states(one.step(at(T0 + 5 * DAY + HOUR, 686))) == [("reduce_only", "DAILY_LOSS")], "1.6 % of the day, 6.3 % in all"
    assert states(one.step(at(T0 + 5 * DAY + 2 * HOUR, 674))) == [("reduce_only", "DRAWDOWN")]
    assert states(one.step(at(T0 + 6 * DAY, 674))) == []


def test_what_recovery_folds_is_what_was_decided_also_of_an_accepted_drawdown() -> None:
    one, two = long_engine()[0], long_engine()[0]
    events = [at(T0 + day * DAY, 1_000 - 55 * day) for day in range(1, 7)]
    resume = CommandGiven(T0 + 6 * DAY + 1, Command.RESUME, "bob", "understood")
    for event in (*events, resume, at(T0 + 7 * DAY, 672), at(T0 + 8 * DAY, 760)):
        two.apply(event, one.step(event))
        assert two.snapshot() == one.snapshot()
    assert not one.state.drawdown_accepted


def test_a_restart_cannot_reset_the_high_water_mark() -> None:  # C-RISK-11
    one, _ = long_engine()
    one.step(at(T0 + DAY, 1_200))
    peak = one.state.account_view[PEAK]
    assert peak == WALLET_E8 + 400 * E8
    one.step(at(T0 + DAY + HOUR, 1_190))
    two = engine(Wish())
    two.restore(one.snapshot())
    assert two.snapshot() == one.snapshot()
    assert two.state.account_view[PEAK] == peak
    days = [at(T0 + (2 + n) * DAY, 1_190 - 60 * n) for n in range(8)]
    assert [states(one.step(b)) for b in days] == [states(two.step(b)) for b in days]
    assert two.state.risk_state is RiskState.HALTED
    three = engine(Wish())
    three.restore(two.snapshot())
    assert three.state.halt_code == "DRAWDOWN"
    assert states(three.step(at(T0 + 20 * DAY, 1_190))) == [], "a halt outlives a restart"


def test_a_halt_cancels_everything_and_reduce_only_keeps_what_reduces() -> None:
    one, wish = long_engine()
    wish.say(0.1)
    (reducing,) = sent(one.step(at(T0 + HOUR, 1_000)))
    outputs = one.step(at(T0 + 2 * HOUR, 925))
    assert states(outputs) == [("reduce_only", "DAILY_LOSS")]
    assert [o for o in outputs if isinstance(o, CancelSent)] == []
    outputs = one.step(at(T0 + 3 * HOUR, 900))
    assert [o.client_order_id for o in outputs if isinstance(o, CancelSent)] == [reducing.client_order_id]


def test_trouble_outranks_the_days_halt() -> None:
    one, _ = long_engine()
    one.step(at(T0 + HOUR, 900))
    assert states(one.step(OrderProvenAbsent(T0 + 2 * HOUR, "foreign"))) == [("halted", "FOREIGN_ORDER")]
    assert states(one.step(at(T0 + DAY, 1_000))) == [], "it does not end with the day"


@pytest.mark.parametrize("exposure", [0.0, 0.2, -0.2])
def test_nothing_is_sent_while_halted(exposure: float) -> None:
    one, wish = long_engine()
    one.step(CommandGiven(T0 + HOUR, Command.HALT, "ann", "drill"))
    wish.say(exposure)
    assert sent(one.step(at(T0 + 2 * HOUR, 1_000))) == []
    assert one.state.orders.live_count == 0
