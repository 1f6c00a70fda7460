"""`kedge trade`: one trader, one account, one venue, one journal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Parameter

from kedge.apps import exit_codes
from kedge.apps.output import emit
from kedge.domain.errors import AccessRefused, IntegrityError, InvalidInput
from kedge.ops.config import Config, load_config

if TYPE_CHECKING:
    from rich.console import Console

PAPER: Final = "paper"
SIMULATED_RUNGS: Final = ("paper", "demo")
Stop = Literal["leave", "cancel", "flatten", "ask"]


def trade(
    *,
    venue: str | None = None,
    rung: Literal["paper", "demo", "testnet", "live"] = "paper",
    instrument: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    strategy: str | None = None,
    param: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    interval: str = "1m",
    on_stop: Stop | None = None,
    guard: str | None = None,
    state_dir: str | None = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Trade one account at a venue. Ctrl-C stops it, and asks first when risk is on.

    It goes on with the newest unfinished run of the same settings, after comparing its books with the venue's, or begins a new one.
    It adds risk only while a guard permits it; without one it permits itself, which is for play money. This version trades on paper or
    demo, at a simulated exchange.

    Parameters
    ----------
    venue
        Address of the exchange, such as http://127.0.0.1:8100; by default the one that runs with this state folder. ccxt:bybit, or
        ccxt:bybit@ADDRESS, goes there through ccxt.
    rung
        Where the money is: paper, demo, testnet or live.
    instrument
        Symbols to trade; the configured ones by default.
    strategy
        `trend`, `mean_reversion` or `model`; the configured one by default, else trend.
    param
        NAME=VALUE of the strategy. For `model`, model=NAME@champion, NAME/3 or the first digits of its hash.
    interval
        Length of a bar, such as 1m, 5m or 1h.
    on_stop
        What a stop does with open risk: leave it to the venue, cancel open orders, flatten, or ask. Asks on a terminal, else leaves.
    guard
        Address of the guard, such as http://127.0.0.1:8081, or none; by default the one that guards this state folder now, else none.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print the final status as JSON.
    """
    from kedge.apps.second_venue import split_venue
    from kedge.apps.strategy_choice import choose
    from kedge.apps.trade_plan import Options
    from kedge.apps.trade_process import run_trader

    check_rung(rung)
    through, url = split_venue(venue)
    settings = load_config(config, flags={"state_dir": state_dir, "strategy.name": strategy})
    try:
        chosen = choose(settings, None, param)
    except IntegrityError as error:  # as a refused input, which no restart mends
        tell_guard(settings, guard, error)
        raise InvalidInput(error.what, why=error.why, fix=error.fix) from error
    if chosen.warning:
        print(f"note: {chosen.warning}", file=sys.stderr, flush=True)
    options = Options(
        venue=venue_url(settings.state_folder, url),
        rung=rung,
        symbols=tuple(dict.fromkeys(text.upper() for text in instrument or settings.settings.demo.instruments)),
        strategy=chosen.name,
        params=chosen.params,
        interval=interval,
        on_stop=on_stop or ("ask" if sys.stdin.isatty() and sys.stdout.isatty() and not as_json else "leave"),
        loaded=chosen.strategy,
        history_bars=chosen.history_bars,
        through=through,
        guard=guard_url(settings.state_folder, guard),
    )
    status = run_trader(settings, options, quiet=as_json)
    emit({"schema": "kedge/trade/v1", **status}, as_json, lambda target: _show_end(target, status))
    return exit_codes.OK


def check_rung(rung: str) -> None:
    """Refuse the rungs that this version may not trade on, before anything is opened.

    Raises
    ------
    AccessRefused
        Live needs what is not built yet, and so does testnet, since it counts as proof for live.
    """
    if rung == "live":
        raise AccessRefused(
            "--rung live is refused",
            why="real money needs the ladder's evidence, which this version does not keep yet",
            fix="--rung paper",
        )
    if rung == "testnet":
        raise AccessRefused(
            "--rung testnet is refused",
            why="it counts as proof for live, and the ladder that keeps such proof is not built yet",
            fix="--rung paper",
        )


def tell_guard(settings: Config, given: str | None, error: IntegrityError) -> None:
    """A model that is not what its name says is the guard's business too: it halts."""
    from kedge.apps.guard_client import report
    from kedge.domain.brake import Trigger

    if url := guard_url(settings.state_folder, given):
        report(url, settings.state_folder, settings.settings.account, Trigger.MODEL, error.what)


def guard_url(state_folder: Path, given: str | None) -> str:
    """The guard's address, given or guarding this state folder now; empty for none.

    Raises
    ------
    InvalidInput
        Neither `none` nor an address of this machine.
    """
    from kedge.apps.guard_client import checked_guard
    from kedge.domain.errors import VenueUnavailable
    from kedge.services.guard_door import door_url

    if given is not None:
        return checked_guard(given)
    try:
        return door_url(state_folder)
    except VenueUnavailable:
        return ""


def venue_url(state_folder: Path, given: str | None) -> str:
    """The exchange's address, given or running with this state folder.

    Raises
    ------
    InvalidInput
        Not an address of a simulated exchange on this machine, or none is given and none runs.
    """
    from urllib.parse import urlsplit

    from kedge.api.loopback import is_loopback
    from kedge.apps.exchange_file import read_running

    if given is None:
        running = read_running(state_folder)
        if running is None:
            raise InvalidInput(
                "--venue is not given",
                why=f"and no exchange runs with {state_folder}",
                fix="kedge exchange serve, or --venue http://127.0.0.1:PORT",
            )
        return running.url
    try:
        parts = urlsplit(given)
        sound = (
            parts.scheme == "http" and parts.port != 0 and not (parts.username or parts.path.strip("/") or parts.query or parts.fragment)
        )
    except ValueError:  # no port or address
        sound = False
    if not sound or not is_loopback(parts.hostname or ""):
        raise InvalidInput(
            f"--venue is {given!r}",
            why="paper and demo trade at a simulated exchange on this machine, and its keys go nowhere else",
            fix="such as --venue http://127.0.0.1:8100",
        )
    return given.rstrip("/")


def _show_end(target: Console, status: Mapping[str, Any]) -> None:
    """A person's last lines."""
    if "fills" in status:
        target.print(
            f"{status['phase']}: {status['fills']} fills, {status['round_trips']} round trips, equity {float(status['equity']):,.2f}, "
            f"{len(status['positions'])} positions open",
            highlight=False,
        )
    if status["run_id"]:
        target.print(f"journal: kedge audit verify {status['run_id']}", highlight=False, soft_wrap=True)
