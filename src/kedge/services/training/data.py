"""From loaded files or a synthetic market to the data set a model is trained on, and the part of it that is learned from."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from kedge.domain.canonical import digest
from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.record import DataSource
from kedge.learning.dataset import BAR_COLUMNS, Dataset, Part, encode_columns
from kedge.learning.feature_rows import Settlements
from kedge.market.synthetic import SyntheticMarket
from kedge.services.market_data import MarketData, Series

BARS_MAX = 5_000_000
"""Bars of a data set, over all instruments: what fits in memory with its features."""


def dataset_of(market: MarketData) -> Dataset:
    """The data set of loaded files: bars, settlements, and the raw files' hashes."""
    if market.bar_count > BARS_MAX:
        raise InvalidInput(
            f"{market.bar_count} bars", why=f"a data set holds at most {BARS_MAX}", fix="train on a shorter span or longer bars"
        )
    return Dataset(market.interval_ns, tuple(_part(market, one) for one in market.series))


def synthetic_dataset(instruments: Sequence[Instrument], *, seed: int, bars: int, interval_ns: int, start_ts_ns: int) -> Dataset:
    """The first `bars` bars of a synthetic market, and its settlements; the sources are labelled synthetic and hashed by content."""
    if not 0 < bars * len(instruments) <= BARS_MAX:
        raise InvalidInput(f"{bars} bars of {len(instruments)} instruments", why=f"1 to {BARS_MAX} in all", fix="choose another count")
    ordered = sorted(instruments, key=lambda one: one.instrument_id)
    market = SyntheticMarket(ordered, seed, interval_ns, start_ts_ns)
    columns, fundings = market.bars(bars), market.funding(bars)
    parts = []
    for one in ordered:
        grid, paid = columns[one.instrument_id], fundings[one.instrument_id]
        body = encode_columns({name: getattr(grid, name) for name in BAR_COLUMNS})
        source = DataSource(
            label=f"synthetic seed {seed}",
            sha256=digest(body),
            rows=len(grid),
            first_ts_ns=int(grid.open_ts_ns[0]),
            last_ts_ns=int(grid.close_ts_ns[-1]),
            instrument=one.instrument_id,
        )
        parts.append(Part(records=(one,), bars=grid, sources=(source,), fundings=Settlements(paid.ts_ns, paid.rate_e8)))
    return Dataset(interval_ns, tuple(parts))


def first_part(dataset: Dataset, fraction: str) -> Dataset:
    """The bars that close within the first part of the data set's span; `fraction` as `2/3`.

    Raises
    ------
    InvalidInput
        It is no fraction between 0 and 1.
    """
    numerator, denominator = parse_fraction(fraction)
    return dataset.take(None, dataset.time_at(numerator, denominator))


def parse_fraction(text: str) -> tuple[int, int]:
    """`2/3` to (2, 3).

    Raises
    ------
    InvalidInput
        It is no fraction between 0 and 1.
    """
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text.strip())
    if not found or not 0 < int(found[1]) < int(found[2]):
        raise InvalidInput(f"train fraction {text!r}", why="a part of the data is learned from, the rest is kept", fix="such as 2/3")
    return int(found[1]), int(found[2])


def default_leader(instruments: Sequence[InstrumentId]) -> InstrumentId:
    """The instrument that others are compared with: bitcoin where it is among them and not alone, else the first of several, else none."""
    if len(instruments) < 2:
        return ""
    bitcoin = [one for one in instruments if one.partition(":")[2].startswith(("BTC", "XBT"))]
    return sorted(bitcoin or instruments)[0]


def _part(market: MarketData, one: Series) -> Part:
    paid = [(rate.ts_ns, rate.rate_e8) for rate in market.fundings if rate.instrument == one.instrument_id]
    pairs = np.array(paid, dtype=np.int64).reshape(-1, 2)
    own = [source for source in market.data if source.instrument == one.instrument_id and source != one.source]
    return Part(
        records=one.records,
        bars=one.bars,
        sources=(one.source,),
        fundings=Settlements(np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])),
        funding_sources=tuple(own),
        quarantined=one.quarantined,
    )
