"""From the command line, the configuration and what the exchange says to a live run's plan and to the venue's settings."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from kedge.apps import wiring
from kedge.apps.trade_market import Market
from kedge.apps.trade_run_folder import RunNote
from kedge.domain.errors import InvalidConfig
from kedge.domain.orders import OrderKind
from kedge.domain.units import NS_PER_MS
from kedge.learning.features import FeatureSet
from kedge.market.catalogue import VENUE
from kedge.market.intervals import parse_interval
from kedge.ops.build import code_sha256, engine_version
from kedge.ops.config import Config
from kedge.ops.settings import to_e8
from kedge.risk.limits_document import LimitsDocument
from kedge.services.heritage import Heritage
from kedge.services.live_settings import LivePlan
from kedge.strategy.base import Strategy
from kedge.venues.bybit.bars import interval_word
from kedge.venues.bybit.public_feed import FeedSettings
from kedge.venues.bybit.venue_settings import VenueSettings, addresses

BOOK_DEPTH: Final = 50
"""Levels of the books that quotes are sampled from."""
UNCAPPED_NEVER: Final = ("testnet", "live")
"""Rungs on which no configuration may switch the caps on sizes off."""


class Options(NamedTuple):
    """What the command line asked for, checked.

    Attributes
    ----------
    loaded : Strategy or None
        The strategy itself, where name and parameters alone do not make it.
    history_bars : int
        Bars to fetch before the first one.
    through : str
        ccxt's name of the exchange, where the trader goes through ccxt; empty for our own client.
    guard : str
        Address of the guard that permits risk; empty for none.
    """

    venue: str
    rung: str
    symbols: tuple[str, ...]
    strategy: str
    params: dict[str, Any]
    interval: str
    on_stop: str
    loaded: Strategy | None = None
    history_bars: int = 0
    through: str = ""
    guard: str = ""

    @property
    def interval_ns(self) -> int:
        """Length of a bar."""
        return parse_interval(self.interval) * NS_PER_MS

    @property
    def instruments(self) -> tuple[str, ...]:
        """What is traded."""
        return tuple(sorted(f"{VENUE}:{symbol}" for symbol in self.symbols))


def run_settings(config: Config, options: Options, market: Market) -> dict[str, Any]:
    """Everything that decides what the run is, as plain data: a restart with the same goes on with it."""
    plain = config.settings
    return {
        "account": plain.account,
        "rung": options.rung,
        "instruments": list(options.instruments),
        "strategy": options.strategy,
        "params": {name: str(value) for name, value in options.params.items()},
        "confidence_min": str(plain.strategy.confidence_min),
        "stop_distance": str(plain.stops.distance_frac),
        "sizing": plain.sizing.engine_values() if plain.sizing.active else None,
        "interval_ns": options.interval_ns,
        "limits": plain.limits.engine_values(),
        "execution": plain.execution.engine_values(),
        "venue": "" if market.session else options.venue,
        **({"through": f"ccxt:{options.through}"} if options.through else {}),
    }


def venue_settings(options: Options, market: Market) -> VenueSettings:
    """How to reach the exchange. What decides is asked for: closed bars, and settled funding rates where features read them."""
    funding = options.loaded is not None and FeatureSet(options.loaded.features).uses_funding
    depth = BOOK_DEPTH if market.speed == 1 else 0  # a market that plays faster than the clock shows no book that stands still
    return VenueSettings(
        addresses=addresses(options.venue),
        instruments=options.instruments,
        feed=FeedSettings(
            interval=interval_word(options.interval_ns), book_depth=depth, tickers=False, trades=bool(depth), funding=funding
        ),
        speed=market.speed,
    )


def live_plan(
    config: Config,
    options: Options,
    market: Market,
    note: RunNote,
    document: LimitsDocument | None = None,
    heritage: Heritage | None = None,
) -> LivePlan:
    """What stands in the run's first record; the limits are the document's where there is one, else the configured ones."""
    engine = wiring.engine_settings(
        config,
        strategy=options.strategy,
        params=options.params,
        entry=OrderKind.MARKET,
        interval_ns=options.interval_ns,
        start_ts_ns=market.venue_ms * NS_PER_MS,
        wallet_e8=1,
        limits=None if document is None else document.typed(),
    )
    if engine.sizing is None and options.rung in UNCAPPED_NEVER:
        raise InvalidConfig(
            "sizing.active is false", why=f"on {options.rung} every size is capped", fix="leave sizing.active out, or trade on paper"
        )
    return LivePlan(
        account=engine.account,
        rung=options.rung,
        instruments=options.instruments,
        strategy=options.strategy,
        params=options.params,
        interval_ns=options.interval_ns,
        limits=engine.limits,
        execution=engine.execution,
        confidence_min_e8=engine.confidence_min_e8,
        gap_bars_carried=engine.gap_bars_carried,
        stop_distance_frac_e8=to_e8(config.settings.stops.distance_frac),
        sizing=engine.sizing,
        source=market.source,
        speed=str(market.speed) if market.paced else "max",
        seed=config.settings.demo.seed,
        engine_version=engine_version(),
        code_sha256=code_sha256(),
        assumptions={
            "rung": f"{options.rung}, {market.source} prices at a simulated exchange: play money, never promotable",
            "guard": "permits of an independent guard" if options.guard else "none: the trader permits itself",
            "begun": note.begun,
            "market": market.session or options.venue,
        },
        start_ts_ns=market.venue_ms * NS_PER_MS,
        run_id=note.run_id,
        begun_wall_ns=note.begun_wall_ns,
        history_bars=options.history_bars,
        limits_number=0 if document is None else document.number,
        heritage=heritage,
    )
