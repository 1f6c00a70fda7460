"""VaR that has not moved is not worked out again, and one that has is that of a book which never saw another."""

from __future__ import annotations

from kedge.domain.units import E8, NS_PER_DAY
from kedge.domain.venue import DailyCloses
from kedge.services.guard.numbers import Figures, RiskNumbers

PRIOR_E8 = 5_000_000


def _closes(name: str, step: int) -> DailyCloses:
    return DailyCloses(instrument=name, last_day_ts_ns=900 * NS_PER_DAY, closes_ticks=tuple(10_000 + n * step % 701 for n in range(400)))


def _anew(histories: list[DailyCloses], notionals_e8: dict[str, int], equity_e8: int) -> Figures:
    numbers = RiskNumbers(PRIOR_E8, 365)
    for one in histories:
        numbers.take(one)
    return numbers.measure(notionals_e8, equity_e8)


def test_a_measure_is_that_of_a_new_book_whatever_was_measured_before() -> None:
    numbers, histories = RiskNumbers(PRIOR_E8, 365), [_closes("a", 37), _closes("b", 53)]
    for one in histories:
        numbers.take(one)
    asked = [({"a": 50 * E8}, 100 * E8), ({"a": 50 * E8}, 100 * E8), ({"a": 50 * E8, "b": -9 * E8}, 100 * E8), ({"a": 50 * E8}, 80 * E8)]
    for notionals_e8, equity_e8 in [*asked, asked[-1]]:
        assert numbers.measure(notionals_e8, equity_e8) == _anew(histories, notionals_e8, equity_e8)
    other = _closes("a", 211)
    numbers.take(other)
    notionals_e8, equity_e8 = asked[-1]
    assert numbers.measure(notionals_e8, equity_e8) == _anew([other, histories[1]], notionals_e8, equity_e8)


def test_notionals_that_change_in_place_are_another_question() -> None:
    numbers, held_e8 = RiskNumbers(PRIOR_E8, 365), {"a": 50 * E8}
    numbers.take(_closes("a", 37))
    before = numbers.measure(held_e8, 100 * E8)
    held_e8["a"] = 90 * E8
    assert numbers.measure(held_e8, 100 * E8).var99_e8 > before.var99_e8
