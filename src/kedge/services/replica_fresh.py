"""How old what a server shows is, and whether that is well: by the bars' own pace, and by what the trader says of itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from kedge.domain.units import NS_PER_MS, NS_PER_S
from kedge.services.replica_text import time_text

STALE_MIN_S: Final = 10.0
STALE_BARS: Final = 3
"""As the trader itself judges its feed: three bars' wall time, at least ten seconds."""


def budgets_s(interval_ns: int, speed: str) -> tuple[float, float]:
    """After how many seconds of wall time without a bar data is late, and stale."""
    try:
        factor = max(1e-9, float(speed))
    except ValueError:
        factor = 1.0  # as quick as it can, so no bar is waited for
    budget = max(STALE_MIN_S, STALE_BARS * interval_ns / NS_PER_S / factor)
    return budget / 2, budget


def judged(*, age_s: float | None, late_s: float, budget_s: float, trouble: str, over: bool, reading: bool) -> tuple[str, str]:
    """The state of the data, and why it is not fresh.

    Parameters
    ----------
    trouble : str
        What speaks against the data whatever its age; empty where nothing does.
    over : bool
        The run has ended.
    reading : bool
        The journal is still being read.
    """
    if over:
        return "ended", "the run is over"
    if trouble:
        return "stale", trouble
    if age_s is None:
        return "unknown", "no bar yet"
    if age_s > budget_s:
        return "stale", f"no bar for {age_s:.0f} s"
    if reading:
        return "late", "the journal is still being read"
    return ("late", f"no bar for {age_s:.0f} s") if age_s > late_s else ("fresh", "")


def trouble_of(trader: Mapping[str, Any]) -> str:
    """What a trader's status says against its data; empty where it says nothing."""
    if trader["stale"]:
        return f"the trader is silent for {trader['age_s']:.0f} s" if trader["running"] else "the trader does not run"
    if trader.get("feed_stale") is True:
        return "the trader says that no bar arrives"
    down = [str(name) for name, up in dict(trader.get("streams") or {}).items() if up is not True]
    return f"the trader has no {' and no '.join(down)} stream" if down else ""


def age_of(bar_wall_ns: int | None) -> float | None:
    """Seconds since a bar was seen; None where none was."""
    return None if bar_wall_ns is None else max(0.0, (time.time_ns() - bar_wall_ns) / NS_PER_S)


def wall_text(wall_ns: int | None) -> str | None:
    """Wall time to the millisecond."""
    return None if wall_ns is None else time_text(wall_ns - wall_ns % NS_PER_MS)
