"""What `kedge exchange serve` plays: recorded files, a synthetic market, or the public prices of a real exchange."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from kedge.apps import wiring
from kedge.domain.errors import InvalidConfig, InvalidInput
from kedge.domain.events import Event
from kedge.domain.instrument import Instrument
from kedge.domain.units import NS_PER_S
from kedge.market.catalogue import CATALOGUE, VENUE
from kedge.market.intervals import utc_text
from kedge.ops.config import Config
from kedge.services.demo import SyntheticFeed, first_bars
from kedge.services.market_data import MarketData, load_market
from kedge.simulation.exchange import FundingRate

INTERVAL_NS: Final = 60 * NS_PER_S
"""Length of a synthetic bar."""
FUNDING_CAP_E8: Final = 500_000
"""The venue's usual bound of a funding rate; recorded rates beyond it raise it."""
REST_URL: Final = "https://api.bybit.com"
PUBLIC_URL: Final = "wss://stream.bybit.com/v5/public/linear"


class Played(NamedTuple):
    """Bars to play, and where they come from."""

    source: str
    instruments: tuple[Instrument, ...]
    events: Iterable[Event]
    fundings: Sequence[FundingRate]
    start_ts_ns: int
    funding_cap_e8: int = FUNDING_CAP_E8


class Followed(NamedTuple):
    """Live prices to follow."""

    instruments: tuple[Instrument, ...]
    rest_url: str
    public_url: str
    funding_cap_e8: int = FUNDING_CAP_E8

    @property
    def source(self) -> str:
        return "live"


def chosen_market(config: Config, market: str, *, bars: int | None, funding: Sequence[Path], symbols: Sequence[str]) -> Played | Followed:
    """What a market's name means.

    Parameters
    ----------
    market : str
        `synthetic`, `replay:FILE` (several joined by commas), `live`, or `live:URL` for another upstream than the venue's own.
    bars : int, optional
        End after this many bar times.
    funding : sequence of Path
        Files of settlements, with a replay only.
    symbols : sequence of str
        What is listed; a replay lists what its files hold.

    Raises
    ------
    InvalidInput
        Not one of these, or options that do not fit it.
    """
    if funding and not market.startswith("replay:"):
        raise InvalidInput(
            f"--funding with --market {market}", why="only recorded bars have recorded settlements", fix="leave --funding out"
        )
    if market.startswith("replay:"):
        return _replay(config, market.removeprefix("replay:"), bars, funding)
    if market == "live" or market.startswith("live:"):
        if bars is not None:
            raise InvalidInput(f"--bars {bars} with live prices", why="they have no end", fix="leave --bars out")
        return Followed(_listed(config, symbols), *_upstream(market.removeprefix("live").removeprefix(":")))
    if market != "synthetic":
        raise InvalidInput(f"--market is {market!r}", why="it is synthetic, replay:FILE, live or live:URL", fix="--market synthetic")
    return _synthetic(config, _listed(config, symbols), bars)


def _synthetic(config: Config, instruments: tuple[Instrument, ...], bars: int | None) -> Played:
    start_ts_ns = -(-max(i.valid_from_ns for i in instruments) // INTERVAL_NS) * INTERVAL_NS
    feed = SyntheticFeed(instruments, config.settings.demo.seed, INTERVAL_NS, start_ts_ns, bars)
    return Played("synthetic", instruments, feed.events(), feed.fundings, start_ts_ns)


def _replay(config: Config, names: str, bars: int | None, funding: Sequence[Path]) -> Played:
    loaded = load_market([Path(name).expanduser() for name in names.split(",") if name], funding)
    _refuse_change(loaded)
    events = first_bars(loaded.events(), bars) if bars else loaded.events()
    cap = max([FUNDING_CAP_E8, *(abs(rate.rate_e8) for rate in loaded.fundings)])
    return Played(
        "replay", tuple(wiring.with_fees(config, i) for i in loaded.instruments), events, loaded.fundings, loaded.start_ts_ns, cap
    )


def _refuse_change(loaded: MarketData) -> None:
    for one in loaded.series:
        if len(one.records) > 1:
            raise InvalidInput(
                f"{one.source.label}: tick or lot of {one.instrument_id} change at {utc_text(one.records[1].valid_from_ns // 1_000_000)}",
                why="open orders and positions of a running exchange cannot be put on another grid",
                fix="cut the file at that time and play one part",
            )


def _listed(config: Config, symbols: Sequence[str]) -> tuple[Instrument, ...]:
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
