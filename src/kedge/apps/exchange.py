"""`kedge exchange serve`: the simulated Bybit v5 exchange as a process of its own."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from cyclopts import Parameter

from kedge.apps import exit_codes, wiring
from kedge.apps.exchange_build import Options, build_server
from kedge.apps.exchange_file import Running, count_start, exchange_lock, remove_running, write_running
from kedge.apps.exchange_market import Followed, Played, chosen_market, parse_span
from kedge.apps.output import emit
from kedge.domain.errors import Conflict, InvalidInput
from kedge.kernel.compiling import compile_all, mark_ready
from kedge.ops.config import Config, load_config
from kedge.ops.logs import logging_to
from kedge.ops.paper_keys import PaperKey, load_or_create_paper_keys, paper_keys_file
from kedge.venues.exchange.clocks import UNPACED_SPEED
from kedge.venues.exchange.control import is_loopback
from kedge.venues.exchange.player import STEPS_MAX, STEPS_MIN, STEPS_PER_BAR
from kedge.venues.exchange.server import ExchangeServer

if TYPE_CHECKING:
    from rich.console import Console

DEFAULT_PORT: Final = 8100
PORT_MAX: Final = 65_535
ANSWER_DELAY_MAX_MS: Final = 1_000
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve(
    *,
    market: str | None = None,
    speed: str | None = None,
    seed: int | None = None,
    port: int = DEFAULT_PORT,
    host: str = "127.0.0.1",
    instrument: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    wallet: str | None = None,
    wait_for: int = 0,
    answer_delay: int = 0,
    steps: int = STEPS_PER_BAR,
    bars: int | None = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    history: int = 0,
    one_grid: bool = False,
    funding: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative="")] = None,
    faults: bool = False,
    state_dir: str | None = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Serve the simulated exchange: Bybit v5 over HTTP and WebSocket, with paper accounts and a market that is played.

    It answers on this machine alone, and stops on Ctrl-C or a polite kill. Keys of paper accounts stand in `paper/keys.json` of the
    state folder, readable by their owner only.

    Parameters
    ----------
    market
        `synthetic`, `replay:FILE` for recorded bars (several files joined by commas), `path:FILE` for a drill's prices, `live` for the
        venue's public prices, or `live:URL` for those of another exchange.
    speed
        `max`, or how many times faster than the clock; live prices have speed 1.
    seed
        Of the synthetic market and of the crowd in the book.
    port
        Where to listen; 0 lets the system choose.
    host
        An address of this machine's own.
    instrument
        Symbols to list in a synthetic or live market.
    wallet
        What each paper account is opened with, in the quote currency.
    wait_for
        Begin when this many clients have registered for lock-step.
    answer_delay
        Milliseconds that the trade socket holds its answers back. Set 10 for pybit, which loses one that comes too soon.
    steps
        Prices that a bar is played in, 4 to 64: with 4 its corners, which is quick and enough for orders between bars.
    bars
        End the market after this many bars of each instrument; the exchange then stands still.
    from_
        Begin a replay at this time, such as 2025-10-10 or 2025-10-10T21:00:00Z; what is before is not played.
    to
        End a replay at this time.
    history
        Remember so many bars of each instrument from before the beginning, and tell them to who asks for klines; without --from
        these are the first ones of the market. Settlements from before the beginning are always told.
    one_grid
        Play an instrument whose tick or lot changes on the finest of its grids; without it such a file is refused.
    funding
        Files of recorded settlements, for a replay.
    faults
        Let clients on this machine order faults at /kedge/faults.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print where it answers as JSON.
    """
    _check_numbers(port, wait_for, bars, answer_delay, steps)
    _check_host(host)
    at_wall_speed = market is not None and market.partition(":")[0] in ("live", "path")
    flags = {
        "state_dir": state_dir,
        "demo.market": None if at_wall_speed else market,
        "demo.speed": speed or ("1" if at_wall_speed else None),
        "demo.seed": seed,
    }
    settings = load_config(config, flags=flags)
    demo = settings.settings.demo
    name = market or demo.market
    _check_listing(name, instrument)
    span = parse_span(from_, to, history, one_grid=one_grid)
    symbols = _upper(instrument or demo.instruments)
    chosen = chosen_market(settings, name, bars=bars, funding=funding or (), symbols=symbols, span=span)
    options = Options(host, port, UNPACED_SPEED if demo.speed == "max" else int(demo.speed), wait_for, faults, as_json, answer_delay, steps)
    _check_live(chosen, options)
    folder = settings.state_folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with exchange_lock(folder):
        keys = load_or_create_paper_keys(folder)
        secrets = [key.api_secret for key in keys]
        with logging_to(folder, "exchange", secrets=secrets, console=sys.stderr.isatty() and not as_json) as log:
            compile_all()
            named = wallet is not None or settings.origins["wallet"] != "default"
            money_e8 = wiring.wallet_e8(settings, wallet) if named else None
            _run(_serve(settings, chosen, options, keys, money_e8, log))
    return exit_codes.OK


def _run(main: Coroutine[Any, Any, None]) -> None:
    import uvloop  # compiled for this: twice as fast as the standard loop

    uvloop.run(main)


async def _serve(
    settings: Config, chosen: Played | Followed, options: Options, keys: Sequence[PaperKey], wallet_e8: int | None, log: logging.Logger
) -> None:
    folder = settings.state_folder
    server = build_server(settings, chosen, options, keys, wallet_e8, count_start(folder))
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stopped.set)
    try:
        port = await _start(server, options)
        mark_ready()
        running = Running(os.getpid(), f"http://{_in_url(options.host)}:{port}", datetime.now(UTC).isoformat(timespec="seconds"))
        write_running(folder, running)
        for words in chosen.assumptions if isinstance(chosen, Played) else ():
            log.warning("assumed: %s", words)
        log.info("exchange answers at %s: %s market, speed %d", running.url, chosen.source, options.speed)
        told = {**msgspec.to_builtins(running), "source": chosen.source, "speed": options.speed, "keys": str(paper_keys_file(folder))}
        emit(told, options.as_json, lambda target: _hello(target, running, chosen.source))
        sys.stdout.flush()
        await _until_stopped(server, stopped)
    finally:
        remove_running(folder)
        await server.close()
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
    log.info("exchange stopped")


async def _until_stopped(server: ExchangeServer, stopped: asyncio.Event) -> None:
    """Wait for a signal; a market that breaks ends the process with its reason."""
    asked, broke = asyncio.ensure_future(stopped.wait()), asyncio.ensure_future(server.failure())
    done, rest = await asyncio.wait((asked, broke), return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    if broke in done:
        await broke


async def _start(server: ExchangeServer, options: Options) -> int:
    try:
        return await server.start(options.host, options.port)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        why = "another process listens there" if error.errno == errno.EADDRINUSE else "ports below 1024 belong to the system"
        raise Conflict(
            f"port {options.port} of {options.host} cannot be had",
            why=why,
            fix="--port 0 takes a free one; stop the other, or name another",
        ) from None


def _check_numbers(port: int, wait_for: int, bars: int | None, answer_delay_ms: int, steps: int) -> None:
    if not 0 <= port <= PORT_MAX:
        raise InvalidInput(f"--port is {port}", why=f"ports are 0 to {PORT_MAX}", fix="--port 0 takes a free one")
    if wait_for < 0:
        raise InvalidInput(f"--wait-for is {wait_for}", why="it counts clients", fix="leave it out to begin at once")
    if not 0 <= answer_delay_ms <= ANSWER_DELAY_MAX_MS:
        raise InvalidInput(f"--answer-delay is {answer_delay_ms}", why=f"it is 0 to {ANSWER_DELAY_MAX_MS} ms", fix="--answer-delay 10")
    if not STEPS_MIN <= steps <= STEPS_MAX:
        raise InvalidInput(
            f"--steps is {steps}", why=f"a bar is played in {STEPS_MIN} to {STEPS_MAX} prices", fix=f"--steps {STEPS_PER_BAR}"
        )
    if bars is not None and bars < 1:
        raise InvalidInput(f"--bars is {bars}", why="a market has at least one bar", fix="leave it out to play on")


def _check_host(host: str) -> None:
    if host != "localhost" and not is_loopback(host):
        raise InvalidInput(
            f"--host is {host}",
            why="the exchange has no TLS: keys and orders would cross the network in the clear",
            fix="use 127.0.0.1, and a tunnel where others must reach it",
        )


def _check_listing(market: str, instrument: list[str] | None) -> None:
    if instrument and market.startswith("replay:"):
        raise InvalidInput(
            f"--instrument {' '.join(instrument)} with recorded bars", why="they list what their files hold", fix="leave --instrument out"
        )


def _check_live(chosen: Played | Followed, options: Options) -> None:
    if isinstance(chosen, Followed) and options.speed != 1:
        raise InvalidInput("--speed with live prices", why="they come at the speed of the wall", fix="leave --speed out")
    if isinstance(chosen, Followed) and options.wait_for:
        raise InvalidInput(f"--wait-for {options.wait_for} with live prices", why="they wait for nobody", fix="leave --wait-for out")


def _upper(symbols: Sequence[str]) -> list[str]:
    return [symbol.upper() for symbol in symbols]


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _hello(target: Console, running: Running, source: str) -> None:
    target.print(f"exchange at {running.url}, {source} market; Ctrl-C stops it", highlight=False, soft_wrap=True)
