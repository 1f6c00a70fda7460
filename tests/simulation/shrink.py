"""Making a bad day short: what happens on it is left out piece by piece, for as long as the same rule is broken.

A day is nothing but its script, so a shorter script is another day that anybody can replay.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from tests.simulation.day import Outcome, run
from tests.simulation.script import Action, Script

RUNS_MAX = 150


class Shrinker:
    """Looks for the shortest script that breaks the same rule.

    Parameters
    ----------
    live : callable
        Lives through a day.
    runs_max : int
        So many days are lived through at most.
    """

    def __init__(self, live: Callable[[Script], Outcome] = run, runs_max: int = RUNS_MAX) -> None:
        self._live, self.left = live, runs_max

    def shrink(self, script: Script) -> tuple[Script, Outcome]:
        """The shortest script found, and what becomes of it. A script that breaks no rule comes back as it is."""
        outcome = self._live(script)
        if not outcome.is_bad:
            return script, outcome
        rule = outcome.rule
        best = self._until(script, outcome)
        size = max(1, len(best[0].actions) // 2)
        while size >= 1 and self.left:
            best = self._drop(best, rule, size)
            size //= 2
        return self._until(*self._plain(best, rule))

    def _until(self, script: Script, outcome: Outcome) -> tuple[Script, Outcome]:
        """The day up to a little after the violation; what comes later is not needed."""
        end_s = int(outcome.at_s) + 2
        if end_s >= script.seconds:
            return script, outcome
        early = tuple(action for action in script.actions if action.at_ms <= end_s * 1_000)
        return self._try(msgspec.structs.replace(script, actions=early), outcome.rule) or (script, outcome)

    def _drop(self, best: tuple[Script, Outcome], rule: str, size: int) -> tuple[Script, Outcome]:
        """Leave out so many actions at once, wherever that still breaks the rule."""
        start = 0
        while start < len(best[0].actions) and self.left:
            found = self._try(best[0].without(frozenset(range(start, start + size))), rule)
            if found is not None:
                best = found
            else:
                start += size
        return best

    def _plain(self, best: tuple[Script, Outcome], rule: str) -> tuple[Script, Outcome]:
        """Counts of one, where one is enough."""
        for place, action in enumerate(best[0].actions):
            if int(action.args.get("count", 1)) > 1:
                once = Action(action.at_ms, action.what, {**action.args, "count": 1})
                actions = (*best[0].actions[:place], once, *best[0].actions[place + 1 :])
                best = self._try(msgspec.structs.replace(best[0], actions=actions), rule) or best
        return best

    def _try(self, script: Script, rule: str) -> tuple[Script, Outcome] | None:
        if not self.left:
            return None
        self.left -= 1
        outcome = self._live(script)
        return (script, outcome) if outcome.rule == rule else None
