"""A backtest tells settlements as news only to a strategy whose features read funding; other journals stay as they were."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kedge.domain.events import Event, FundingKnown
from kedge.learning.feature import Feature
from kedge.learning.operators import Operator
from kedge.strategy.base import NO_TARGETS, Target, View

from ...builders import AAA, MINUTE, T0, ListJournal, a_run, flat_bars, fundings


class Looks:
    """Reads one feature and never trades."""

    name = "looks"

    def __init__(self, operator: Operator) -> None:
        self.features = (Feature("f", operator),)
        self.seen: list[float] = []

    def on_event(self, view: View) -> Sequence[Target]:
        self.seen.append(view.features[0])
        return NO_TARGETS


def events(strategy: Looks) -> list[Event]:
    journal = ListJournal()
    a_run(flat_bars(40), journal, fundings(3), strategy).drive()
    return [event for event, _ in journal.steps]


def test_settlements_are_news_where_a_feature_reads_funding() -> None:
    looks = Looks(Operator.FUNDING_RATE)
    told = events(looks)
    assert [e for e in told if isinstance(e, FundingKnown)] == [
        FundingKnown(T0 + 10 * n * MINUTE, AAA, rate) for n, rate in ((1, 10_000), (2, 10_000), (3, -20_000))
    ]
    assert looks.seen[9:30] == pytest.approx([1e-4] * 20 + [-2e-4])
    assert all(rate != rate for rate in looks.seen[:9])


def test_elsewhere_the_journal_is_the_same_without_the_news() -> None:
    told, silent = events(Looks(Operator.FUNDING_RATE)), events(Looks(Operator.EMA))
    assert not any(isinstance(e, FundingKnown) for e in silent)
    assert [e for e in told if not isinstance(e, FundingKnown)] == silent
