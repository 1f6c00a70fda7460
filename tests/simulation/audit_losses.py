"""The auditor's own judgement of what losses demand of trading: when it must only reduce, and when that must end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

RUNNING: Final = "running"
REDUCES: Final = "reduce_only"
DRAWDOWN: Final = "DRAWDOWN"


class Losses:
    """What each measure's soft and reduce level say, and whether a person accepted the drawdown.

    Parameters
    ----------
    levels : mapping
        Soft and reduce level by code, in 1e-8.
    """

    def __init__(self, levels: Mapping[str, tuple[int, int]]) -> None:
        self._soft = {code: soft for code, (soft, _) in levels.items()}
        self._reduce = {code: reduce for code, (_, reduce) in levels.items()}
        self.is_accepted = False
        self.ended: dict[str, int] = {}

    def moved(self, was: tuple[str, str], now: tuple[str, str], lost_e8: Mapping[str, int]) -> str:
        """A move of the risk state, as (state, code) before and after it; what is wrong with it, or nothing."""
        (_, was_code), (state, code) = was, now
        self.is_accepted = now == (RUNNING, "COMMAND") and was == (REDUCES, DRAWDOWN) and lost_e8[DRAWDOWN] >= self._reduce[DRAWDOWN]
        if state == REDUCES and code in self._reduce and lost_e8[code] < self._reduce[code]:
            return f"trading is reduced by {code} at {lost_e8[code]} e8 of {self._reduce[code]}"
        if code == "RECOVERED":
            over = was_code or DRAWDOWN  # while trading runs it is the end of an accepted one
            self.ended[over] = self.ended.get(over, 0) + 1
            if lost_e8[over] >= self._soft[over]:
                return f"trading recovers from {over} at {lost_e8[over]} e8, calm is below {self._soft[over]}"
        return ""

    def at_bar(self, state: str, code: str, lost_e8: Mapping[str, int]) -> str:
        """After a bar's outputs; what is wrong, or nothing."""
        if state == RUNNING:
            for one, level in self._reduce.items():
                if lost_e8[one] >= level and not (one == DRAWDOWN and self.is_accepted):
                    return f"trading runs with {one} at {lost_e8[one]} e8, from {level} on it only reduces"
            if self.is_accepted and lost_e8[DRAWDOWN] < self._soft[DRAWDOWN]:
                return f"an accepted drawdown is calm at {lost_e8[DRAWDOWN]} e8, and nobody says so"
        elif state == REDUCES and code in self._soft and lost_e8[code] < self._soft[code]:
            return f"trading only reduces for {code}, which is calm at {lost_e8[code]} e8"
        return ""
