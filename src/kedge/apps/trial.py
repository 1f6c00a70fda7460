"""`kedge trial`: learn from the first part of recorded bars, trade the rest on paper over real sockets, say honestly what came of it."""

from __future__ import annotations

import asyncio
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from cyclopts import Parameter

from kedge.apps import exit_codes, wiring
from kedge.apps.model_job import Done, Job, run_job
from kedge.apps.output import emit
from kedge.apps.system_loop import Stopping, run_until_stopped
from kedge.apps.trial_report import draw, report
from kedge.apps.up import read_status
from kedge.apps.up_parts import POLICY, STOP_ORDER, Plan, free_port, specs
from kedge.apps.up_plan import HISTORY_BARS, iso_text
from kedge.domain.errors import InvalidInput, RecordingFailed
from kedge.domain.units import NS_PER_MS
from kedge.market.intervals import interval_text, utc_text
from kedge.ops.config import Config, load_config
from kedge.ops.health_file import EXCHANGE, TRADER
from kedge.ops.logs import log_file
from kedge.ops.state_folder import refuse_full_disk
from kedge.ops.status_file import up_lock
from kedge.services.market_span import Span, recorded_part
from kedge.services.supervisor import Outcome, Supervisor
from kedge.strategy.model import MODEL, read_model_params
from kedge.venues.exchange.player import STEPS_MIN

if TYPE_CHECKING:
    from kedge.learning.dataset import Dataset
    from kedge.services.market_data import MarketData

LOOK_S: Final = 0.5
TELL_S: Final = 5.0
ENDED: Final = "ended"


def trial(
    *data: Path,
    funding: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative="")] = None,
    train_frac: str = "2/3",
    name: str | None = None,
    param: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    trade_without_skill: bool = False,
    wallet: str | None = None,
    seed: int = 7,
    state_dir: str | None = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Learn from the first part of recorded bars, then trade the rest on paper: a simulated exchange and a trader, over sockets.

    Prints what the model was worth out of sample, what trading earned after costs, and what holding would have earned. It exits 0
    whatever the result; a loss is a result.

    Parameters
    ----------
    data
        Files of bars, one per instrument, all of one interval.
    funding
        Files of recorded settlements.
    train_frac
        The part of the span that is learned from, such as 2/3.
    name
        What the model is called in the registry; `trial-` and the interval by default.
    param
        NAME=VALUE of the model strategy, such as exposure_frac=0.05.
    trade_without_skill
        Trade even where the calibration found nothing in the scores; without it such a model does not trade.
    wallet
        Starting money in the quote currency.
    seed
        Of the training, and of the crowd in the exchange's book.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    if not data:
        raise InvalidInput("no data file was given", why="a trial needs recorded bars", fix="kedge trial bybit-linear-BTCUSDT-1h.parquet")
    settings = load_config(config, flags={"state_dir": state_dir, "demo.seed": seed, "demo.speed": "max"})
    wiring.check_use(settings)
    read_model_params({**wiring.strategy_params(settings, MODEL, param), MODEL: "0" * 64})
    money = wallet or str(settings.settings.wallet)
    wiring.wallet_e8(settings, money)
    folder = settings.state_folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    asked = Asked(data, tuple(funding or ()), train_frac, name, tuple(param or ()), trade_without_skill, money, seed)
    clock = Phases(quiet=as_json)
    with up_lock(folder):
        refuse_full_disk(folder)
        with clock.phase("read"):
            market, whole, cut_ns = _read(asked)
            closes_ns = _closes_ns(whole, cut_ns)
        clock.say(f"{market.bar_count:,} bars of {len(market.series)} instruments; learning ends {utc_text(cut_ns // NS_PER_MS)} UTC")
        with clock.phase("train"):
            done = run_job(_job(settings, asked, market, cut_ns), clock.say)
        plan = _plan(settings, asked, market, cut_ns, done)
        with clock.phase("trade"):
            run_id = _play(plan, clock.say, closes_ns)
        with clock.phase("judge"):
            told = report(settings, run_id, done, market, whole, cut_ns)
    payload = {"schema": "kedge/trial/v1", **told, "seconds": clock.seconds}
    emit(payload, as_json, lambda target: draw(target, payload))
    return exit_codes.OK


class Asked(NamedTuple):
    """The command line beside the configuration."""

    data: tuple[Path, ...]
    funding: tuple[Path, ...]
    train_frac: str
    name: str | None
    param: tuple[str, ...]
    without_skill: bool
    money: str
    seed: int


class Phases:
    """Says what goes on, with the seconds since the start, and keeps how long each phase took."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._began_s = quiet, time.monotonic()
        self.seconds: dict[str, float] = {}

    def say(self, words: str) -> None:
        """One line on stderr."""
        if not self._quiet:
            print(f"{time.monotonic() - self._began_s:6.1f} s  {words}", file=sys.stderr, flush=True)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A part of the work whose time is kept."""
        began_s = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began_s, 2)


def _read(asked: Asked) -> tuple[MarketData, Dataset, int]:
    """The files, all of them as a data set, and where learning ends.

    Raises
    ------
    KedgeError
        A file cannot be read, or the part after the cut cannot be played; said before anything is learned.
    """
    from kedge.services.market_data import load_market
    from kedge.services.training.data import dataset_of, parse_fraction

    for path in _absolute(asked.data):
        if "," in path:
            raise InvalidInput(f"{path} holds a comma", why="commas part the files of a market", fix="rename the file or its folder")
    market = load_market(asked.data, asked.funding)
    whole = dataset_of(market)
    cut_ns = whole.time_at(*parse_fraction(asked.train_frac))
    recorded_part(market, Span(from_ts_ns=cut_ns, one_grid=True))
    return market, whole, cut_ns


def _job(settings: Config, asked: Asked, market: MarketData, cut_ns: int) -> Job:
    from kedge.services.training.settings import TrainSettings

    return Job(
        state=str(settings.state_folder),
        name=asked.name or f"trial-{interval_text(market.interval_ns // NS_PER_MS)}",
        settings=TrainSettings(seed=asked.seed, trade_without_skill=asked.without_skill),
        files=_absolute(asked.data),
        funding=_absolute(asked.funding),
        until_ns=cut_ns,
    )


def _plan(settings: Config, asked: Asked, market: MarketData, cut_ns: int, done: Done) -> Plan:
    paid = ("--funding", *_absolute(asked.funding)) if asked.funding else ()
    past = ("--from", iso_text(cut_ns), "--history", str(HISTORY_BARS), "--one-grid")
    symbols = tuple(one.venue_symbol for one in market.instruments)
    file = ("--config", str(settings.file)) if settings.file is not None else ()
    market_name = "replay:" + ",".join(_absolute(asked.data))
    return Plan(
        state_folder=settings.state_folder,
        exchange_port=free_port(),
        server_port=0,
        speed="max",
        interval=interval_text(market.interval_ns // NS_PER_MS),
        exchange=("--market", market_name, "--seed", str(asked.seed), "--wallet", asked.money, "--steps", str(STEPS_MIN), *past, *paid),
        trader=("--instrument", *symbols, "--strategy", MODEL, "--param", f"{MODEL}={done.model_sha256}", *asked.param),
        shared=("--state-dir", str(settings.state_folder), *file),
        model=done.version_text,
    )


def _absolute(paths: Sequence[Path]) -> tuple[str, ...]:
    return tuple(str(path.expanduser().absolute()) for path in paths)


def _closes_ns(whole: Dataset, cut_ns: int) -> Sequence[int]:
    """When each bar that is to be played closes, over all instruments, in order."""
    return sorted(int(ts) for part in whole.parts for ts in part.bars.close_ts_ns[part.bars.open_ts_ns >= cut_ns])


def _play(plan: Plan, say: Callable[[str], None], closes_ns: Sequence[int]) -> str:
    """Exchange and trader to the end of the bars; the run's name.

    Raises
    ------
    RecordingFailed
        One of them could not be kept alive.
    KeyboardInterrupt
        Somebody stopped it.
    """
    run_id = run_until_stopped(lambda stopping: _Play(plan, say, closes_ns).run(stopping))
    if run_id is None:
        say(f"stopped before the end; the model stays registered as {plan.model}")
        raise KeyboardInterrupt
    return run_id


class _Play:
    """The two processes and what they say of themselves."""

    def __init__(self, plan: Plan, say: Callable[[str], None], closes_ns: Sequence[int]) -> None:
        self._plan, self._say, self._closes_ns = plan, say, closes_ns
        self._traders: set[int] = set()
        self._told_s = 0.0

    async def run(self, stopping: Stopping) -> str | None:
        """Until the market has ended, then the run's name; None where somebody stopped it before."""
        import aiohttp

        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as session:
            parts = [one for one in specs(self._plan, session) if one.name in (EXCHANGE, TRADER)]
            order = tuple(one for one in STOP_ORDER if one in (EXCHANGE, TRADER))
            supervisor = Supervisor(parts, policy=POLICY, stop_order=order, report=self._report)
            running = asyncio.create_task(supervisor.run())
            while not running.done():
                asked = asyncio.create_task(stopping.asked.wait())
                await asyncio.wait({running, asked}, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                asked.cancel()
                self._tell()
                if stopping.asked.is_set():
                    supervisor.stop()
                    break
            outcome = await running
        return None if outcome.reason != ENDED and stopping.asked.is_set() else self._run_id(outcome)

    def _report(self, children: list[dict[str, Any]]) -> None:
        self._traders |= {row["pid"] for row in children if row["name"] == TRADER and row["pid"] is not None}

    def _tell(self) -> None:
        status = read_status(self._plan.state_folder, self._traders) or {}
        now_s = time.monotonic()
        if "funnel" in status and now_s - self._told_s >= TELL_S:
            self._told_s = now_s
            at = utc_text(int(status["ts_ns"]) // NS_PER_MS)
            done, bars = bisect_right(self._closes_ns, int(status["ts_ns"])), len(self._closes_ns)
            self._say(f"{done:,} of {bars:,} bars, {at}, {status['fills']} fills, equity {float(status['equity']):,.2f}")

    def _run_id(self, outcome: Outcome) -> str:
        status = read_status(self._plan.state_folder, self._traders) or {}
        if outcome.reason == ENDED and status.get("phase") == ENDED:
            return str(status["run_id"])
        words = [text for text in outcome.last_words.splitlines() if text.strip()]
        raise RecordingFailed(
            f"the trial was not played to its end ({outcome.reason}{f': {outcome.child}' if outcome.child else ''})",
            why=" | ".join(words) or str(status.get("problem") or "it was stopped"),
            fix=f"{log_file(self._plan.state_folder, outcome.child or TRADER)} tells more; the model stays registered",
        )
