"""`make simulate`: as many whole days as asked for, and what its exit code says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scripts import simulate
from tests.simulation.outcome import MEASURE, Outcome


def of(seed: int, *, thin: frozenset[int], bad: frozenset[int] = frozenset()) -> Outcome:
    """A day with just what a day must have; without a settlement where it is thin."""
    had = {**MEASURE, **({"fundings": 0} if seed in thin else {})}
    return Outcome(seed=seed, theme="made", style="market", rule="WALLET" if seed in bad else "", **had)


def lived(monkeypatch: pytest.MonkeyPatch, seeds: int, **which: frozenset[int]) -> tuple[int, list[int]]:
    """The exit code, and the seeds that were lived through."""
    seen: list[int] = []

    def days(start: int, count: int, jobs: int) -> Iterator[Outcome]:
        for seed in range(start, start + count):
            seen.append(seed)
            yield of(seed, **which)

    monkeypatch.setattr(simulate, "days", days)
    return simulate.main(["--seeds", str(seeds), "--start", "5", "--no-shrink"]), seen


def test_whole_days_are_lived_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lived(monkeypatch, 3, thin=frozenset()) == (0, [5, 6, 7])


def test_for_a_thin_day_of_a_thousand_one_more_is_lived(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, seen = lived(monkeypatch, 1_000, thin=frozenset({6}))
    assert (code, seen) == (0, list(range(5, 1_006)))
    assert "1 days below the measure of a day: [6]" in capsys.readouterr().out


def test_more_thin_days_than_one_in_a_thousand_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lived(monkeypatch, 3, thin=frozenset({6})) == (1, [5, 6, 7])
    assert lived(monkeypatch, 1_000, thin=frozenset({6, 8}))[0] == 1
    assert lived(monkeypatch, 1_000, thin=frozenset({6, 1_005}))[0] == 1, "the day that was lived instead is thin as well"
    code, seen = lived(monkeypatch, 2_000, thin=frozenset({100, 2_005}))
    assert (code, len(seen)) == (0, 2_002)


def test_a_broken_rule_fails_whatever_the_day_had_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lived(monkeypatch, 3, thin=frozenset({6}), bad=frozenset({6})) == (1, [5, 6, 7])


def test_a_long_run_must_reach_every_cell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert lived(monkeypatch, simulate.WHOLE, thin=frozenset())[0] == 1
    assert "not reached: " in capsys.readouterr().out
