"""The shipped strategies over the study's two series, in the engine's own backtest, and the path of the account bar by bar.

Bars are Binance spot hours (they reach back far enough), settlements are Bybit's; fees, tiers and the settlement interval are those of
the shipped Bybit record, on the tick of the files. What the limits table says of the path is judged elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from kedge.domain.events import BarClosed, Event
from kedge.domain.instrument import Instrument
from kedge.domain.outputs import AlertRaised, OrderRefused, RiskStateChanged
from kedge.domain.record import RunStarted
from kedge.domain.units import E8, NS_PER_S
from kedge.engine.engine import Engine
from kedge.engine.settings import EngineSettings
from kedge.kernel.account import DAY_LOSS_E8, DRAWDOWN_E8, EQUITY, GROSS
from kedge.market.catalogue import CATALOGUE
from kedge.risk.limits import Limits
from kedge.risk.sizing_policy import SizingPolicy
from kedge.services.backtest import Run, RunSpec, assumptions_of, first_record
from kedge.services.market_data import MarketData, load_market
from kedge.services.market_span import Span, recorded_part
from kedge.simulation.bar_matcher import BarCosts
from kedge.simulation.exchange import FundingRate, VenueSettings
from kedge.strategy.execution import ExecutionPolicy

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

PLAYED_FROM_NS: Final = int(datetime(2021, 1, 1, tzinfo=UTC).timestamp()) * NS_PER_S
WALLET_E8: Final = 100_000 * E8
TICK_E8: Final = E8 // 100
"""The spot files are on a grid of a cent, which is finer than Bybit's."""


class Account(NamedTuple):
    """The account at every bar's close; fractions are of equity, losses positive.

    `notional_frac` has shape (bars, instruments), signed, in the order of `instruments`; so have `mark_ticks` and `lots`.
    """

    instruments: tuple[str, ...]
    end_ns: IntArray
    equity_e8: IntArray
    drawdown_frac: FloatArray
    day_loss_frac: FloatArray
    gross_leverage: FloatArray
    notional_frac: FloatArray
    mark_ticks: IntArray
    lots: IntArray


class Told(NamedTuple):
    """What the engine itself said: refusals by code, alerts by code, moves to a state by state and code; and the run's own figures."""

    refused: Counter[str]
    alerts: Counter[str]
    states: Counter[str]
    summary: dict[str, Any]


class Played(NamedTuple):
    """One run."""

    account: Account
    told: Told


def read_market(data: Path, symbols: Sequence[str]) -> MarketData:
    """Bars and settlements of these coins, each under its Bybit record on the file's grid."""
    markets = [
        load_market(
            [data / "ohlcv" / f"binance-spot-{symbol}USDT-1h.parquet"],
            [data / "funding" / f"bybit-linear-{symbol}USDT.parquet"],
            instrument=record_of(symbol),
        )
        for symbol in sorted(symbols)
    ]
    first = markets[0]
    return first._replace(
        instruments=tuple(one.instruments[0] for one in markets),
        series=tuple(one.series[0] for one in markets),
        fundings=tuple(sorted(chain.from_iterable(one.fundings for one in markets))),
        data=tuple(chain.from_iterable(one.data for one in markets)),
        assumptions={key: text for one in markets for key, text in one.assumptions.items()},
        start_ts_ns=min(one.start_ts_ns for one in markets),
    )


def record_of(symbol: str) -> Instrument:
    """The newest shipped Bybit record of a coin, with the tick of the spot files, for all time."""
    record = CATALOGUE[f"bybit-linear:{symbol}USDT"][-1]
    finer = record.tick_e8 // TICK_E8
    return msgspec.structs.replace(
        record,
        tick_e8=TICK_E8,
        tick_value_e8=record.tick_value_e8 // finer,
        price_max_ticks=record.price_max_ticks * finer,
        valid_from_ns=0,
    )


class Watcher:
    """Stands where the journal stands and writes nothing: counts what the engine says and keeps the account at every bar."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.refused: Counter[str] = Counter()
        self.alerts: Counter[str] = Counter()
        self.states: Counter[str] = Counter()
        self.count = 0
        self._end_ns: list[int] = []
        self._cells: list[tuple[int, int, int, int]] = []
        self._marks: list[tuple[int, ...]] = []
        self._lots: list[tuple[int, ...]] = []

    def start(self, run_started: RunStarted) -> None: ...

    def keep(self, blobs: Mapping[str, bytes]) -> None: ...

    def flush(self) -> None: ...

    def save_snapshot(self, seq: int, body: bytes) -> None: ...

    def commit(self, event: Event, outputs: Sequence[Any]) -> None:
        self.count += 1
        for output in outputs:
            if isinstance(output, OrderRefused):
                self.refused[output.code] += 1
            elif isinstance(output, AlertRaised):
                self.alerts[output.code] += 1
            elif isinstance(output, RiskStateChanged):
                self.states[f"{output.state} {output.code}"] += 1
        if type(event) is BarClosed and self.engine is not None:
            self._note(event.ts_ns)

    def _note(self, ts_ns: int) -> None:
        """Bars that close together are one moment: the last of them is kept."""
        state = self.engine.state  # type: ignore[union-attr]
        if self._end_ns and self._end_ns[-1] == ts_ns:
            for kept in (self._end_ns, self._cells, self._marks, self._lots):
                kept.pop()
        account = state.account_view
        self._end_ns.append(ts_ns)
        self._cells.append((account[EQUITY], account[DRAWDOWN_E8], account[DAY_LOSS_E8], account[GROSS]))
        self._marks.append(tuple(state.marks.tolist()))
        self._lots.append(tuple(state.lots.tolist()))

    def account(self, instruments: Sequence[Instrument]) -> Account:
        """Everything kept, as columns."""
        cells = np.array(self._cells, np.int64)
        marks, lots = np.array(self._marks, np.int64), np.array(self._lots, np.int64)
        equity = cells[:, 0].astype(np.float64)
        values = np.array([one.tick_value_e8 for one in instruments], np.float64)
        return Account(
            instruments=tuple(one.instrument_id for one in instruments),
            end_ns=np.array(self._end_ns, np.int64),
            equity_e8=cells[:, 0],
            drawdown_frac=cells[:, 1] / E8,
            day_loss_frac=cells[:, 2] / E8,
            gross_leverage=cells[:, 3] / equity,
            notional_frac=marks * lots * values / equity[:, None],
            mark_ticks=marks,
            lots=lots,
        )


def play(
    market: MarketData,
    strategy: str,
    params: dict[str, Any],
    limits: Limits,
    execution: ExecutionPolicy,
    costs: BarCosts,
    venue: VenueSettings,
    *,
    before: Sequence[Event] = (),
    sizing: SizingPolicy | None = None,
) -> Played:
    """One run from PLAYED_FROM_NS to the end of the bars.

    Parameters
    ----------
    before : sequence of Event
        Told to the engine ahead of the first bar, such as the daily closes that a venue would have told it.
    sizing : SizingPolicy | None
        Caps on sizes; None for none.
    """
    part = recorded_part(market, Span(from_ts_ns=PLAYED_FROM_NS))
    engine = EngineSettings(
        run_id="",
        account="study",
        strategy=strategy,
        params=params,
        wallet_e8=WALLET_E8,
        start_ts_ns=part.start_ts_ns,
        interval_ns=market.interval_ns,
        limits=limits,
        execution=execution,
        sizing=sizing,
    )
    spec = RunSpec(
        engine=engine,
        venue=venue,
        costs=costs,
        matcher="bar",
        instruments=part.instruments,
        data=market.data,
        assumptions={**assumptions_of(costs, venue, "bar"), **market.assumptions},
        source="replay",
        speed="max",
        seed=7,
        engine_version="study",
        code_sha256="0" * 64,
        snapshot_every=1 << 40,
    )
    watcher = Watcher()
    fundings: list[FundingRate] = list(part.fundings)
    run = Run(first_record(spec, "bt"), _after(before, part.events), fundings, watcher)
    watcher.engine = run.engine
    run.drive()
    told = Told(watcher.refused, watcher.alerts, watcher.states, run.result())
    return Played(watcher.account(part.instruments), told)


def _after(before: Sequence[Event], events: Iterator[Event]) -> Iterator[Event]:
    yield from before
    yield from events
