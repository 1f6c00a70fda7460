"""What `kedge up` is about to run: its market, its strategy with the model behind it, and the command lines of its processes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from kedge.apps import wiring
from kedge.apps.exchange_market import INTERVAL_NS, listed, synthetic_start_ns
from kedge.apps.up_model import Chosen, Wanted, choose_model
from kedge.apps.up_parts import Plan, check_free, free_port
from kedge.domain.errors import Conflict, InvalidInput
from kedge.domain.units import NS_PER_MS, NS_PER_S
from kedge.market.intervals import interval_text
from kedge.ops.config import Config
from kedge.strategy.model import MODEL, read_model_params

if TYPE_CHECKING:
    from kedge.services.market_data import MarketData

BARS_AT_MAX_SPEED: Final = 20_000
"""Without a pace the synthetic market would fill the disk in minutes, so it ends here unless --bars says otherwise."""
HISTORY_BARS: Final = 1_000
"""Bars of before the beginning that the exchange tells a model's trader, so that its features are warm at the first bar."""
TRAIN_FRACTION: Final = (2, 3)
"""Of recorded bars a model learns from this first part; play begins where it ends."""
SYNTHETIC: Final = "synthetic"
REPLAY: Final = "replay"


class Asked(NamedTuple):
    """The command line beside the configuration."""

    strategy: str | None = None
    model: str | None = None
    param: tuple[str, ...] = ()
    wallet: str | None = None
    bars: int | None = None
    port: int = 0
    funding: tuple[Path, ...] = ()
    config: Path | None = None


def strategy_of(settings: Config, asked: Asked) -> str:
    """What trades: the strategy that was named here or in the configuration, else the model.

    Raises
    ------
    InvalidInput
        A model is named for a rule, or its parameters cannot be.
    """
    configured = settings.settings.strategy.name if settings.origins.get("strategy.name", "default") != "default" else None
    name = asked.strategy or configured or MODEL
    if name != MODEL:
        if asked.model is not None:
            raise InvalidInput(f"--model {asked.model} with --strategy {name}", why="a rule has no model", fix="leave one of them out")
        wiring.strategy_params(settings, name, list(asked.param))
        return name
    params = wiring.strategy_params(settings, MODEL, list(asked.param))
    if MODEL in params and asked.model is not None:
        raise InvalidInput(f"--model {asked.model} and --param {MODEL}={params[MODEL]}", why="one model trades", fix="leave one out")
    read_model_params({**params, MODEL: "0" * 64})
    return name


def make_plan(settings: Config, asked: Asked, say: Callable[[str], None]) -> Plan:
    """Find out all that must be known before anything starts; a model is found or trained here, and `say` told how.

    Raises
    ------
    KedgeError
        A port that is taken, a file that cannot be read, a model that does not fit.
    """
    name = strategy_of(settings, asked)
    money = str(asked.wallet) if asked.wallet is not None else str(settings.settings.wallet)
    wiring.wallet_e8(settings, money)
    port = check_free(asked.port)
    recorded = _recorded(settings, asked.funding)
    trader: tuple[str, ...] = ("--strategy", name)
    past: tuple[str, ...] = ()
    told = ""
    if name == MODEL:
        wanted = _wanted(settings, recorded, asked.funding)
        chosen, param = _chosen(settings, asked, wanted, say)
        trader, told = (*trader, "--param", f"{MODEL}={chosen.sha256}", *param), f"{chosen.version or MODEL} {chosen.sha256[:12]}"
        past = _past(wanted)
    elif asked.param:
        trader = (*trader, "--param", *asked.param)
    symbols = tuple(one.venue_symbol for one in recorded.instruments) if recorded else tuple(settings.settings.demo.instruments)
    guard_port = _guard_port(settings, asked, port)
    return Plan(
        state_folder=settings.state_folder,
        exchange_port=free_port(port, guard_port),
        server_port=port,
        speed=settings.settings.demo.speed,
        interval=interval_text((recorded.interval_ns if recorded else INTERVAL_NS) // NS_PER_MS),
        exchange=(*_exchange(settings, asked, money), *(() if recorded else ("--instrument", *symbols)), *past),
        trader=("--instrument", *symbols, *trader),
        shared=("--state-dir", str(settings.state_folder), *(("--config", str(asked.config)) if asked.config is not None else ())),
        model=told,
        guard_port=guard_port,
        guard=("--instrument", *symbols),
    )


def _guard_port(settings: Config, asked: Asked, server_port: int) -> int:
    """Where the guard answers: the configured port, or a free one where the dashboard too takes any that is free."""
    if settings.origins.get("guard.port", "default") == "default" and not asked.port:
        return free_port(server_port)
    try:
        return check_free(settings.settings.guard.port)
    except Conflict as error:
        raise Conflict(f"guard.port: {error.what}", why=error.why, fix="set guard.port in the configuration, 0 for any free one") from None


def _recorded(settings: Config, funding: tuple[Path, ...]) -> MarketData | None:
    """The files of a replay, read here so that what is wrong with them is said at once; None for a synthetic market."""
    market = settings.settings.demo.market
    if not market.startswith("replay:"):
        if funding:
            raise InvalidInput(f"--funding with --market {market}", why="only recorded bars have recorded settlements", fix="leave it out")
        return None
    from kedge.services.market_data import load_market

    return load_market(files_of(market), funding)


def files_of(market: str) -> list[Path]:
    """The files of `replay:FILE,FILE`."""
    return [Path(name).expanduser() for name in market.removeprefix("replay:").split(",") if name]


def _wanted(settings: Config, recorded: MarketData | None, funding: tuple[Path, ...]) -> Wanted:
    demo = settings.settings.demo
    if recorded is None:
        instruments = listed(settings, [symbol.upper() for symbol in demo.instruments])
        ids = tuple(one.instrument_id for one in instruments)
        return Wanted(settings.state_folder, SYNTHETIC, INTERVAL_NS, ids, demo.seed, synthetic_start_ns(instruments))
    from kedge.services.market_span import Span, recorded_part
    from kedge.services.training.data import dataset_of

    cut_ns = dataset_of(recorded).time_at(*TRAIN_FRACTION)
    recorded_part(recorded, Span(from_ts_ns=cut_ns, one_grid=True))  # what cannot be played is said before a model learns for it
    ids = tuple(one.instrument_id for one in recorded.instruments)
    files = tuple(files_of(demo.market))
    return Wanted(settings.state_folder, REPLAY, recorded.interval_ns, ids, demo.seed, cut_ns, files, funding)


def _chosen(settings: Config, asked: Asked, wanted: Wanted, say: Callable[[str], None]) -> tuple[Chosen, tuple[str, ...]]:
    """The model, and the parameters that remain."""
    params = wiring.strategy_params(settings, MODEL, list(asked.param))
    reference = asked.model or params.pop(MODEL, None)
    chosen = choose_model(wanted, None if reference is None else str(reference), say)
    rest = [text for text in asked.param if text.partition("=")[0].strip() != MODEL]
    return chosen, tuple(rest)


def _past(wanted: Wanted) -> tuple[str, ...]:
    if wanted.kind == SYNTHETIC:
        return ("--history", str(HISTORY_BARS))
    return ("--from", iso_text(wanted.start_ts_ns), "--history", str(HISTORY_BARS), "--one-grid")


def _exchange(settings: Config, asked: Asked, money: str) -> tuple[str, ...]:
    demo, bars = settings.settings.demo, asked.bars
    if bars is None and demo.speed == "max" and demo.market == SYNTHETIC:
        bars = BARS_AT_MAX_SPEED
    ended = () if bars is None else ("--bars", str(bars))
    paid = ("--funding", *map(str, asked.funding)) if asked.funding else ()
    return ("--market", demo.market, "--seed", str(demo.seed), "--wallet", money, *ended, *paid)


def iso_text(ts_ns: int) -> str:
    """UTC to the second, as `--from` takes it."""
    return datetime.fromtimestamp(ts_ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
