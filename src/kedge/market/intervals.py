"""Bar intervals as text and milliseconds, and the interval that a column of timestamps has.

Rule: an interval is a whole number of milliseconds; weekly bars start on Monday, all others on a multiple since 1970 (UTC).
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kedge.domain.errors import InvalidInput

MS_PER_UNIT: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_MONDAY_MS: Final = 4 * MS_PER_UNIT["d"]  # 1970-01-01 was a Thursday


def parse_interval(text: str) -> int:
    """Read '5m', '1h', '1d' as milliseconds.

    Raises
    ------
    InvalidInput
        Not a positive whole number followed by s, m, h, d or w.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,5})([smhdw])", text.strip().lower())
    if match is None:
        raise InvalidInput(f"interval is {text!r}", why="not a number followed by s, m, h, d or w", fix="write it like 5m, 1h or 1d")
    return int(match[1]) * MS_PER_UNIT[match[2]]


def interval_text(interval_ms: int) -> str:
    """Milliseconds as the shortest of '5m', '1h', '1d'."""
    for unit in ("w", "d", "h", "m", "s"):
        if interval_ms % MS_PER_UNIT[unit] == 0:
            return f"{interval_ms // MS_PER_UNIT[unit]}{unit}"
    return f"{interval_ms}ms"


def phase_ms(interval_ms: int) -> int:
    """Where bars of this interval start, relative to 1970-01-01 00:00 UTC."""
    return _MONDAY_MS if interval_ms % MS_PER_UNIT["w"] == 0 else 0


def utc_text(ts_ms: int) -> str:
    """A timestamp in milliseconds as `2025-10-10 21:15`, with seconds only where there are any."""
    text = str(np.datetime64(ts_ms, "ms")).replace("T", " ")
    return text.removesuffix(".000").removesuffix(":00")


def infer_interval(ts_ms: NDArray[np.int64]) -> int:
    """The most common step between distinct timestamps, in ms.

    Raises
    ------
    InvalidInput
        Fewer than two distinct timestamps.
    """
    interval_ms, _ = _common_step(ts_ms)
    return interval_ms


def check_interval(ts_ms: NDArray[np.int64], interval_ms: int) -> None:
    """Refuse a declared interval that most steps contradict; a column with fewer than two timestamps passes."""
    if len(np.unique(ts_ms)) < 2:
        return
    found_ms, share_frac = _common_step(ts_ms)
    if found_ms != interval_ms and share_frac >= 0.5:
        raise InvalidInput(
            f"interval is {interval_text(interval_ms)}",
            why=f"{share_frac:.0%} of the steps in the data are {interval_text(found_ms)}",
            fix=f"use --interval {interval_text(found_ms)}, or resample the file first",
        )


def _common_step(ts_ms: NDArray[np.int64]) -> tuple[int, float]:
    steps, counts = np.unique(np.diff(np.unique(ts_ms)), return_counts=True)
    if len(steps) == 0:
        raise InvalidInput("interval cannot be worked out", why="fewer than two distinct timestamps", fix="name it with --interval")
    best = int(np.argmax(counts))
    return int(steps[best]), float(counts[best] / counts.sum())
