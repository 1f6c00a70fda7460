"""What a run earned and what it cost, read from its journal; and what holding the same instruments would have earned.

Rules: money is summed as integers in 1e-8 and becomes a fraction at the end; bars of before the run's beginning count for nothing; a fill's
slippage is measured against the mid that its decision saw, or its mark where no book was at hand; what cannot be known is None.
Sources: drawdown is the largest fall from a peak of equity at bar closes; holding is equal weights bought once, without leverage.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from kedge.domain.events import BarClosed, CashMoved, Event, FundingSettled, OrderFilled
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.orders import Side
from kedge.domain.outputs import Output, Predicted, RiskStateChanged
from kedge.domain.record import Record, RunStarted, Step
from kedge.domain.units import E8, hex_float
from kedge.engine.costs import MARK, MID, CostLedger, against
from kedge.risk.states import RiskState
from kedge.simulation.exchange import FundingRate

RUNNING: Final = RiskState.RUNNING.value


class Said(NamedTuple):
    """One prediction: the bar's close, the instrument, the probability of a rise, and whether the engine was not to follow it."""

    ts_ns: int
    instrument: InstrumentId
    probability: float
    is_vetoed: bool


class RunFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Money in 1e-8 of the quote currency, costs positive when paid; fractions of the starting wallet, but where they say otherwise.

    Attributes
    ----------
    slippage_e8 : int
        What fills cost against the price of their decision; negative when they were better.
    slippage_against : str
        'mid', 'mark', or both: which price that was; '' while nothing was filled.
    gross_e8 : int
        The result before fees and funding.
    exposure_mean_frac : float
        Mean of gross notional over equity at the closes of bars.
    in_market_frac : float
        Share of bar times at which a position was open.
    turnover_frac : float
        Traded notional over the starting wallet.
    first_ts_ns, last_ts_ns : int
        Opening of the first bar, close of the last.
    risk_state, risk_code : str
        Where the brakes stand at the end, and the rule that put them there; '' while they never moved, or moved back.
    risk_ts_ns : int
        Since when; 0 while they are open.
    risk_observed, risk_limit : str
        What that rule saw, and its limit.
    brakes : int
        How often they were drawn.
    """

    wallet_e8: int
    equity_e8: int
    net_frac: float
    gross_e8: int
    fees_e8: int
    funding_e8: int
    slippage_e8: int
    slippage_against: str
    fills: int
    round_trips: int
    turnover_frac: float
    drawdown_frac: float
    exposure_mean_frac: float
    in_market_frac: float
    bars: int
    bar_times: int
    predictions: int
    first_ts_ns: int
    last_ts_ns: int
    first_fill_id: str
    last_fill_id: str
    risk_state: str
    risk_code: str
    risk_ts_ns: int
    risk_observed: str
    risk_limit: str
    brakes: int


class HoldFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Equal weights bought at the first open and sold at the last close; `net_frac` after two taker fees and the funding of longs.

    The part of an instrument whose bars begin later lies idle until then.
    """

    price_frac: float
    net_frac: float
    fees_frac: float
    funding_frac: float
    drawdown_frac: float
    by_instrument: dict[InstrumentId, float]


class Ledger:
    """Folds a run's steps into figures.

    Parameters
    ----------
    started : RunStarted
        The run's first record.
    """

    def __init__(self, started: RunStarted) -> None:
        self._specs = {one.instrument_id: one for one in started.instruments}
        self._start_ns = started.started_ts_ns
        self._wallet = self._cash = self._peak = int(started.settings["engine"]["wallet_e8"])
        self._lots = dict.fromkeys(self._specs, 0)
        self._marks = dict.fromkeys(self._specs, 0)
        self._costs = CostLedger(self._specs)
        self._slippage2 = {MID: 0, MARK: 0}
        self._arrival2 = {MID: 0, MARK: 0}
        self._fees = self._funding = self._turnover = self._moved = 0
        self._fill_ids: list[str] = []
        self._trips = self._fills = self._bars = self._times = self._busy = 0
        self._fall = self._exposure = 0.0
        self._first_ns = self._at_ns = 0
        self._braked: tuple[int, RiskStateChanged] | None = None
        self._brakes = 0
        self.predictions: list[Said] = []

    def take(self, step: Step) -> None:
        """One step, in order."""
        event = step.event
        if isinstance(event, BarClosed):
            self._bar(event)
        elif isinstance(event, OrderFilled):
            self._fill(event)
        elif isinstance(event, FundingSettled):
            self._funding += event.paid_e8
            self._cash -= event.paid_e8
        elif isinstance(event, CashMoved):
            self._cash += event.amount_e8
            self._moved += event.amount_e8
        self._costs.took(step.outputs)
        for output in step.outputs:
            self._output(event, output)

    def figures(self) -> RunFigures:
        """What came of it all."""
        self._close_time()
        equity = self._equity()
        earned = equity - self._wallet - self._moved
        times = max(1, self._times)
        since_ns, braked = self._braked or (0, RiskStateChanged(state=RUNNING, code="", observed="", limit=""))
        return RunFigures(
            wallet_e8=self._wallet,
            equity_e8=equity,
            net_frac=earned / self._wallet,
            gross_e8=earned + self._fees + self._funding,
            fees_e8=self._fees,
            funding_e8=self._funding,
            slippage_e8=(sum(self._slippage2.values()) + 1) // 2,
            slippage_against=against(self._arrival2[MID], self._arrival2[MARK]),
            fills=self._fills,
            round_trips=self._trips,
            turnover_frac=self._turnover / self._wallet,
            drawdown_frac=self._fall,
            exposure_mean_frac=self._exposure / times,
            in_market_frac=self._busy / times,
            bars=self._bars,
            bar_times=self._times,
            predictions=len(self.predictions),
            first_ts_ns=self._first_ns,
            last_ts_ns=self._at_ns,
            first_fill_id=self._fill_ids[0] if self._fill_ids else "",
            last_fill_id=self._fill_ids[-1] if self._fill_ids else "",
            risk_state=braked.state,
            risk_code=braked.code,
            risk_ts_ns=since_ns,
            risk_observed=braked.observed,
            risk_limit=braked.limit,
            brakes=self._brakes,
        )

    def _bar(self, bar: BarClosed) -> None:
        if bar.ts_ns > self._at_ns:
            self._close_time()
        self._marks[bar.instrument] = bar.close_ticks
        if bar.ts_ns <= self._start_ns:
            return
        self._first_ns = self._first_ns or bar.open_ts_ns
        self._at_ns = bar.ts_ns
        self._bars += 1

    def _close_time(self) -> None:
        """All bars of one close are in, and what they caused at that moment."""
        if not self._at_ns:
            return
        equity = self._equity()
        self._peak = max(self._peak, equity)
        self._fall = max(self._fall, (self._peak - equity) / self._peak)
        gross = sum(abs(lots) * self._value(name) for name, lots in self._lots.items())
        self._times += 1
        self._busy += gross > 0
        self._exposure += gross / equity if equity > 0 else 0.0

    def _fill(self, fill: OrderFilled) -> None:
        spec = self._specs[fill.instrument]
        sign = 1 if fill.side is Side.BUY else -1
        value = fill.price_ticks * fill.qty_lots * spec.tick_value_e8
        before = self._lots[fill.instrument]
        after = self._lots[fill.instrument] = before + sign * fill.qty_lots
        self._trips += before != 0 and (after == 0 or (after > 0) != (before > 0))
        self._cash -= sign * value + fill.fee_e8
        self._fees += fill.fee_e8
        self._turnover += value
        self._fills += 1
        self._fill_ids.append(fill.fill_id)
        cost = self._costs.fill(fill)
        if cost.slippage2_e8 is not None:
            self._slippage2[cost.against] += cost.slippage2_e8
            self._arrival2[cost.against] += cost.arrival2_e8

    def _output(self, event: Event, output: Output) -> None:
        if isinstance(output, RiskStateChanged):
            is_drawn = output.state != RUNNING
            self._brakes += is_drawn
            self._braked = (event.ts_ns, output) if is_drawn else None
        elif isinstance(output, Predicted) and event.ts_ns > self._start_ns:
            said = hex_float(output.probability_hex)
            self.predictions.append(Said(event.ts_ns, output.instrument, said, bool(output.veto)))

    def _equity(self) -> int:
        return self._cash + sum(lots * self._value(name) for name, lots in self._lots.items())

    def _value(self, name: InstrumentId) -> int:
        return self._marks[name] * self._specs[name].tick_value_e8


def run_figures(records: Iterable[Record]) -> tuple[RunStarted, RunFigures, list[Said]]:
    """A whole journal, with what its model said."""
    found = iter(records)
    started = next(found)
    assert isinstance(started, RunStarted)
    ledger = Ledger(started)
    for record in found:
        if isinstance(record, Step):
            ledger.take(record)
    return started, ledger.figures(), ledger.predictions


def hold_figures(specs: Mapping[InstrumentId, Instrument], bars: Iterable[BarClosed], rates: Sequence[FundingRate]) -> HoldFigures:
    """Holding all instruments over these bars (ordered by time); `rates` are the settlements of the span.

    A settlement within a bar is paid at the close before it, the first one at the opening.
    """
    marks: dict[InstrumentId, list[tuple[int, int]]] = {}
    grown = dict.fromkeys(specs, 1.0)
    peak, fall, now_ns = 1.0, 0.0, 0
    for bar in bars:
        if bar.ts_ns > now_ns:
            worth = sum(grown.values()) / len(specs)
            peak = max(peak, worth)
            fall = max(fall, (peak - worth) / peak)
        now_ns = bar.ts_ns
        found = marks.setdefault(bar.instrument, [(bar.open_ts_ns, bar.open_ticks)])
        found.append((bar.ts_ns, bar.close_ticks))
        grown[bar.instrument] = bar.close_ticks / found[0][1]
    worth = sum(grown.values()) / len(specs)
    fall = max(fall, (max(peak, worth) - worth) / max(peak, worth))
    fees = sum(specs[name].taker_fee_e8 / E8 * (1.0 + grown[name]) for name in marks) / len(specs)
    paid = sum(rate.rate_e8 / E8 * _grown_at(marks.get(rate.instrument, []), rate.ts_ns) for rate in rates) / len(specs)
    return HoldFigures(
        price_frac=worth - 1.0,
        net_frac=worth - 1.0 - fees - paid,
        fees_frac=fees,
        funding_frac=paid,
        drawdown_frac=fall,
        by_instrument={name: grown[name] - 1.0 for name in sorted(marks)},
    )


def _grown_at(marks: Sequence[tuple[int, int]], ts_ns: int) -> float:
    """What one unit put in at the first mark had become by then; 0.0 where nothing was held, at the first instant too."""
    if not marks or not marks[0][0] < ts_ns <= marks[-1][0]:
        return 0.0
    return marks[bisect_right(marks, ts_ns, key=lambda mark: mark[0]) - 1][1] / marks[0][1]
