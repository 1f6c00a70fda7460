"""`kedge up`: the whole system on this machine, as supervised processes that speak over sockets, with a live view."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from kedge.apps import exit_codes, wiring
from kedge.apps.output import emit
from kedge.apps.serve import DEFAULT_PORT, SETUP_WORDS, check_port
from kedge.apps.system_loop import Stopping, run_until_stopped
from kedge.apps.up_parts import POLICY, STOP_ORDER, Plan, specs
from kedge.apps.up_plan import Asked, make_plan, strategy_of
from kedge.apps.up_screen import Screen, ask, is_flat, risk_in_words, screen
from kedge.apps.view import percent
from kedge.domain.brake import BrakeLevel
from kedge.domain.errors import InvalidInput, KedgeError, RecordingFailed
from kedge.domain.events import Command
from kedge.ops.config import load_config
from kedge.ops.guard_files import read_status as read_guard
from kedge.ops.health_file import SUPERVISOR, TRADER, write_health_file
from kedge.ops.logs import fields, log_file, logging_to
from kedge.ops.state_folder import inbox_path, refuse_full_disk
from kedge.ops.status_file import up_lock
from kedge.ops.trader_status import read_trader_status
from kedge.services.supervisor import Outcome, Supervisor

REFRESH_S = 0.5
FLATTEN_S = 30.0


def up(
    *,
    market: str | None = None,
    speed: str | None = None,
    seed: int | None = None,
    strategy: str | None = None,
    model: str | None = None,
    param: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    wallet: str | None = None,
    bars: int | None = None,
    funding: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative="")] = None,
    port: int = DEFAULT_PORT,
    state_dir: str | None = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Run the system: a simulated Bybit exchange, a guard and a trader that speak to it over sockets, a server with dashboard and health.

    A model trades, by default the champion of the market's name (demo-synthetic-1m), trained now where there is none. Prices are
    synthetic or recorded, money is play money. What dies is started again; the trader then meets its journal, its orders and the
    same market. Ctrl-C asks what to do with open risk and stops everything.

    Parameters
    ----------
    market
        `synthetic`, or `replay:FILE` for recorded bars. A model learns from the first two thirds of a file and trades the rest.
    speed
        `max`, or how many times faster than the clock; 600 plays ten one-minute bars a second.
    seed
        Of the synthetic market.
    strategy
        `model`, `trend` or `mean_reversion`; the configured one by default, else `model`.
    model
        The model to trade with: NAME@champion, NAME/3, or the first digits of its hash.
    param
        NAME=VALUE of the strategy.
    wallet
        Starting money in the quote currency.
    bars
        Stop after this many bars of each instrument; without it a paced synthetic market never ends, and one at `max`
        speed plays 20,000.
    funding
        Files of recorded settlements, for a replay.
    port
        Of dashboard and health; 0 takes a free one.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print the final status as JSON, and no view.
    """
    if bars is not None and bars < 1:
        raise InvalidInput(f"--bars is {bars}", why="a market plays at least one bar", fix="leave it out to play on")
    check_port(port)
    given = {"demo.market": market, "demo.speed": speed, "demo.seed": seed, "strategy.name": strategy}
    settings = load_config(config, flags={"state_dir": state_dir, **given})
    wiring.check_use(settings)
    wiring.check_guarded(settings)
    asked = Asked(strategy, model, tuple(param or ()), wallet, bars, port, tuple(funding or ()), config)
    strategy_of(settings, asked)
    folder = settings.state_folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with up_lock(folder):
        refuse_full_disk(folder)
        with logging_to(folder, SUPERVISOR, secrets=settings.secret_values()) as logger:
            logger.info("system starts", extra=fields(market=settings.settings.demo.market, speed=settings.settings.demo.speed))
            plan = make_plan(settings, asked, _teller(logger, as_json))
            logger.info("plan", extra=fields(venue_url=plan.venue_url, health_url=plan.health_url, model=plan.model or "none"))
            system = _System(plan, as_json)
            outcome = run_until_stopped(system.run)
            logger.info("system ended", extra=fields(reason=outcome.reason, child=outcome.child))
    return _farewell(folder, outcome, system.status() or {}, as_json)


def _teller(logger: logging.Logger, quiet: bool) -> Callable[[str], None]:
    """Says what goes on before there is a screen: on stderr with the seconds since the start, and in the log."""
    began_s = time.monotonic()

    def say(words: str) -> None:
        logger.info(words)
        if not quiet:
            print(f"{time.monotonic() - began_s:5.1f} s  {words}", file=sys.stderr, flush=True)

    return say


class _System:
    """One run of the supervisor with its screen."""

    def __init__(self, plan: Plan, quiet: bool) -> None:
        self._plan, self._quiet = plan, quiet
        self._children: list[dict[str, Any]] = []
        self._traders: set[int] = set()
        self._began_s = time.monotonic()
        self._ready = False

    async def run(self, stopping: Stopping) -> Outcome:
        """Supervise until the end."""
        import aiohttp

        note = f"speed {self._plan.speed} · dashboard {self._plan.dashboard_url} · Ctrl-C stops"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as session:
            supervisor = Supervisor(specs(self._plan, session), policy=POLICY, stop_order=STOP_ORDER, report=self._report)
            with screen(note, quiet=self._quiet) as shown:
                running = asyncio.create_task(supervisor.run())
                while not running.done():
                    shown.show(self.status(), self._children)
                    await self._tell_ready(session, shown)
                    asked = asyncio.create_task(stopping.asked.wait())
                    await asyncio.wait({running, asked}, timeout=REFRESH_S, return_when=asyncio.FIRST_COMPLETED)
                    asked.cancel()
                    if stopping.asked.is_set() and not running.done() and await self._is_stop_meant(stopping, shown):
                        supervisor.stop()
                        break
                outcome = await running
                shown.show(self.status(), self._children)
                return outcome

    def status(self) -> dict[str, Any] | None:
        """What the trader of this system last said; None before it said anything, whatever an earlier system left there."""
        return read_status(self._plan.state_folder, self._traders)

    def _report(self, children: list[dict[str, Any]]) -> None:
        self._children = children
        self._traders |= {row["pid"] for row in children if row["name"] == TRADER and row["pid"] is not None}
        urls = {"venue_url": self._plan.venue_url, "health_url": self._plan.health_url, "guard_url": self._plan.guard_url}
        write_health_file(self._plan.state_folder, SUPERVISOR, {**urls, "children": children}, datetime.now(UTC))

    async def _tell_ready(self, session: Any, shown: Screen) -> None:
        if self._ready or any(row["state"] != "ready" for row in self._children) or not self._children:
            return
        with contextlib.suppress(OSError, TimeoutError):
            async with session.get(f"{self._plan.health_url}/ready") as answer:
                self._ready = answer.status == 200
        if self._ready:
            if told := brake_words(self._plan.state_folder, datetime.now(UTC)):
                shown.say(told)
            plan, ready_s = self._plan, time.monotonic() - self._began_s
            shown.say(f"ready after {ready_s:.1f} s: dashboard {plan.dashboard_url}, brake {plan.guard_url}, health {plan.health_url}")
            if not self._quiet and (link := await asyncio.to_thread(setup_link, plan.state_folder, plan.server_port)) is not None:
                shown.say(f"{SETUP_WORDS}: {link}")

    async def _is_stop_meant(self, stopping: Stopping, shown: Screen) -> bool:
        """Ask the person when risk is on; a second Ctrl-C answers for them."""
        what = risk_in_words(self.status())
        if what and shown.is_live and stopping.times == 1 and sys.stdin.isatty():
            with shown.paused():
                chosen = await ask(what, stopping.again)
            if chosen == "go on":
                stopping.forget()
                return False
            if chosen == "flatten":
                await self._flatten(shown, stopping.again)
        return True

    async def _flatten(self, shown: Screen, again: asyncio.Event) -> None:
        """Tell the trader to close everything, and wait until it says that it has, within bounds or until urged again."""
        from kedge.services.inbox import Inbox
        from kedge.services.people.telling import leave, local_actor

        with Inbox(inbox_path(self._plan.state_folder)) as inbox:
            leave(inbox, local_actor(), Command.FLATTEN, "kedge up: flatten before the stop", wall_ns=time.time_ns())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLATTEN_S):
                while not is_flat(self.status()) and not again.is_set():
                    await asyncio.sleep(REFRESH_S)
        status = self.status()
        left = risk_in_words(status) or "the trader does not say what is"
        shown.say("flat" if is_flat(status) else f"not flat: {left} left; the command stands and reaches the next trader")


def brake_words(state_folder: Path, now: datetime) -> str:
    """That the brake is on, and what to do; empty while it is off, or nobody says."""
    try:
        latch = read_guard(state_folder, now)["latch"]
    except (KedgeError, KeyError):
        return ""
    if latch["level"] == BrakeLevel.RUNNING:
        return ""
    why = latch["reason"] or latch["observed"]
    told = f"THE BRAKE IS ON ({latch['level']}: {latch['trigger']}, {why})"
    return f"{told}: nothing adds risk before two people release it: kedge brake release"


def setup_link(state_folder: Path, port: int) -> str | None:
    """A new link that makes the first account of the server on this port; None where there is one, or where the store cannot be asked."""
    from kedge.services.people.desk import open_links

    try:
        with open_links(state_folder) as links:
            secret = links.first()
    except KedgeError:
        return None  # the server, which has the same store open, says in its log what is wrong
    return None if secret is None else f"http://localhost:{port}/setup#{secret}"


def read_status(state_folder: Path, pids: Collection[int]) -> dict[str, Any] | None:
    """The trader's status; None where none was written, or by another process than these."""
    try:
        found = read_trader_status(state_folder, datetime.now(UTC))
    except KedgeError:
        return None
    return found if found["pid"] in pids else None


def _farewell(folder: Path, outcome: Outcome, status: Mapping[str, Any], as_json: bool) -> int:
    if outcome.reason == "given_up":
        raise _GivenUp.of(outcome, folder)
    emit({"schema": "kedge/up/v1", **status, "outcome": outcome.reason}, as_json, lambda target: _draw(target, status, outcome))
    return exit_codes.OK


class _GivenUp(RecordingFailed):
    """A process that a restart cannot mend."""

    code = "CHILD_GIVEN_UP"

    @classmethod
    def of(cls, outcome: Outcome, folder: Path) -> _GivenUp:
        words = [text for text in outcome.last_words.splitlines() if text.strip()]
        return cls(
            f"gave up on the {outcome.child}: it ended {POLICY.final_deaths_max} times with exit code {outcome.exit_code}",
            why=" | ".join(words) or "it said nothing",
            fix=f"mend that; {log_file(folder, outcome.child)} tells more",
        )


def _draw(target: Any, status: Mapping[str, Any], outcome: Outcome) -> None:
    if "fills" not in status:
        target.print(f"{outcome.reason} before the trader began", highlight=False)
        return
    target.print(
        f"{outcome.reason}: {status['fills']} fills, {status['round_trips']} round trips, equity {float(status['equity']):,.2f}, "
        f"worst drawdown {percent(status['drawdown'])}, {len(status['positions'])} positions left open in the simulation",
        highlight=False,
        soft_wrap=True,
    )
    if status.get("model"):
        told = f"model {status['model_version'] or 'unregistered'} ({status['model'][:12]}): {status['predictions']} predictions"
        target.print(f"{told} · kedge model show {status['model'][:12]}", highlight=False, soft_wrap=True)
    name = status["run_id"]
    target.print(f"journal: kedge audit verify {name} · kedge replay {name}", highlight=False, soft_wrap=True)
