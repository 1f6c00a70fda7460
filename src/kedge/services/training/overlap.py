"""Whether a model has learned from the very bars that it is about to be judged on: then its results there prove nothing."""

from __future__ import annotations

from collections.abc import Callable

from kedge.domain.errors import KedgeError
from kedge.learning.dataset_manifest import PartManifest, decode_manifest
from kedge.services.market_data import MarketData, Series

SYNTHETIC = "synthetic seed "
"""How the source of a synthetic market is labelled; its times say nothing about recorded bars."""


def overlap_words(dataset_sha256: str, blob: Callable[[str], bytes], market: MarketData) -> str:
    """One sentence of warning where bars of the market were learned from, or where that cannot be found out; '' else.

    Parameters
    ----------
    blob : callable
        Gives the bytes of a hash, such as `BlobStore.get`.
    """
    try:
        manifest = decode_manifest(blob(dataset_sha256), sha256=dataset_sha256)
    except KedgeError as error:
        return f"what the model has learned from cannot be read ({error.what}): whether it has seen these bars is not known"
    parts = {part.instrument: part for part in manifest.parts}
    seen = sum(_seen(parts[one.instrument_id], one) for one in market.series if one.instrument_id in parts)
    if not seen:
        return ""
    return f"the model has learned from {seen:,} of these {market.bar_count:,} bars: its results on them prove nothing"


def _seen(part: PartManifest, series: Series) -> int:
    """Bars of the series inside what was learned from."""
    same_file = series.source.sha256 in {source.sha256 for source in part.sources}
    if not same_file and any(source.label.startswith(SYNTHETIC) for source in part.sources):
        return 0
    bars = series.bars
    return int(((bars.open_ts_ns >= part.first_ts_ns) & (bars.close_ts_ns <= part.last_ts_ns)).sum())
