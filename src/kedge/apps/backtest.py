"""`kedge backtest run`: a strategy over recorded bars, journalled."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from cyclopts import Parameter

from kedge.apps import exit_codes, wiring
from kedge.apps.interrupts import stoppable
from kedge.apps.output import console, emit, print_rows, progress
from kedge.apps.strategy_choice import Choice, choose, seen_words
from kedge.apps.view import slippage_words
from kedge.domain.errors import RecordingFailed
from kedge.domain.events import Event
from kedge.domain.orders import OrderKind
from kedge.domain.record import RunStarted
from kedge.ops.build import code_sha256, engine_version
from kedge.ops.config import Config, load_config
from kedge.ops.health_file import is_alive
from kedge.ops.state_folder import JOURNAL_NAME, data_folder, keys_folder, run_folder
from kedge.services.backtest import Run, RunSpec, assumptions_of, first_record
from kedge.services.market_data import MarketData, load_market
from kedge.storage.journal_memory import MemoryJournal
from kedge.storage.journal_sqlite import SqliteJournal
from kedge.storage.keys import load_or_create_key
from kedge.storage.snapshots import SnapshotStore
from kedge.strategy.base import Strategy
from kedge.strategy.execution import Style

if TYPE_CHECKING:
    from rich.console import Console

Files = Annotated[list[Path] | None, Parameter(consume_multiple=True, negative="")]
Texts = Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")]

PROGRESS_BARS = 20_000
PLACE_TRIES = 5


def run(
    *,
    data: Annotated[list[Path], Parameter(consume_multiple=True, negative="")],
    strategy: str | None = None,
    model: str | None = None,
    funding: Files = None,
    instrument: Path | None = None,
    param: Texts = None,
    wallet: str | None = None,
    tz: str | None = None,
    entry: Literal["market", "limit"] = "market",
    style: Literal["market", "limit", "chase", "twap", "participation", "stop_entry"] | None = None,
    matcher: Literal["bar", "book"] = "bar",
    seed: int = 7,
    journal: Annotated[bool, Parameter(negative="--no-journal")] = True,
    state_dir: str | None = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Run a strategy over recorded bars with fees, funding, slippage, margin and the limits, into a signed journal.

    The same files and settings give the same run id and the same journal, to the byte.

    Parameters
    ----------
    data
        A file of bars per instrument (CSV, Parquet, Feather, freqtrade JSON), or the hash of an imported one; repeat for a
        portfolio.
    strategy
        `trend`, `mean_reversion` or `model`; the configured one by default, else trend.
    model
        The model to trade with: NAME@champion, NAME/3, or the first digits of its hash (see `kedge model list`).
    funding
        A file of funding settlements per instrument.
    instrument
        A JSON instrument record for the data file, instead of the shipped or derived one.
    param
        NAME=VALUE of the strategy, such as fast=20.
    wallet
        Starting money in the quote currency.
    tz
        Zone of times in the files that name none, such as UTC+3.
    entry
        Enter with market orders, or with limit orders resting at the last close; read where no style is given.
    style
        How entries are worked (see docs/execution.md); the configured style by default.
    matcher
        Fills from the bar itself, or from an order book played along the bar's path.
    seed
        Of the book's background liquidity.
    journal
        Keep the run in a SQLite journal; off keeps it in memory.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    settings = load_config(config, flags={"state_dir": state_dir})
    store = SnapshotStore(data_folder(settings.state_folder))
    market = load_market(data, funding or (), instrument=wiring.instrument_file(instrument), store=store, tz=tz)
    chosen = choose(settings, strategy, param, model=model)
    seen = seen_words(settings.state_folder, chosen, market)
    for words in (chosen.warning, seen):
        if words:
            console(stderr=True).print(f"note: {words}", markup=False, soft_wrap=True)
    spec = _spec(settings, market, chosen, wallet, (OrderKind(entry), Style(style) if style else None), matcher, seed)
    started = first_record(spec, "bt")
    finished = _journalled(settings, started, market, chosen.strategy) if journal else _in_memory(started, market, chosen.strategy)
    payload = {"schema": "kedge/backtest/v1", **finished.result(), "quarantined": market.quarantined, "in_sample": seen or None}
    payload["journal"] = str(run_folder(settings.state_folder, started.run_id) / JOURNAL_NAME) if journal else None
    emit(payload, as_json, lambda target: draw(target, payload))
    return exit_codes.OK


def _spec(
    settings: Config,
    market: MarketData,
    chosen: Choice,
    wallet: str | None,
    entry: tuple[OrderKind, Style | None],
    matcher: str,
    seed: int,
) -> RunSpec:
    money_e8 = wiring.wallet_e8(settings, wallet)
    engine = wiring.engine_settings(
        settings,
        strategy=chosen.name,
        params=chosen.params,
        entry=entry[0],
        style=entry[1],
        interval_ns=market.interval_ns,
        start_ts_ns=market.start_ts_ns,
        wallet_e8=money_e8,
    )
    venue, costs = wiring.venue_settings(settings, money_e8), wiring.bar_costs(settings)
    return RunSpec(
        engine=engine,
        venue=venue,
        costs=costs,
        matcher=matcher,
        instruments=tuple(wiring.with_fees(settings, i) for i in market.instruments),
        data=market.data,
        assumptions={**assumptions_of(costs, venue, matcher), **market.assumptions},
        source="replay",
        speed="max",
        seed=wiring.checked_seed(seed),
        engine_version=engine_version(),
        code_sha256=code_sha256(),
        snapshot_every=settings.settings.journal.snapshot_every,
    )


def _in_memory(started: RunStarted, market: MarketData, strategy: Strategy | None) -> Run:
    journal = MemoryJournal(signer=None, source=started.source)
    with stoppable() as check:
        return _drive(Run(started, market.events(), market.fundings, journal, strategy), market, check)


def _journalled(settings: Config, started: RunStarted, market: MarketData, strategy: Strategy | None) -> Run:
    """Run into a folder of its own beside the final one, which it then replaces: a broken run never looks whole."""
    final = run_folder(settings.state_folder, started.run_id)
    _clear_unfinished(final.parent)
    building = final.with_name(f".{final.name}.{os.getpid()}")
    building.mkdir(parents=True, exist_ok=True)
    try:
        with stoppable() as check:
            finished = _recorded(settings, building, started, market, strategy, check)
            check()
            _put_in_place(building, final)
    except RecordingFailed as error:
        _remove(building)
        why = "the disk is full or refuses; nothing of this run was kept"
        raise RecordingFailed(error.what, why=why, fix="free disk space, then run it again") from None
    except BaseException:
        _remove(building)
        raise
    return finished


def _recorded(
    settings: Config, building: Path, started: RunStarted, market: MarketData, strategy: Strategy | None, check: Callable[[], None]
) -> Run:
    """The run with its sealed journal and its result in `building`."""
    store = SqliteJournal(
        building / JOURNAL_NAME,
        signer=load_or_create_key(keys_folder(settings.state_folder)),
        source=started.source,
        group_size=settings.settings.journal.group_size,
        redactor=wiring.redactor(settings),
    )
    with store:
        finished = _drive(Run(started, market.events(), market.fundings, store, strategy), market, check)
        store.close(seal=True)
    (building / "result.json").write_text(json.dumps(msgspec.to_builtins(finished.result()), indent=2) + "\n", encoding="utf-8")
    return finished


def _remove(folder: Path) -> None:
    with suppress(OSError):
        shutil.rmtree(folder)


def _clear_unfinished(runs: Path) -> None:
    """Remove what killed backtests left: folders named by a process that lives no more."""
    for left in runs.glob(".bt-*"):
        pid = left.name.rpartition(".")[2]
        if pid.isdigit() and not is_alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _put_in_place(building: Path, final: Path) -> None:
    """Give a finished run its name; the same run of before goes, and of two that finish at once one stays, whole."""
    before = final.with_name(f".{final.name}.before.{os.getpid()}")
    for tries_left in reversed(range(PLACE_TRIES)):
        try:
            building.rename(final)
            break
        except OSError:
            if not tries_left:
                with suppress(OSError):
                    before.rename(final)
                raise
        if final.exists():
            _remove(before)
            with suppress(FileNotFoundError):  # its owner may be doing the same
                final.rename(before)
    _remove(before)


def _drive(run: Run, market: MarketData, check: Callable[[], None]) -> Run:
    with progress(f"running {run.started.run_id}", market.bar_count) as advance:

        def told(_: Event) -> None:
            check()
            advance(PROGRESS_BARS)

        run.drive(every=PROGRESS_BARS, then=told)
    return run


def draw(target: Console, payload: dict[str, Any]) -> None:
    """A result for a person: figures, the funnel, and every assumption."""
    figures = ("run_id", "bars", "orders", "fills", "round_trips", "equity", "drawdown", "realised", "unrealised", "fees", "funding_paid")
    rows = [(name, payload[name]) for name in figures]
    rows += [("slippage", slippage_words(payload)), ("shortfall of the unfilled", payload["unfilled_shortfall"])]
    print_rows(target, ("figure", "value"), [*rows, ("risk state", payload["risk_state"])])
    if payload["in_sample"]:
        target.print(f"NO PROOF: {payload['in_sample']}", markup=False)
    funnel = payload["funnel"]
    steps = [(name, funnel[name]) for name in ("bars", "signals", "sized", "sent", "filled")]
    vetoes = [(f"vetoed: {code}", count) for code, count in funnel["vetoed"].items()]
    refused = [(f"refused by the venue: {code}", count) for code, count in funnel["refused"].items()]
    print_rows(target, ("funnel", "count"), steps + vetoes + refused)
    print_rows(target, ("assumed", "how"), payload["assumptions"].items())
    if payload["risk_state"] != "running":
        target.print(f"trading ended {payload['risk_state']} ({payload['halt_code']}): see docs/limits.md, or widen limits for research")
