"""Scripts as text, virtual time, and the making of a bad day shorter."""

from __future__ import annotations

import asyncio

import pytest
from tests.simulation.clock import Deadlock, VirtualLoop
from tests.simulation.day import Outcome
from tests.simulation.script import ACTS, Action, Script, read
from tests.simulation.shrink import Shrinker
from tests.simulation.themes import script_of


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
def test_a_script_is_read_back_from_its_text(seed: int) -> None:
    script = script_of(seed)
    assert read("# a comment\n\n" + script.text()) == script
    assert script.actions
    assert all(action.what in ACTS or action.fault().fault == action.what for action in script.actions)


@pytest.mark.parametrize("line", ["at 5 nothing_known", "seed", "at 5", "speed 3"])
def test_a_line_that_says_nothing_known_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        read(line)


def test_an_argument_without_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="NAME=VALUE"):
        read("at 5 crash ms")


def test_virtual_time_jumps_to_the_next_timer_and_stands_still_between() -> None:
    loop = VirtualLoop()
    seen: list[float] = []

    async def wait() -> None:
        for pause_s in (3_600.0, 0.0, 0.25):
            await asyncio.sleep(pause_s)
            seen.append(loop.time())

    loop.run_until_complete(wait())
    assert seen == [3_600.0, 3_600.0, 3_600.25]
    assert loop.now_ns == 3_600_250_000_000
    loop.close()


def test_a_wait_for_nothing_is_an_error_and_no_hang() -> None:
    loop = VirtualLoop()
    never = loop.create_future()
    with pytest.raises(Deadlock):
        loop.run_until_complete(never)
    loop.close()


def broken_by(needed: frozenset[str], at_s: float = 30.0) -> Shrinker:
    """A shrinker of days that are bad where all these things happen."""

    def live(script: Script) -> Outcome:
        happened = {action.what for action in script.actions if action.at_ms <= at_s * 1_000}
        rule = "RULE" if needed <= happened else ""
        return Outcome(seed=script.seed, theme=script.theme, style=script.style, rule=rule, at_s=at_s if rule else 0.0)

    return Shrinker(live)


def long_script() -> Script:
    kinds = ("deposit", "crash", "ban", "halt", "withdraw", "cut", "resume", "flatten")
    actions = tuple(Action(1_000 * n, kinds[n % len(kinds)], {"count": 3} if kinds[n % len(kinds)] == "ban" else {}) for n in range(1, 60))
    return Script(seed=1, theme="made", style="market", seconds=100, actions=actions)


def test_a_bad_day_is_shrunk_to_what_makes_it_bad() -> None:
    short, outcome = broken_by(frozenset({"crash", "ban"})).shrink(long_script())
    assert outcome.rule == "RULE"
    assert sorted(action.what for action in short.actions) == ["ban", "crash"]
    assert short.seed == 1
    assert {action.args.get("count", 1) for action in short.actions} == {1}


def test_a_good_day_is_not_shrunk() -> None:
    script = long_script()
    assert broken_by(frozenset({"deaf"})).shrink(script)[0] == script


def test_shrinking_ends_after_its_number_of_days() -> None:
    shrinker = broken_by(frozenset({"crash", "ban", "halt"}))
    shrinker.left = 3
    short, outcome = shrinker.shrink(long_script())
    assert shrinker.left == 0
    assert outcome.rule == "RULE"
    assert len(short.actions) < 59
