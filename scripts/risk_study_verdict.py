"""What the tests say of one method's forecasts, and whether it passes: the rule is written here once, before any result.

A method passes a test at 5 %. Kupiec asks whether exceptions are as many as claimed, Christoffersen whether they come one by one (ind) and
both together (cc), Acerbi and Szekely's Z2 whether the mean loss of the tail was understated; its critical value is simulated for as many
steps as were tested, from Student-t returns with TAIL_NU degrees of freedom, so that fat tails by themselves do not fail a right forecast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from kedge.risk.var.backtests import Colour, acerbi_critical, acerbi_szekely, christoffersen, kupiec, traffic_light

FloatArray = npt.NDArray[np.float64]

P_VAR: Final = 0.01
P_ES: Final = 0.025
LEVEL: Final = 0.05
TAIL_NU: Final = 4.0
PATHS_CELLS: Final = 4_000_000
"""Simulated returns behind one critical value."""
PATHS_LEAST: Final = 500
PATHS_MOST: Final = 20_000
SEED: Final = 7
LIGHT_STEPS: Final = {"day": 250, "session": 250, "hour": 1_000}
"""Length of the window that a traffic light looks at."""
_SEVERITY: Final = (Colour.UNKNOWN, Colour.GREEN, Colour.YELLOW, Colour.RED)


class Forecasts(NamedTuple):
    """One-step forecasts of one method and what came, shape (n,); fractions, losses positive.

    `own` says where the forecast is the method's own, and not that of another in its place; `notes` counts what was flagged.
    """

    method: str
    var99: FloatArray
    var975: FloatArray
    es975: FloatArray
    realised: FloatArray
    own: npt.NDArray[np.bool_]
    notes: dict[str, int]


class Verdict(NamedTuple):
    """One row of the table of results."""

    method: str
    steps: int
    expected: float
    exceptions: int
    p_kupiec: float
    p_ind: float
    p_cc: float
    last: Colour
    worst: Colour
    red_share: float
    z2: float
    z2_critical: float
    mean_var: float
    notes: dict[str, int]

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the tests that it fails at 5 %, and 'red' where its light was red in any window."""
        pof = "Kupiec: too many" if self.exceptions > self.expected else "Kupiec: too few"
        found = [name for name, p in ((pof, self.p_kupiec), ("ind", self.p_ind), ("cc", self.p_cc)) if p < LEVEL]
        found += ["ES"] if self.z2 < self.z2_critical else []
        return (*found, "red") if self.worst is Colour.RED else tuple(found)


def judge(forecasts: Forecasts, unit: str) -> Verdict:
    """All tests of one method over all steps."""
    hits = forecasts.realised < -forecasts.var99
    steps, count = len(hits), int(hits.sum())
    chain = christoffersen(hits.tolist(), P_VAR)
    lights = rolling_lights(hits, LIGHT_STEPS[unit])
    tail = acerbi_szekely(forecasts.realised, forecasts.var975, forecasts.es975, P_ES)
    return Verdict(
        method=forecasts.method,
        steps=steps,
        expected=steps * P_VAR,
        exceptions=count,
        p_kupiec=kupiec(steps, count, P_VAR).p_value,
        p_ind=chain.p_ind,
        p_cc=chain.p_cc,
        last=lights[-1],
        worst=max(lights, key=_SEVERITY.index),
        red_share=sum(colour is Colour.RED for colour in lights) / len(lights),
        z2=tail.z2,
        z2_critical=critical(steps),
        mean_var=float(forecasts.var99.mean()),
        notes=forecasts.notes,
    )


def rolling_lights(hits: Sequence[bool] | npt.NDArray[np.bool_], window: int) -> list[Colour]:
    """The colour after each step from the first whole window on; UNKNOWN where there never was one."""
    sums = np.concatenate([[0], np.cumsum(np.asarray(hits, np.int64))])
    if len(sums) <= window:
        return [Colour.UNKNOWN]
    found: dict[int, Colour] = {}
    counts = (sums[window:] - sums[:-window]).tolist()
    for count in set(counts):
        found[count] = traffic_light(window, count, P_VAR).colour
    return [found[count] for count in counts]


_CRITICAL: dict[int, float] = {}


def critical(steps: int) -> float:
    """Z2 below which a right forecast falls in 5 % of samples of so many steps."""
    if steps not in _CRITICAL:
        paths = max(PATHS_LEAST, min(PATHS_MOST, PATHS_CELLS // steps))
        _CRITICAL[steps] = acerbi_critical(steps, P_ES, LEVEL, paths=paths, seed=SEED, nu=TAIL_NU)
    return _CRITICAL[steps]
