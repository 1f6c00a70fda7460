"""Sizes are capped where decisions are made: what is cut, what is refused, what is never held up, and when a size is cut again.

The account holds 10,000 USDT and the mark is 100.0, so 0.1 is 10,000 lots. Nobody knows any history, so one unit of notional is stated to
lose 0.05 * 2.7278 in the tail of a day. Most orders stay unanswered: what counts for a size is what is wanted.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.errors import InvalidConfig
from kedge.domain.events import BarClosed, BrakeTold, Command, CommandGiven, DailyHistory, Event, OrderCanceled
from kedge.domain.orders import FillCause, Side
from kedge.domain.outputs import Decided, Output
from kedge.domain.units import E8
from kedge.engine.book_after import PARAMETRIC, PRIOR_SIGMA, T_ES975, BookOfEngine
from kedge.engine.engine import Engine
from kedge.engine.sizing import RESIZED, Capped, Sizer, towards_zero_e8
from kedge.risk.limits import Limits
from kedge.risk.sizing import target_lots
from kedge.risk.sizing_policy import RESIZE_BAND_E2, SizingPolicy
from kedge.strategy.execution import ExecutionPolicy

from ...builders import AAA, BBB, CCC, HOUR, T0, WALLET_E8, Scripted, Wish, bar, engine, instrument, order, sent, settings, walk
from ...builders import filled as trade

UNIT_ES = PRIOR_SIGMA * T_ES975
NEAR = SizingPolicy(stop_frac_e8=5_000_000, gap_frac_e8=0)
"""With a stop so near the loss at the stop binds at 38.8 % of equity: the book's expected shortfall comes first."""


def made(outputs: tuple[Output, ...]) -> list[Decided]:
    return [one for one in outputs if isinstance(one, Decided)]


def sized(wish: Wish, count: int = 1, sizing: SizingPolicy | None = NEAR, **changes: Any) -> Engine:
    limits, execution = Limits(order_notional_frac_max_e8=25_000_000), ExecutionPolicy(slice_notional_frac_e8=22_000_000)
    specs = [instrument(name) for name in (AAA, BBB, CCC)[:count]]
    return engine(wish, specs, sizing=sizing, limits=limits, execution=execution, **changes)


def step(one: Engine, event: BarClosed) -> list[Decided]:
    """Decisions at a bar; every order that it makes is filled at its close."""
    outputs = one.step(event)
    for n, entry in enumerate(sent(outputs)):
        one.step(trade(entry, event.ts_ns, event.close_ticks, fill_id=f"f{event.ts_ns}.{n}"))
    return made(outputs)


def hold(one: Engine, n: int, exposure: float, name: str = AAA, **more: Any) -> Decided:
    """Ask for this exposure at bar `n`, and hold it after it."""
    one.strategy.say(exposure, name)  # type: ignore[attr-defined]
    (found,) = step(one, bar(n, 1_000, name, **more))
    assert one.state.slots[name].position_lots == found.target_lots
    return found


def say(one: Engine, n: int, exposure: float, name: str = AAA, close: int = 1_000) -> Decided | None:
    """The decision at bar `n` of an instrument of which this exposure is wanted."""
    one.strategy.say(exposure, name)  # type: ignore[attr-defined]
    found = made(one.step(bar(n, close, name)))
    assert len(found) <= 1
    return found[0] if found else None


# what is cut -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(
    ("policy", "bound_by", "allowed"),
    [
        (SizingPolicy(), "trade-risk", 0.02 / (0.10 + 0.05 + 0.0015)),
        (SizingPolicy(cost_frac_e8=0), "trade-risk", 0.02 / (0.10 + 0.05 + 2 * 0.00055)),
        (NEAR, "book-es", 0.025 / UNIT_ES),
        (SizingPolicy(stop_frac_e8=5_000_000, gap_frac_e8=0, leverage_max_e8=12_000_000), "leverage", 0.12),
    ],
)
def test_a_wish_is_cut_to_the_smallest_cap_and_the_decision_names_it(
    policy: SizingPolicy, bound_by: str, allowed: float, side: int
) -> None:
    found = say(sized(Wish(), sizing=policy), 1, side * 0.25)
    assert found is not None
    assert (found.code, found.bound_by, found.exposure_e8) == ("OK", bound_by, side * 25_000_000)
    assert found.allowed_e8 is not None
    assert 0 <= allowed * E8 - side * found.allowed_e8 < 1.0001, "rounded towards zero"
    assert found.target_lots == target_lots(found.allowed_e8, WALLET_E8, 1_000, 10_000) != 0


def test_what_every_cap_allows_is_sized_as_it_is_asked_for() -> None:
    found = say(sized(Wish()), 1, 0.1)
    assert found is not None
    assert (found.bound_by, found.allowed_e8, found.target_lots) == ("signal", 10_000_000, 10_000)
    loose = say(sized(Wish(), sizing=None), 1, 0.25)
    assert loose is not None
    assert (loose.bound_by, loose.allowed_e8, loose.target_lots) == ("", None, 25_000)


def test_what_the_rest_of_the_book_may_lose_is_taken_off_at_the_same_bar_already() -> None:
    one = sized(Wish(), 2)
    say(one, 1, 0.1)
    found = say(one, 1, 0.1, BBB)
    assert found is not None
    assert found.bound_by == "book-es"
    assert found.allowed_e8 == pytest.approx((0.025 / UNIT_ES - 0.1) * E8, abs=2)


def test_a_day_on_which_only_longs_lost_leaves_more_room_for_a_short() -> None:
    returns = [-0.08 if n % 30 == 0 else 0.003 for n in range(300)]
    closes = [10_000]
    for one_day in returns:
        closes.append(round(closes[-1] * (1 + one_day)))
    allowed = []
    for side in (1, -1):
        one = sized(Wish())
        one.step(DailyHistory(T0, AAA, T0, tuple(closes)))
        found = say(one, 1, side * 1.0, close=closes[-1])
        assert found is not None
        assert found.bound_by in ("book-es", "trade-risk")
        allowed.append(abs(found.allowed_e8 or 0))
    assert allowed[0] < allowed[1]


def test_a_position_whose_decision_was_given_up_counts_as_what_is_held() -> None:
    one = sized(Wish(), 2)
    say(one, 1, 0.1)
    one.state.slots[AAA].blocked = True
    found = say(one, 1, 0.18, BBB)
    assert found is not None
    assert (found.bound_by, found.allowed_e8) == ("signal", 18_000_000), "nothing is held of the first"


def test_a_decision_that_was_given_up_is_no_room_for_a_smaller_wish_when_the_budget_is_spent() -> None:
    one = sized(Wish(), 2)
    say(one, 1, 0.18)
    one.state.slots[AAA].blocked = True
    say(one, 1, 0.18, BBB)
    one.step(bar(2, 1_100, BBB))
    found = say(one, 2, 0.17)
    assert found is not None
    assert (found.code, found.exposure_e8) == ("ES_SPENT", 18_000_000), "nothing is held of what was wanted before"
    assert one.state.slots[AAA].blocked


# what is refused -------------------------------------------------------------------------------------------------


def test_a_book_that_has_outgrown_its_budget_takes_nothing_new_and_says_so_once() -> None:
    one = sized(Wish(), 2)
    say(one, 1, 0.18)
    one.step(bar(2, 1_100))
    found = say(one, 2, 0.1, BBB)
    assert found is not None
    assert (found.code, found.bound_by, found.allowed_e8) == ("ES_SPENT", "book-es", None)
    assert (found.exposure_e8, found.target_lots) == (0, 0)
    assert (found.observed, found.limit) == (f"{0.18 * 1.1 * UNIT_ES * 100:.4f}%", "2.5000%")
    assert say(one, 3, 0.1, BBB) is None
    assert one.state.funnel.as_plain()["vetoed"] == {"ES_SPENT": 1}


def test_what_a_cap_leaves_may_be_too_small_to_trade_and_is_taken_once_there_is_room() -> None:
    one = sized(Wish(), 2)
    say(one, 1, 0.1832)
    found = say(one, 1, 0.1, BBB)
    assert found is not None
    assert (found.code, found.bound_by, found.limit) == ("SIZE_CAPPED", "book-es", "1 lots")
    assert say(one, 2, 0.1, BBB) is None
    say(one, 3, 0.0)
    later = say(one, 3, 0.1, BBB)
    assert later is not None
    assert (later.code, later.allowed_e8) == ("OK", 10_000_000)


def test_a_wish_that_is_too_small_by_itself_becomes_flat_as_ever() -> None:
    found = say(sized(Wish()), 1, 0.0001)
    assert found is not None
    assert (found.code, found.exposure_e8, found.target_lots) == ("BELOW_MINIMUM", 10_000, 0)


class Blind:
    """Histories of which nothing follows."""

    def renew(self) -> int:
        return 1

    def book(self) -> tuple[Blind, str]:
        return self, "blind"

    equity_e8 = WALLET_E8

    def after_e8(self, index: int, delta_e8: int) -> tuple[float, float]:
        return float("nan"), float("nan")


def test_a_shortfall_that_cannot_be_told_refuses() -> None:
    one = sized(Wish())
    one.step(bar(1))
    sizer = Sizer(one.state, Blind(), NEAR, one.settings)  # type: ignore[arg-type]
    found = sizer.cap(one.state.slots[AAA], 10_000_000)
    assert found == Capped(10_000_000, "book-es", "ES_UNKNOWN", "cannot be told", "2.5000%")


@pytest.mark.parametrize(("usual", "jump"), [(0.0, 0.05), (0.003, 1.0)])
def test_a_market_that_lay_still_before_it_jumped_is_sized_by_its_stated_loss(usual: float, jump: float) -> None:
    closes = [1_000]
    for n in range(300):
        closes.append(round(closes[-1] * (1 + (usual if n % 2 else -usual))))
    closes.append(round(closes[-1] * (1 + jump)))
    one = sized(Wish())
    one.step(DailyHistory(T0, AAA, T0, tuple(closes)))
    found = say(one, 1, 0.1, close=closes[-1])
    assert found is not None
    assert found.code == "OK"
    held = BookOfEngine(one.state).held()
    assert held is not None
    assert held.method == PARAMETRIC


def test_without_a_stop_nothing_new_is_sized_and_what_is_held_may_go() -> None:
    bare = SizingPolicy(stop_frac_e8=0)
    found = say(sized(Wish(), sizing=bare), 1, 0.1)
    assert found is not None
    assert (found.code, found.bound_by, found.target_lots) == ("NO_STOP", "trade-risk", 0)
    one = sized(Wish(), sizing=bare)
    one.step(bar(1))
    one.state.slots[AAA].target_lots = 5_000
    less, none = say(one, 2, 0.02), say(one, 3, 0.0)
    assert less is not None
    assert none is not None
    assert (less.code, less.target_lots, none.code, none.target_lots) == ("OK", 2_000, "OK", 0)


# what is never held up -------------------------------------------------------------------------------------------


def spent() -> Engine:
    """Two instruments, the second held at 5 %, when the first alone has outgrown the budget."""
    one = sized(Wish(), 2)
    say(one, 1, 0.05, BBB)
    say(one, 1, 0.13)
    one.step(bar(2, 1_600))
    return one


def test_less_of_what_is_wanted_already_passes_whatever_the_book_may_lose() -> None:
    found = say(spent(), 2, 0.03, BBB)
    assert found is not None
    assert (found.code, found.bound_by, found.target_lots) == ("OK", "signal", 3_000)
    closed = say(spent(), 2, 0.0, BBB)
    assert closed is not None
    assert (closed.code, closed.target_lots) == ("OK", 0)


def test_more_than_what_is_wanted_already_leaves_the_position_as_it_is() -> None:
    found = say(spent(), 2, 0.06, BBB)
    assert found is not None
    assert (found.code, found.exposure_e8, found.target_lots) == ("ES_SPENT", 5_000_000, 5_000)


def test_a_turn_that_is_refused_closes_what_is_held_and_then_waits() -> None:
    one = spent()
    found = say(one, 2, -0.05, BBB)
    assert found is not None
    assert (found.code, found.bound_by, found.exposure_e8, found.allowed_e8, found.target_lots) == ("OK", "book-es", 0, 0, 0)
    assert found.observed.startswith("ES_SPENT ")
    again = say(one, 3, -0.05, BBB)
    assert again is not None
    assert (again.code, again.target_lots) == ("ES_SPENT", 0)
    assert say(one, 4, -0.05, BBB) is None


def test_a_veto_that_comes_before_sizing_keeps_its_own_name() -> None:
    wish = Wish().say(0.25, confidence=0.5)
    (found,) = made(sized(wish, confidence_min_e8=60_000_000).step(bar(1)))
    assert (found.code, found.allowed_e8) == ("CONFIDENCE_LOW", None)


# when a size is cut again ----------------------------------------------------------------------------------------


def test_the_same_wish_is_not_sized_again_when_there_is_more_room() -> None:
    one = sized(Wish(), 2)
    say(one, 1, 0.1)
    say(one, 1, 0.1, BBB)
    say(one, 2, 0.0)
    assert say(one, 2, 0.1, BBB) is None


def test_a_size_within_the_band_stays_and_one_beyond_it_is_cut_back_once() -> None:
    one = sized(Wish(), sizing=SizingPolicy())
    first = hold(one, 1, 0.25)
    assert made(one.step(bar(2, 1_099))) == []
    (found,) = made(one.step(bar(3, 1_130)))
    assert (found.reason, found.code, found.bound_by, found.exposure_e8) == (RESIZED, "OK", "trade-risk", 25_000_000)
    assert found.target_lots == target_lots(first.allowed_e8 or 0, found.equity_e8, 1_130, 10_000) < first.target_lots
    assert 0 <= (first.allowed_e8 or 0) - (found.allowed_e8 or 0) < 20_000, "whole lots, towards zero"
    assert made(one.step(bar(4, 1_130))) == []
    assert say(one, 5, 0.25, close=1_130) is None, "the wish has not changed"


@pytest.mark.parametrize("side", [1, -1])
def test_a_cut_that_was_given_up_is_tried_again_when_the_book_is_judged_and_never_wants_more(side: int) -> None:
    one = sized(Wish(), sizing=SizingPolicy())
    held = hold(one, 1, side * 0.25).target_lots
    (cut,) = made(one.step(bar(2, 1_200)))
    assert abs(cut.target_lots) < abs(held)
    one.state.slots[AAA].blocked = True
    assert [made(one.step(bar(n, 1_200))) for n in (3, 179)] == [[], []]
    outputs = one.step(bar(180, 1_200))
    (again,) = made(outputs)
    assert (again.reason, again.target_lots) == (RESIZED, cut.target_lots)
    assert float(again.observed.rstrip("%")) > 15, "of what is held"
    assert [made(one.step(bar(n, 1_200))) for n in (181, 540)] == [[], []]


def test_a_short_is_cut_back_too() -> None:
    one = sized(Wish(), sizing=SizingPolicy())
    hold(one, 1, -0.25)
    (found,) = made(one.step(bar(2, 1_200)))
    assert (found.bound_by, found.reason) == ("trade-risk", RESIZED)
    assert -13_201 < found.target_lots < 0 > (found.allowed_e8 or 0)


def test_what_is_not_held_is_not_cut_again() -> None:
    one = sized(Wish(), sizing=SizingPolicy())
    say(one, 1, 0.25)
    assert [made(one.step(bar(n, 1_500))) for n in (2, 180, 540)] == [[], [], []]


def test_a_position_that_is_closing_is_not_cut_again() -> None:
    one = sized(Wish(), sizing=SizingPolicy())
    hold(one, 1, 0.25)
    say(one, 2, 0.0, close=1_400)
    assert [made(one.step(bar(n, 1_500))) for n in (3, 180, 540)] == [[], [], []]


def test_what_the_guard_closed_is_sized_anew_when_trading_goes_on() -> None:
    one = sized(Wish(), sizing=SizingPolicy())
    before = hold(one, 1, 0.25)
    one.step(BrakeTold(bar(2).ts_ns, BrakeLevel.FLATTENING, 1, Trigger.DRAWDOWN))
    entry = order("guard", lots=before.target_lots)
    closed = trade(entry, bar(2).ts_ns, 1_000, fill_id="g1")
    one.step(msgspec.structs.replace(closed, client_order_id="", side=Side.SELL, cause=FillCause.ADOPTED))
    assert one.state.slots[AAA].position_lots == 0
    one.step(BrakeTold(bar(3).ts_ns, BrakeLevel.RUNNING, 2))
    (nothing,) = made(one.step(CommandGiven(bar(3).ts_ns, Command.RESUME, "owner", "again")))
    assert (nothing.reason, nothing.exposure_e8, nothing.target_lots) == (RESIZED, 0, 0)
    found = say(one, 4, 0.25, close=1_500)
    assert found is not None
    assert found.bound_by == "trade-risk"
    assert found.target_lots == pytest.approx(before.target_lots / 1.5, rel=0.01)


@pytest.mark.parametrize("side", [1, -1])
def test_what_is_held_in_part_when_trading_goes_on_is_asked_for_again(side: int) -> None:
    one = sized(Wish(), sizing=SizingPolicy())
    one.strategy.say(side * 0.25)  # type: ignore[attr-defined]
    (entry,) = sent(one.step(bar(1)))
    one.step(msgspec.structs.replace(trade(entry, bar(1).ts_ns, 1_000), qty_lots=6_000, leaves_lots=7_201))
    one.step(CommandGiven(bar(2).ts_ns, Command.HALT, "owner", "wait"))
    one.step(OrderCanceled(bar(2).ts_ns, entry.client_order_id, "asked", 6_000))
    (kept,) = made(one.step(CommandGiven(bar(3).ts_ns, Command.RESUME, "owner", "again")))
    assert (kept.target_lots, kept.exposure_e8) == (side * 6_000, pytest.approx(side * 6_000_000, rel=0.01))
    found = say(one, 4, side * 0.25, close=1_500 if side > 0 else 700)
    assert found is not None
    assert found.bound_by == "trade-risk"
    assert abs(found.allowed_e8 or 0) == pytest.approx(13_201_320, rel=0.001)


def test_what_is_held_when_trading_goes_on_stays_as_it_is() -> None:
    one = sized(Wish(), sizing=SizingPolicy())
    hold(one, 1, 0.25)
    one.step(CommandGiven(bar(2).ts_ns, Command.HALT, "owner", "wait"))
    assert made(one.step(CommandGiven(bar(3).ts_ns, Command.RESUME, "owner", "again"))) == []


def test_without_a_stop_nothing_held_is_cut_for_it() -> None:
    one = sized(Wish(), sizing=SizingPolicy())
    hold(one, 1, 0.1)
    bare = Sizer(one.state, BookOfEngine(one.state).histories, SizingPolicy(stop_frac_e8=0), one.settings)
    one.step(bar(2, 1_900))
    assert list(bare.too_large(one.state.slots[AAA])) == []


def test_a_book_that_outgrew_its_budget_is_cut_in_one_proportion_past_the_closes_of_the_day() -> None:
    one = sized(Wish(), 3)
    for name in (AAA, BBB):
        hold(one, 1, 0.09, name)
    for n in (2, 179):
        for name in (AAA, BBB):
            assert made(one.step(bar(n, 1_200, name))) == []
    found = made(one.step(bar(180, 1_200)))
    assert [(d.instrument, d.reason, d.bound_by) for d in found] == [(AAA, RESIZED, "book-es"), (BBB, RESIZED, "book-es")]
    es = 2 * 0.09 * 1.2 * UNIT_ES / (1 + 2 * 0.09 * 0.2)
    assert found[0].target_lots == found[1].target_lots == pytest.approx(9_000 * 0.025 / es, abs=1)
    assert made(one.step(bar(180, 1_200, BBB))) == made(one.step(bar(181, 1_200))) == []


def test_what_others_hold_is_worked_at_once_when_the_book_is_cut() -> None:
    one = sized(Wish(), 2)
    for name in (AAA, BBB):
        hold(one, 1, 0.09, name)
    one.step(bar(179, 1_000, BBB))
    orders = sent(one.step(bar(180, 1_400)))
    assert [(cut.instrument, cut.reduce_only) for cut in orders] == [(BBB, True), (AAA, True)]


@pytest.mark.parametrize("hours", [1, 2, 4, 6, 8, 24])
def test_bars_of_any_length_judge_the_book_again_at_their_first_close_within_six_hours(hours: int) -> None:
    one = sized(Wish(), interval_ns=hours * HOUR)
    hold(one, 1, 0.18, span=hours * HOUR)
    cut_at = next(n for n in range(2, 20) if made(one.step(bar(n, 1_300, span=hours * HOUR))))
    assert (cut_at - 1) * hours <= -(-6 // hours) * hours


def played(seed: int, days: int = 20) -> list[Decided]:
    """Decisions of a strategy that says the same at every bar of an hour, on a market that wanders."""
    rng, close, one = random.Random(seed), 1_000, sized(Wish(), interval_ns=HOUR)
    found: list[Decided] = []
    for n in range(1, days * 24 + 1):
        close = max(200, close + rng.randint(-12, 12))
        one.strategy.say(1.0)  # type: ignore[attr-defined]
        found += step(one, bar(n, close, span=HOUR))
    return found


def test_a_wish_that_never_changes_is_cut_again_only_beyond_the_band() -> None:
    runs = [played(seed) for seed in range(6)]
    again = [one for run in runs for one in run[1:]]
    assert again
    for one in again:
        assert one.reason == RESIZED
        assert float(one.observed.rstrip("%")) > float(one.limit.rstrip("%")) * (1 + RESIZE_BAND_E2 / 100)
    assert max(len(run) for run in runs) < 20, "of 480 bars"


# the same again --------------------------------------------------------------------------------------------------


def test_an_engine_restored_from_a_snapshot_sizes_as_the_one_that_went_on() -> None:
    specs = [instrument(AAA), instrument(BBB)]
    events: list[Event] = list(walk(5, 400, (AAA, BBB), step=90))
    table = (0.3, 0.3, -0.2, 0.1, 0.0, 0.25)
    whole = engine(Scripted(table), specs, sizing=NEAR)
    for event in events[:391]:
        whole.step(event)
    restored = engine(Scripted(table), specs, sizing=NEAR)
    restored.restore(whole.snapshot())
    told = [(whole.step(event), restored.step(event)) for event in events[391:]]
    assert all(left == right for left, right in told)
    assert {d.bound_by for left, _ in told for d in made(left)} >= {"book-es", "signal"}


def test_a_stop_at_the_venue_other_than_the_one_that_sizes_are_made_for_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="sizes are made for the stop"):
        settings(sizing=NEAR, stop_distance_frac_e8=10_000_000)
    assert settings(sizing=NEAR, stop_distance_frac_e8=5_000_000).sizing == NEAR


@pytest.mark.parametrize(("frac", "wanted"), [(0.123456789, 12_345_678), (-0.123456789, -12_345_678), (0.0, 0), (1e-9, 0)])
def test_fractions_become_integers_towards_zero(frac: float, wanted: int) -> None:
    assert towards_zero_e8(frac) == wanted


def test_settings_with_caps_come_back_from_plain_data_and_old_ones_have_none() -> None:
    given = settings(sizing=NEAR)
    plain = msgspec.to_builtins(given)
    assert type(given).from_plain(plain) == given
    del plain["sizing"]
    assert type(given).from_plain(plain).sizing is None
