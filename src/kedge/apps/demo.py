"""`kedge demo`: engine and simulated venue in one process, without sockets, with a live view. Ctrl-C stops it cleanly."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cyclopts import Parameter

from kedge.apps import exit_codes, wiring
from kedge.apps.output import console, emit
from kedge.apps.strategy_choice import Choice, choose
from kedge.apps.view import Recent, render, utc_text
from kedge.domain.errors import InvalidInput
from kedge.domain.events import Event
from kedge.domain.orders import OrderKind
from kedge.domain.record import DataSource
from kedge.domain.units import NS_PER_S
from kedge.kernel.compiling import late_compilations, mark_ready
from kedge.market.catalogue import CATALOGUE, VENUE
from kedge.ops.build import code_sha256, engine_version
from kedge.ops.config import Config, load_config
from kedge.ops.state_folder import DISK_FREE_MIN_BYTES, JOURNAL_NAME, free_bytes, keys_folder, refuse_full_disk, run_folder
from kedge.ops.status_file import up_lock, write_status
from kedge.services.backtest import Run, RunSpec, assumptions_of, first_record
from kedge.services.demo import Pace, SyntheticFeed, first_bars, paced
from kedge.services.market_data import load_market
from kedge.simulation.exchange import FundingRate
from kedge.storage.journal_sqlite import SqliteJournal
from kedge.storage.keys import load_or_create_key
from kedge.strategy.base import Strategy

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

INTERVAL_NS = 60 * NS_PER_S
REFRESH_S = 0.25
STATUS_S = 1.0
LINE_S = 5.0
RUNS_KEPT = 5
BARS_AT_MAX_SPEED = 100_000
"""Without a pace the synthetic market would fill the disk in minutes, so it ends here unless --bars says otherwise."""


class Market(NamedTuple):
    """What the demo plays."""

    source: str
    instruments: tuple[Any, ...]
    events: Iterable[Event]
    fundings: Sequence[FundingRate]
    data: tuple[DataSource, ...]
    assumptions: dict[str, str]
    interval_ns: int
    start_ts_ns: int


def demo(
    *,
    market: str | None = None,
    speed: str | None = None,
    seed: int | None = None,
    strategy: str | None = None,
    param: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    wallet: str | None = None,
    bars: int | None = None,
    state_dir: str | None = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Run engine and market in one process: a synthetic or replayed market, one strategy, the limits, a journal and a live view.

    Nothing here opens a socket or touches real money; `kedge up` runs the whole system. Ctrl-C stops after the present event, closes
    and seals the journal.

    Parameters
    ----------
    market
        `synthetic`, or `replay:FILE` for recorded bars.
    speed
        `max`, or how many times faster than the clock; 600 plays ten one-minute bars a second.
    seed
        Of the synthetic market.
    strategy
        `trend`, `mean_reversion` or `model`; the configured one by default, else trend.
    param
        NAME=VALUE of the strategy.
    wallet
        Starting money in the quote currency.
    bars
        Stop after this many bars of each instrument; without it a paced synthetic market never ends, and one at `max`
        speed plays 100,000.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print the final status as JSON, and no view.
    """
    if bars is not None and bars < 1:
        raise InvalidInput(f"--bars is {bars}", why="a demo plays at least one bar", fix="leave it out to play on")
    flags = {"state_dir": state_dir, "demo.market": market, "demo.speed": speed, "demo.seed": seed, "strategy.name": strategy}
    settings = load_config(config, flags=flags)
    if bars is None and settings.settings.demo.speed == "max":
        bars = BARS_AT_MAX_SPEED
    folder = settings.state_folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with up_lock(folder):
        refuse_full_disk(folder)
        _forget_old_runs(folder)
        played = demo_market(settings, bars)
        chosen = choose(settings, None, param)
        started = first_record(demo_spec(settings, played, chosen, wallet), "demo")
        status = _play(settings, started, played, chosen.strategy, quiet=as_json)
    emit({"schema": "kedge/demo/v1", **status}, as_json, lambda target: _farewell(target, status))
    return exit_codes.OK


def demo_market(settings: Config, bars: int | None) -> Market:
    """What the configuration says the demo plays."""
    chosen = settings.settings.demo
    if chosen.market.startswith("replay:"):
        loaded = load_market([Path(chosen.market.removeprefix("replay:")).expanduser()])
        events = first_bars(loaded.events(), bars) if bars else loaded.events()
        return Market(
            "replay", loaded.instruments, events, loaded.fundings, loaded.data, loaded.assumptions, loaded.interval_ns, loaded.start_ts_ns
        )
    instruments = tuple(sorted((_shipped(name) for name in chosen.instruments), key=lambda i: i.instrument_id))
    start_ts_ns = max(i.valid_from_ns for i in instruments) // INTERVAL_NS * INTERVAL_NS
    feed = SyntheticFeed(instruments, chosen.seed, INTERVAL_NS, start_ts_ns, bars)
    words = {"market": f"synthetic, seed {chosen.seed}, one-minute bars: invented prices, no claim about any real market"}
    return Market("synthetic", instruments, feed.events(), feed.fundings, (), words, INTERVAL_NS, start_ts_ns)


def _shipped(symbol: str) -> Any:
    records = CATALOGUE.get(f"{VENUE}:{symbol}")
    if not records:
        known = ", ".join(sorted(name.partition(":")[2] for name in CATALOGUE))
        raise InvalidInput(f"demo.instruments holds {symbol!r}", why=f"records ship for {known}", fix="name one of these")
    return records[-1]


def demo_spec(settings: Config, market: Market, chosen: Choice, wallet: str | None) -> RunSpec:
    """The run that the demo is, without its events."""
    money_e8 = wiring.wallet_e8(settings, wallet)
    venue, costs = wiring.venue_settings(settings, money_e8), wiring.bar_costs(settings)
    began = datetime.now(UTC).isoformat()
    return RunSpec(
        engine=wiring.engine_settings(
            settings,
            strategy=chosen.name,
            params=chosen.params,
            entry=OrderKind.MARKET,
            interval_ns=market.interval_ns,
            start_ts_ns=market.start_ts_ns,
            wallet_e8=money_e8,
        ),
        venue=venue,
        costs=costs,
        matcher="bar",
        instruments=tuple(wiring.with_fees(settings, i) for i in market.instruments),
        data=market.data,
        assumptions={
            **assumptions_of(costs, venue, "bar"),
            **market.assumptions,
            "begun": began,
            "rung": "demo: labelled, never promotable",
        },
        source=market.source,
        speed=settings.settings.demo.speed,
        seed=settings.settings.demo.seed,
        engine_version=engine_version(),
        code_sha256=code_sha256(),
        snapshot_every=settings.settings.journal.snapshot_every,
    )


def _play(settings: Config, started: Any, market: Market, strategy: Strategy | None, *, quiet: bool) -> dict[str, Any]:
    folder = run_folder(settings.state_folder, started.run_id)
    folder.mkdir(parents=True)
    key = load_or_create_key(keys_folder(settings.state_folder))
    speed = settings.settings.demo.speed
    pace = Pace(0 if speed == "max" else int(speed), time.monotonic_ns, time.sleep)
    group = 1 if pace.speed else settings.settings.journal.group_size
    with SqliteJournal(
        folder / JOURNAL_NAME, signer=key, source=started.source, group_size=group, redactor=wiring.redactor(settings)
    ) as journal:
        run = Run(started, paced(market.events, pace), market.fundings, journal, strategy)
        recent = Recent(run.session.send, run.started.instruments, lambda: run.engine.state.ts_ns)
        run.session.send = recent.send  # type: ignore[method-assign]  # the view listens in on the way to the venue
        mark_ready()
        with _stopping(run), _screen(settings, run, recent, market.source, quiet) as tick:
            tick(force=True)
            run.drive(every=1, then=lambda _: tick())
            tick(force=True)
        journal.close(seal=True)
    return _status(run, market.source)


@contextmanager
def _stopping(run: Run) -> Iterator[None]:
    """Turn Ctrl-C and a polite kill into a clean end of the session."""

    def stop(number: int, _: object) -> None:
        run.session.stop(f"STOPPED_BY_{signal.Signals(number).name}")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _screen(settings: Config, run: Run, recent: Recent, source: str, quiet: bool) -> Iterator[Any]:
    """Yields `tick()`, which refreshes view and status file when they are due."""
    target = console()
    title = f"DEMO · {source.upper()} · {run.started.run_id}"
    note = f"speed {settings.settings.demo.speed} · {run.engine.strategy.name} · account {settings.settings.account} · Ctrl-C stops"
    if quiet or not target.is_terminal:
        yield _Ticker(settings, run, recent, source, None if quiet else target, None, title, note)
        return
    from rich.live import Live

    with Live(console=target, auto_refresh=False, screen=False) as live:
        yield _Ticker(settings, run, recent, source, target, live, title, note)


class _Ticker:
    """Refreshes the view four times a second, the status file every second, a plain line every five."""

    def __init__(
        self, settings: Config, run: Run, recent: Recent, source: str, target: Console | None, live: Live | None, title: str, note: str
    ) -> None:
        self._folder = settings.state_folder
        self._run, self._recent, self._source = run, recent, source
        self._journal = run_folder(self._folder, run.started.run_id) / JOURNAL_NAME
        self._target, self._live, self._title, self._note = target, live, title, note
        self._view_at = self._status_at = self._line_at = 0.0

    def __call__(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if force or now >= self._status_at:
            self._status_at = now + STATUS_S
            write_status(self._folder, _status(self._run, self._source), datetime.now(UTC))
            if not self._journal.is_file():
                self._run.session.stop("JOURNAL_IS_GONE")
            if free_bytes(self._folder) < DISK_FREE_MIN_BYTES // 2:
                self._run.session.stop("DISK_NEARLY_FULL")
        if self._live is not None and (force or now >= self._view_at):
            self._view_at = now + REFRESH_S
            self._live.update(
                render(self._run.engine.summary(), list(self._recent.rows), self._title, self._note, alarms(), self._live.console.height),
                refresh=True,
            )
        elif self._live is None and self._target is not None and (force or now >= self._line_at):
            self._line_at = now + LINE_S
            self._target.out(_line(self._run.engine.summary(), self._title), highlight=False)


def _status(run: Run, source: str) -> dict[str, Any]:
    summary = run.engine.summary()
    kept = (
        "fills",
        "round_trips",
        "equity",
        "drawdown",
        "drawdown_now",
        "daily_loss",
        "risk_state",
        "halt_code",
        "funnel",
        "positions",
        "bars",
    )
    return {
        "run_id": run.started.run_id,
        "mode": "demo",
        "source": source,
        **{name: summary[name] for name in kept},
        "orders": summary["live_orders"],
        "orders_sent": summary["orders"],
        "wallet": summary["wallet"],
        "fees": summary["fees"],
        "funding_paid": summary["funding_paid"],
        "venue_time": utc_text(summary["ts_ns"]),
        "alarms": alarms(),
    }


def alarms() -> list[str]:
    """What an operator must know at once. A law compiled after READY means that money waited for a compiler."""
    return [f"LATE_COMPILATION {name}" for name in late_compilations()]


def _line(summary: dict[str, Any], title: str) -> str:
    funnel = summary["funnel"]
    vetoed = sum(funnel["vetoed"].values())
    return (
        f"{title} {utc_text(summary['ts_ns'])} equity {float(summary['equity']):,.2f} drawdown {float(summary['drawdown']):.2%} "
        f"bars {funnel['bars']} signals {funnel['signals']} vetoed {vetoed} sent {funnel['sent']} filled {funnel['filled']} "
        f"round trips {summary['round_trips']} state {summary['risk_state']}"
    )


def _farewell(target: Console, status: dict[str, Any]) -> None:
    target.print(
        f"stopped: {status['fills']} fills, {status['round_trips']} round trips, equity {float(status['equity']):,.2f}, "
        f"worst drawdown {float(status['drawdown']):.2%}, {len(status['positions'])} positions left open in the simulation"
    )
    name = status["run_id"]
    target.print(f"journal sealed: kedge audit verify {name} · kedge replay {name}", highlight=False, soft_wrap=True)


def _forget_old_runs(state: Path) -> None:
    """Demo journals are large and worth little: keep the last few. Backtests are never removed."""
    runs = sorted((state / "runs").glob("demo-*"), key=lambda p: p.stat().st_mtime) if (state / "runs").is_dir() else []
    for old in runs[: max(0, len(runs) - RUNS_KEPT + 1)]:
        shutil.rmtree(old)
