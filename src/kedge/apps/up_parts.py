"""The parts of a whole system: what each process is started with, and how it is asked whether it is well."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from kedge.api.loopback import port_in_use
from kedge.apps import exit_codes
from kedge.apps.exchange_file import read_running
from kedge.apps.system_child import command
from kedge.domain.errors import KedgeError
from kedge.ops.health_file import EXCHANGE, GUARD, SERVER, TRADER, read_health_file
from kedge.ops.trader_status import ENDED, read_trader_status
from kedge.services.supervisor_child import ChildSpec, Policy, Probe

POLICY = Policy(final_codes=frozenset({exit_codes.USAGE, exit_codes.NOT_FOUND, exit_codes.INVALID, exit_codes.REFUSED}), final_deaths_max=2)
STOP_ORDER = (TRADER, GUARD, EXCHANGE, SERVER)
START_S = 120.0
"""A first start compiles the laws, on a slow machine for a while."""
TRADER_GRACE_S = 20.0


class Plan(NamedTuple):
    """What a system is made of; `speed` as configured, `interval` of a bar in words, `model` for people, '' where a rule trades.

    `guard_port` is where the guard answers; 0 leaves the guard out.
    """

    state_folder: Path
    exchange_port: int
    server_port: int
    speed: str
    interval: str
    exchange: tuple[str, ...]
    trader: tuple[str, ...]
    shared: tuple[str, ...]
    model: str = ""
    guard_port: int = 0
    guard: tuple[str, ...] = ()

    @property
    def guard_url(self) -> str:
        """Where the guard will answer; empty where there is none."""
        return f"http://127.0.0.1:{self.guard_port}" if self.guard_port else ""

    @property
    def venue_url(self) -> str:
        """Where the exchange will answer."""
        return f"http://127.0.0.1:{self.exchange_port}"

    @property
    def health_url(self) -> str:
        """Where the server will answer."""
        return f"{self.dashboard_url}/health"

    @property
    def dashboard_url(self) -> str:
        """Where a person looks."""
        return f"http://127.0.0.1:{self.server_port}"


def specs(plan: Plan, session: aiohttp.ClientSession) -> list[ChildSpec]:
    """Exchange, guard, trader and server. Guard and trader start again with the exchange: a simulated market dies with its process.

    Neither waits for the other: a trader without its guard's word adds no risk, and a guard needs no trader.
    """
    waiting = () if plan.speed == "1" else ("--wait-for", "1")
    port = ("--port", str(plan.exchange_port))
    exchange = ("exchange", "serve", *port, "--speed", plan.speed, *waiting, *plan.exchange, *plan.shared)
    trader = ("trade", "--venue", plan.venue_url, "--rung", "paper", "--interval", plan.interval, "--on-stop", "leave")
    guarded = ("--guard", plan.guard_url or "none")
    serve = ("serve", "--port", str(plan.server_port), "--hide-setup-link", *plan.shared)  # what it prints is kept in a file
    return [
        _spec(plan, EXCHANGE, exchange, exchange_probe(plan.state_folder, session)),
        *([_guard(plan)] if plan.guard_port else []),
        _spec(
            plan,
            TRADER,
            (*trader, *guarded, *plan.trader, *plan.shared),
            trader_probe(plan.state_folder),
            needs=EXCHANGE,
            ends_by_itself=True,
            is_done=trader_is_done(plan.state_folder),
            grace_s=TRADER_GRACE_S,
        ),
        _spec(plan, SERVER, serve, server_probe(plan.state_folder, session), needed=False),
    ]


def _guard(plan: Plan) -> ChildSpec:
    """The guard; whoever ends the whole system was asked about open risk already, so it leaves at the first word."""
    words = ("guard", "--venue", plan.venue_url, "--port", str(plan.guard_port), "--on-stop", "leave", *plan.guard, *plan.shared)
    return _spec(plan, GUARD, words, guard_probe(plan.state_folder), needs=EXCHANGE)


def _spec(plan: Plan, name: str, arguments: Sequence[str], probe: Probe, **more: Any) -> ChildSpec:
    console = plan.state_folder / "logs" / f"{name}.out"
    return ChildSpec(name=name, command=command(arguments), console=console, probe=probe, start_s=START_S, **more)


def exchange_probe(state_folder: Path, session: aiohttp.ClientSession) -> Probe:
    """Well: its file names this process, and it answers."""

    async def probe(pid: int) -> bool:
        running = read_running(state_folder)
        if running is None or running.pid != pid:
            return False
        async with session.get(f"{running.url}/kedge/status") as answer:
            return answer.status == 200

    return probe


def guard_probe(state_folder: Path) -> Probe:
    """Well: it wrote its file in the last seconds. Whether it permits risk is another matter."""

    async def probe(pid: int) -> bool:
        try:
            found = read_health_file(state_folder, GUARD, datetime.now(UTC))
        except KedgeError:
            return False
        return found["pid"] == pid and bool(found["fresh"])

    return probe


def trader_probe(state_folder: Path) -> Probe:
    """Well: it wrote its status in the last seconds. What it waits for, such as a venue that is down, is not its fault."""

    async def probe(pid: int) -> bool:
        try:
            found = read_trader_status(state_folder, datetime.now(UTC))
        except KedgeError:
            return False
        return found["pid"] == pid and bool(found["fresh"])

    return probe


def trader_is_done(state_folder: Path) -> Callable[[int], bool]:
    """Whether the trader of that pid said at its end that the market is over."""

    def is_done(pid: int) -> bool:
        try:
            found = read_trader_status(state_folder, datetime.now(UTC))
        except KedgeError:
            return False
        return found["pid"] == pid and found.get("phase") == ENDED

    return is_done


def server_probe(state_folder: Path, session: aiohttp.ClientSession) -> Probe:
    """Well: `/health/live` answers from this process."""

    async def probe(pid: int) -> bool:
        found = read_health_file(state_folder, SERVER, datetime.now(UTC))
        async with session.get(f"{found['url']}/health/live") as answer:
            return answer.status == 200 and (await answer.json())["pid"] == pid

    return probe


def free_port(*others: int) -> int:
    """A port that nobody listens on now, and none of the others."""
    while True:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = int(found.getsockname()[1])
        if port not in others:
            return port


def check_free(port: int) -> int:
    """The port, if it can be listened on; 0 gives a free one.

    Raises
    ------
    Conflict
        It is taken.
    """
    if not port:
        return free_port()
    with socket.socket() as asked:
        asked.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            asked.bind(("127.0.0.1", port))
        except OSError as error:
            raise port_in_use("127.0.0.1", port, error) from None
    return port
