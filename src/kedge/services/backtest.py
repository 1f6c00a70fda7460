"""A run at the simulated venue, from plain parts to a result: the same for backtest and demo.

Whoever composes a run brings instruments, events and stores; this module names the run by its content, writes the
first record, and drives the loop. Equal inputs give equal run ids and equal journals, to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import msgspec

from kedge.domain.canonical import content_hash
from kedge.domain.events import Event
from kedge.domain.instrument import Instrument
from kedge.domain.ports import Journal
from kedge.domain.record import DataSource, RunStarted
from kedge.engine.engine import WALLET_PROVED_MAX_E8, Engine
from kedge.engine.settings import EngineSettings
from kedge.kernel.bounds import prove_account
from kedge.market.path import PATH_RULE
from kedge.services.trading import run
from kedge.simulation.bar_matcher import BarCosts, BarMatcher
from kedge.simulation.book_matcher import BookMatcher
from kedge.simulation.exchange import ExchangeCore, FundingRate, VenueSettings
from kedge.simulation.matching import Matcher
from kedge.simulation.session import Session
from kedge.strategy.base import Strategy


class RunJournal(Journal, Protocol):
    """A journal that a run can start and snapshot."""

    def start(self, run_started: RunStarted) -> None: ...
    def save_snapshot(self, seq: int, body: bytes) -> None: ...

    @property
    def count(self) -> int: ...


class RunSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is, without its events: everything here goes into the first record.

    Attributes
    ----------
    engine : EngineSettings
        With an empty `run_id`; the run's own is worked out from the content.
    matcher : str
        'bar' or 'book'.
    source : str
        'replay', 'synthetic' or 'live'.
    """

    engine: EngineSettings
    venue: VenueSettings
    costs: BarCosts
    matcher: str
    instruments: tuple[Instrument, ...]
    data: tuple[DataSource, ...]
    assumptions: dict[str, str]
    source: str
    speed: str
    seed: int
    engine_version: str
    code_sha256: str
    snapshot_every: int = 50_000


def plain_params(params: dict[str, Any]) -> dict[str, Any]:
    """Strategy parameters without floats, as records hold them: decimals become their shortest text."""
    return {name: repr(value) if isinstance(value, float) else value for name, value in params.items()}


def first_record(spec: RunSpec, kind: str) -> RunStarted:
    """Name the run by its content and describe it; `kind` is the id's prefix, such as 'bt'."""
    body = content_hash(spec)
    engine = msgspec.structs.replace(spec.engine, run_id=f"{kind}-{body[:16]}", params=plain_params(spec.engine.params))
    settings = msgspec.to_builtins(
        {"engine": engine, "venue": spec.venue, "costs": spec.costs, "matcher": spec.matcher, "snapshot_every": spec.snapshot_every}
    )
    return RunStarted(
        run_id=engine.run_id,
        account=engine.account,
        source=spec.source,
        speed=spec.speed,
        engine_version=spec.engine_version,
        code_sha256=spec.code_sha256,
        settings_sha256=content_hash(settings),
        settings=settings,
        instruments=spec.instruments,
        data=spec.data,
        assumptions=spec.assumptions,
        seed=spec.seed,
        started_ts_ns=engine.start_ts_ns,
    )


def engine_of(started: RunStarted, strategy: Strategy | None = None) -> Engine:
    """The engine that a first record describes, fresh."""
    return Engine(EngineSettings.from_plain(started.settings["engine"]), started.instruments, strategy)


def venue_of(started: RunStarted) -> ExchangeCore:
    """The simulated venue that a first record describes, fresh."""
    settings = started.settings
    costs = msgspec.convert(settings["costs"], BarCosts)
    venue = msgspec.convert(settings["venue"], VenueSettings)
    prove_account(started.instruments, wallet_max_e8=WALLET_PROVED_MAX_E8, impact_max_bps=costs.impact_bps)
    matcher: Matcher = BarMatcher(costs) if settings["matcher"] == "bar" else BookMatcher(seed=started.seed)
    return ExchangeCore(started.instruments, venue, matcher, started.started_ts_ns)


class Run:
    """One run in progress: engine, venue and session, over a journal."""

    def __init__(
        self,
        started: RunStarted,
        market: Iterable[Event],
        fundings: Sequence[FundingRate],
        journal: RunJournal,
        strategy: Strategy | None = None,
    ) -> None:
        self.started = started
        self.journal = journal
        self.engine = engine_of(started, strategy)
        self.venue = venue_of(started)
        self.session = Session(self.venue, market, fundings, tell_funding=self.engine.state.features.uses_funding)
        self._snapshot_every = int(started.settings["snapshot_every"])

    def drive(self, *, every: int = 0, then: Callable[[Event], None] | None = None) -> None:
        """Write the first record and run to the end of the events, with a snapshot every `snapshot_every` records."""
        self.journal.start(self.started)
        run(self.engine, self.session, _Snapshotting(self.journal, self.engine, self._snapshot_every), self.session, every=every, then=then)

    def result(self) -> dict[str, Any]:
        """Figures of the run so far."""
        return {
            "run_id": self.started.run_id,
            **self.engine.summary(),
            "assumptions": self.started.assumptions,
            "source": self.started.source,
        }


class _Snapshotting:
    """A journal that also keeps the engine's state every so many records."""

    def __init__(self, journal: RunJournal, engine: Engine, every: int) -> None:
        self._journal = journal
        self._engine = engine
        self._every = self._left = every
        self._commit, self.keep = journal.commit, journal.keep

    def commit(self, event: Event, outputs: Sequence[Any]) -> None:
        self._commit(event, outputs)
        self._left -= 1
        if not self._left:
            self._left = self._every
            self._journal.save_snapshot(self._journal.count - 1, self._engine.snapshot())

    def flush(self) -> None:
        self._journal.flush()


def assumptions_of(spec_costs: BarCosts, venue: VenueSettings, matcher: str) -> dict[str, str]:
    """How fills are made up, in words, printed with every result."""
    shared = {
        "latency": f"{venue.latency_ns / 1e6:g} ms from decision to venue",
        "mark": "mark price is the close of the last bar",
        "funding": "paid on positions open at the settlement, at the mark; inside a longer bar at that bar's close",
        "liquidation": "cross margin; each position is walked to the extreme of its bar that hurts, others at their last mark",
    }
    if matcher == "book":
        return {**shared, "fills": f"order book with background liquidity, bar played as {PATH_RULE}"}
    return {
        **shared,
        "fills": f"takers at the open of the next bar + {spec_costs.half_spread_ticks} tick half spread "
        f"+ {spec_costs.impact_bps} bps x share of the bar's volume",
        "resting": "a limit fills as maker only when the bar trades through it",
        "capacity": f"at most {spec_costs.participation_e8 / 1e6:g} % of a bar's volume; the rest of a market order is cancelled",
    }
