"""What `kedge exchange serve` plays: recorded files, a synthetic market, or the public prices of a real exchange."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from kedge.apps import wiring
from kedge.domain.errors import InvalidConfig, InvalidInput
from kedge.domain.events import BarClosed, Event, FundingKnown
from kedge.domain.instrument import Instrument
from kedge.domain.units import NS_PER_S
from kedge.market.catalogue import CATALOGUE, VENUE
from kedge.ops.config import Config
from kedge.services.demo import first_bars
from kedge.services.drills.market_file import read_market
from kedge.services.market_data import load_market
from kedge.services.market_span import Span, recorded_part, synthetic_part
from kedge.simulation.exchange import FundingRate

INTERVAL_NS: Final = 60 * NS_PER_S
"""Length of a synthetic bar."""
FUNDING_CAP_E8: Final = 500_000
"""The venue's usual bound of a funding rate; recorded rates beyond it raise it."""
HISTORY_MAX: Final = 10_000
"""Bars of each instrument that an exchange can be given as its past."""
WHOLE: Final = Span()
REST_URL: Final = "https://api.bybit.com"
PUBLIC_URL: Final = "wss://stream.bybit.com/v5/public/linear"


class Played(NamedTuple):
    """Bars to play, and where they come from; `past` and `past_rates` are told as history and not played."""

    source: str
    instruments: tuple[Instrument, ...]
    events: Iterable[Event]
    fundings: Sequence[FundingRate]
    start_ts_ns: int
    funding_cap_e8: int = FUNDING_CAP_E8
    past: Sequence[BarClosed] = ()
    past_rates: Sequence[FundingKnown] = ()
    assumptions: Sequence[str] = ()


class Followed(NamedTuple):
    """Live prices to follow."""

    instruments: tuple[Instrument, ...]
    rest_url: str
    public_url: str
    funding_cap_e8: int = FUNDING_CAP_E8

    @property
    def source(self) -> str:
        return "live"


def chosen_market(
    config: Config, market: str, *, bars: int | None, funding: Sequence[Path], symbols: Sequence[str], span: Span = WHOLE
) -> Played | Followed:
    """What a market's name means.

    Parameters
    ----------
    market : str
        `synthetic`, `replay:FILE` (several joined by commas), `path:FILE` of a drill, `live`, or `live:URL` for another upstream than the
        venue's own.
    bars : int, optional
        End after this many bar times.
    funding : sequence of Path
        Files of settlements, with a replay only.
    symbols : sequence of str
        What is listed; a replay lists what its files hold.
    span : Span
        Which part of recorded bars is played, and how much of what was before is remembered.

    Raises
    ------
    InvalidInput
        Not one of these, or options that do not fit it.
    """
    if market != "synthetic" and not market.startswith("replay:"):
        _refuse(span.history_bars, f"--history {span.history_bars}", market)
    if not market.startswith("replay:"):
        _refuse(span.from_ts_ns is not None or span.to_ts_ns is not None, "--from or --to", market)
    if funding and not market.startswith("replay:"):
        raise InvalidInput(
            f"--funding with --market {market}", why="only recorded bars have recorded settlements", fix="leave --funding out"
        )
    if market.startswith("replay:"):
        return _replay(config, market.removeprefix("replay:"), bars, funding, span)
    if market.startswith("path:"):
        return _path(config, Path(market.removeprefix("path:")).expanduser(), bars)
    if market == "live" or market.startswith("live:"):
        if bars is not None:
            raise InvalidInput(f"--bars {bars} with live prices", why="they have no end", fix="leave --bars out")
        return Followed(listed(config, symbols), *_upstream(market.removeprefix("live").removeprefix(":")))
    if market != "synthetic":
        raise InvalidInput(
            f"--market is {market!r}", why="it is synthetic, replay:FILE, path:FILE, live or live:URL", fix="--market synthetic"
        )
    return _synthetic(config, listed(config, symbols), bars, span.history_bars)


def parse_span(from_: str | None, to: str | None, history: int, *, one_grid: bool = False) -> Span:
    """What `--from`, `--to`, `--history` and `--one-grid` say.

    Raises
    ------
    InvalidInput
        No time, an empty span, or too much of the past.
    """
    if not 0 <= history <= HISTORY_MAX:
        raise InvalidInput(f"--history is {history}", why=f"0 to {HISTORY_MAX} bars are remembered", fix="leave it out for none")
    start_ns = None if from_ is None else _time_ns("--from", from_)
    end_ns = None if to is None else _time_ns("--to", to)
    if start_ns is not None and end_ns is not None and start_ns >= end_ns:
        raise InvalidInput(f"--from {from_} and --to {to}", why="nothing lies between them", fix="end after the beginning")
    return Span(from_ts_ns=start_ns, to_ts_ns=end_ns, history_bars=history, one_grid=one_grid)


def _time_ns(option: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{option} is {text!r}", why="not a time", fix="such as 2025-10-10 or 2025-10-10T21:00:00Z, in UTC") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1_000


def _refuse(given: object, option: str, market: str) -> None:
    if given:
        raise InvalidInput(f"{option} with --market {market}", why="such a market has no recorded past", fix=f"leave {option} out")


def synthetic_start_ns(instruments: Sequence[Instrument]) -> int:
    """Where a synthetic market of these instruments begins: at the first whole bar of which all records are in force."""
    return -(-max(one.valid_from_ns for one in instruments) // INTERVAL_NS) * INTERVAL_NS


def _synthetic(config: Config, instruments: tuple[Instrument, ...], bars: int | None, history_bars: int) -> Played:
    part = synthetic_part(instruments, config.settings.demo.seed, INTERVAL_NS, synthetic_start_ns(instruments), bars, history_bars)
    return Played("synthetic", instruments, part.events, part.fundings, part.start_ts_ns, FUNDING_CAP_E8, part.past, part.past_rates)


def _replay(config: Config, names: str, bars: int | None, funding: Sequence[Path], span: Span) -> Played:
    loaded = load_market([Path(name).expanduser() for name in names.split(",") if name], funding)
    part = recorded_part(loaded, span)
    events = first_bars(part.events, bars) if bars else part.events
    cap = max([FUNDING_CAP_E8, *(abs(rate.rate_e8) for rate in loaded.fundings)])
    instruments = tuple(wiring.with_fees(config, one) for one in part.instruments)
    return Played("replay", instruments, events, part.fundings, part.start_ts_ns, cap, part.past, part.past_rates, part.assumptions)


def _path(config: Config, path: Path, bars: int | None) -> Played:
    found = read_market(path)
    instruments = listed(config, found.symbols)
    ids = {one.venue_symbol: one.instrument_id for one in instruments}
    events: Iterable[Event] = [bar.event(ids[bar.symbol]) for bar in sorted(found.played, key=lambda bar: (bar.ts_ns, bar.symbol))]
    past = [bar.event(ids[bar.symbol]) for bar in found.past]
    return Played("drill", instruments, first_bars(events, bars) if bars else events, (), found.start_ts_ns, past=past)


def listed(config: Config, symbols: Sequence[str]) -> tuple[Instrument, ...]:
    """The newest shipped records of these symbols, with the configuration's fees."""
    found = []
    for symbol in symbols:
        records = CATALOGUE.get(f"{VENUE}:{symbol}")
        if not records or symbols.count(symbol) > 1:
            known = ", ".join(sorted(name.partition(":")[2] for name in CATALOGUE))
            raise InvalidConfig(f"instruments to list hold {symbol!r}", why=f"records ship for {known}, each once", fix="name these once")
        found.append(wiring.with_fees(config, records[-1]))
    return tuple(sorted(found, key=lambda i: i.instrument_id))


def _upstream(url: str) -> tuple[str, str]:
    if not url:
        return REST_URL, PUBLIC_URL
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and not parts.path.strip("/")
    except ValueError:  # no port or address
        sound = False
    if not sound:
        raise InvalidInput(
            f"--market live:{url}", why="an upstream is http:// or https:// and a host", fix="such as live:http://127.0.0.1:8100"
        )
    scheme = "wss" if parts.scheme == "https" else "ws"
    return f"{parts.scheme}://{parts.netloc}", f"{scheme}://{parts.netloc}/v5/public/linear"
