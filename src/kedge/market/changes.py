"""What a difference between two sources looks like: another venue from some time on, or bars stored before they closed.

Rules: a switch of venue is a lasting change of the volume ratio, confirmed by a shift of a factor of 1.5; partial bars are the few
that disagree in volume where nearly all agree. Both need sources that otherwise match.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from kedge.market.bars import BarTable, Floats
from kedge.market.findings import Finding, Report, Span
from kedge.market.intervals import utc_text
from kedge.market.series_checks import grid_change, price_decimals

SWITCH_MIN_LOG: Final = 0.405
SWITCH_SIDE_BARS: Final = 24
PARTIAL_MIN_LOG: Final = 0.001
AGREE_MIN_FRAC: Final = 0.95
_CLIP_LOG: Final = 3.0


def venue_switch(here: BarTable, there: BarTable, fine: BarTable) -> list[Finding]:
    """`VENUE_SWITCH`, named with its time, or nothing.

    Parameters
    ----------
    here, there : BarTable, shape (n,)
        The same bars of both sources.
    fine : BarTable
        The series under test at its own interval, for its price grid.
    """
    traded = (here.volume > 0) & (there.volume > 0)
    if int(traded.sum()) < 2 * SWITCH_SIDE_BARS:
        return []
    ratio = np.log(here.volume[traded] / there.volume[traded])
    at = change_point(np.clip(ratio, -_CLIP_LOG, _CLIP_LOG))
    before, after = float(np.median(ratio[:at])), float(np.median(ratio[at:]))
    spread = float(np.median(np.abs(ratio[:at] - before)) + np.median(np.abs(ratio[at:] - after)))
    if min(at, len(ratio) - at) < SWITCH_SIDE_BARS or abs(after - before) < max(SWITCH_MIN_LOG, 1.5 * spread):
        return []
    start_ms = int(here.ts_ms[traded][at])
    grid_at = grid_change(price_decimals(fine))
    data: dict[str, Any] = {"volume_ratio_before": float(np.exp(before)), "volume_ratio_after": float(np.exp(after))}
    text = f"volume goes from {np.exp(before):.2f} to {np.exp(after):.2f} of the other source's"
    if grid_at is not None and abs(int(fine.ts_ms[grid_at]) - start_ms) <= 2 * here.interval_ms:
        grid_ms = int(fine.ts_ms[grid_at])
        start_ms = min(start_ms, grid_ms - grid_ms % here.interval_ms)
        places = price_decimals(fine)
        data |= {"decimals_before": int(places[:grid_at].max()), "decimals_after": int(places[grid_at:].max()), "grid_change_ms": grid_ms}
        text += f", prices from {data['decimals_before']} to {data['decimals_after']} decimals (first at {utc_text(grid_ms)})"
    later = here.ts_ms >= start_ms
    data["volume_ratio_after_mean"] = float(np.mean(here.volume[later & traded] / there.volume[later & traded]))
    data["close_bps_after"] = _close_bps(here.close[later], there.close[later])
    text = f"another venue's bars from {utc_text(start_ms)}: {text}, closes off by {_range_text(data['close_bps_after'])} bp"
    return [Finding(Report.VENUE_SWITCH, int(later.sum()), text, (Span(start_ms, int(later.sum())),), data)]


def change_point(values: Floats) -> int:
    """Position in 1..n-1 that splits `values` best into two levels (largest between-part variance)."""
    n = len(values)
    counts = np.arange(1, n)
    sums = np.cumsum(values)[:-1] - counts * values.mean()
    return int(np.argmax(np.abs(sums) / np.sqrt(counts * (n - counts)))) + 1


def _close_bps(mine: Floats, theirs: Floats) -> dict[str, float]:
    off_bps = np.abs(mine / theirs - 1) * 10_000
    low, median, high = np.quantile(off_bps, [0.05, 0.5, 0.95]).tolist()
    return {"p05": low, "p50": median, "p95": high}


def _range_text(bps: dict[str, float]) -> str:
    return f"{bps['p05']:.0f} to {bps['p95']:.0f} (median {bps['p50']:.1f})"


def partial_bars(here: BarTable, there: BarTable) -> list[Finding]:
    """`PARTIAL_BARS`: the bars whose volume disagrees between sources that agree nearly everywhere."""
    if len(here) == 0:
        return []
    low, high = np.minimum(here.volume, there.volume), np.maximum(here.volume, there.volume)
    apart = high > low * np.exp(PARTIAL_MIN_LOG)
    if not apart.any() or float((~apart).mean()) < AGREE_MIN_FRAC:
        return []
    bars: list[dict[str, Any]] = []
    for at in np.flatnonzero(apart).tolist():
        mine, other = float(here.volume[at]), float(there.volume[at])
        bars.append(
            {
                "start_ms": int(here.ts_ms[at]),
                "start": utc_text(int(here.ts_ms[at])),
                "volume_ratio": mine / other if other > 0 else None,
                "close": float(here.close[at]),
                "close_other": float(there.close[at]),
            }
        )
    named = "; ".join(_bar_text(bar) for bar in bars[:6]) + (f"; and {len(bars) - 6} more" if len(bars) > 6 else "")
    spans = tuple(Span(int(here.ts_ms[at]), 1) for at in np.flatnonzero(apart).tolist())
    text = f"{len(bars)} bars miss a part in one source (volume of this one as a fraction of the other's): {named}"
    return [Finding(Report.PARTIAL_BARS, len(bars), text, spans, {"bars": bars})]


def _bar_text(bar: dict[str, Any]) -> str:
    ratio = "no volume in the other" if bar["volume_ratio"] is None else f"{bar['volume_ratio']:.2f}"
    closes = "" if bar["close"] == bar["close_other"] else f", close {bar['close']!r} against {bar['close_other']!r}"
    return f"{bar['start']} ({ratio}{closes})"
