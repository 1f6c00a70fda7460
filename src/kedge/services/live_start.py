"""How a live run begins, and how it goes on after a stop: the first record, or the journal folded back into an engine.

Nothing is decided again. What the venue did meanwhile is the first reconciliation's business.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec

from kedge.domain.canonical import content_hash
from kedge.domain.errors import Conflict, InvalidInput
from kedge.domain.events import AccountInherited, InstrumentChanged
from kedge.domain.instrument import Instrument
from kedge.domain.outputs import CancelSent
from kedge.domain.record import RunStarted, Step
from kedge.domain.units import E8
from kedge.domain.venue import TradingVenue
from kedge.engine.engine import Engine
from kedge.engine.lifecycle import Status
from kedge.engine.settings import EngineSettings
from kedge.services.backtest import RunJournal, engine_of, plain_params
from kedge.services.heritage import books_inherited
from kedge.services.ledger import cash_of
from kedge.services.live_settings import LivePlan
from kedge.services.recovery import StoredRun, check_stored, first_of, recover
from kedge.services.seen import SCAN_RECORDS_MAX, Seen, id_of, rebuild, seen_at_start
from kedge.strategy.base import Strategy

_NO_LAW: Final = ("valid_from_ns", "price_max_ticks", "position_max_lots")
"""Fields that say when a record was made and how far its sums are proved; a client derives them from the price of the moment."""


class Begun(msgspec.Struct, frozen=True):
    """An engine ready to go on: with its first record, what was seen before, and what it is to be told of an earlier run first of all."""

    started: RunStarted
    engine: Engine
    seen: Seen
    commands: frozenset[str]
    cancels: frozenset[str]
    is_new: bool
    inherited: AccountInherited | None = None


class LiveStore(Protocol):
    """Reads back what a journal holds."""

    def __call__(self) -> StoredRun: ...


async def begin(venue: TradingVenue, journal: RunJournal, stored: LiveStore, plan: LivePlan, strategy: Strategy | None = None) -> Begun:
    """Go on with the run in the journal, or write the first record of a new one.

    Raises
    ------
    VenueUnavailable
        The venue could not be asked for instruments and wallet.
    Conflict
        The journal holds another account's run, or one that trades with another model.
    InvalidInput
        The account has no money, or an instrument is not listed.
    """
    if journal.count:
        begun = _go_on(journal, stored, plan, strategy)
        return msgspec.structs.replace(begun, inherited=await _inherited(venue, plan, begun.started, journal.count))
    started = await _first_record(venue, plan)
    inherited = await _inherited(venue, plan, started, 1)
    journal.start(started)
    return Begun(started, engine_of(started, strategy), seen_at_start(started), frozenset(), frozenset(), True, inherited)


async def _inherited(venue: TradingVenue, plan: LivePlan, started: RunStarted, count: int) -> AccountInherited | None:
    """What is to be told of the run before; who has taken steps of its own has books, and is told only what held trading."""
    if plan.heritage is None or count > 1:
        return None if plan.heritage is None else plan.heritage.held
    settings = started.settings
    return await books_inherited(venue, plan.heritage, settings["engine"]["wallet_e8"], started.started_ts_ns, settings["live"]["booked"])


def _go_on(journal: RunJournal, stored: LiveStore, plan: LivePlan, strategy: Strategy | None) -> Begun:
    reader = stored()
    try:
        started = first_of(reader)
        if started.account != plan.account:
            raise Conflict(
                f"the journal holds account {started.account!r}", why=f"this trader is of {plan.account!r}", fix="use its own journal"
            )
        check_stored(reader, journal.count)
        engine = recover(reader, strategy=strategy)
        seen, commands = rebuild(reader, journal.count, seen_at_start(started))
        cancels = _cancels_sent(reader, journal.count, engine)
    finally:
        close = getattr(reader, "close", None)
        if close is not None:
            close()
    return Begun(started, engine, seen, commands, cancels, False)


def _cancels_sent(journal: StoredRun, count: int, engine: Engine) -> frozenset[str]:
    """Orders of unknown fate whose cancel was sent: only the journal's outputs tell, since such an order stays UNKNOWN."""
    slots, orders = engine.state.by_index, engine.state.orders
    unknown = {name for slot in slots for name, order in orders.of(slot.instrument).items() if order.status is Status.UNKNOWN}
    if not unknown:
        return frozenset()
    steps = (record for record in journal.records(start_seq=max(1, count - SCAN_RECORDS_MAX)) if isinstance(record, Step))
    sent = (output.client_order_id for step in steps for output in step.outputs if isinstance(output, CancelSent))
    return frozenset(unknown.intersection(sent))


async def _first_record(venue: TradingVenue, plan: LivePlan) -> RunStarted:
    instruments = tuple(sorted(await venue.instruments(plan.instruments), key=lambda one: one.instrument_id))
    missing = set(plan.instruments) - {one.instrument_id for one in instruments}
    if missing:
        raise InvalidInput(f"instruments {sorted(missing)}", why="the venue does not list them", fix="name listed ones")
    start_ts_ns, wallet_e8, booked = await _opening(venue, plan)
    if wallet_e8 < 1:
        raise InvalidInput(
            f"the wallet holds {wallet_e8 / E8:.2f}", why="without money nothing can be traded", fix="move money into the account"
        )
    engine = EngineSettings(
        run_id="",
        account=plan.account,
        strategy=plan.strategy,
        params=plain_params(plan.params),
        wallet_e8=wallet_e8,
        start_ts_ns=start_ts_ns,
        interval_ns=plan.interval_ns,
        limits=plan.limits,
        execution=plan.execution,
        confidence_min_e8=plan.confidence_min_e8,
        gap_bars_carried=plan.gap_bars_carried,
        stop_distance_frac_e8=plan.stop_distance_frac_e8,
        sizing=plan.sizing,
        limits_number=plan.limits_number,
    )
    body = content_hash(msgspec.to_builtins({"engine": engine, "rung": plan.rung, "seed": plan.seed, "instruments": instruments}))
    engine = msgspec.structs.replace(engine, run_id=plan.run_id or f"{plan.rung}-{body[:16]}")
    live = {"rung": plan.rung, "booked": booked, "history_bars": plan.history_bars}
    settings: dict[str, Any] = msgspec.to_builtins({"engine": engine, "live": live, "matcher": "venue"})
    return RunStarted(
        run_id=engine.run_id,
        account=plan.account,
        source=plan.source,
        speed=plan.speed,
        engine_version=plan.engine_version,
        code_sha256=plan.code_sha256,
        settings_sha256=content_hash(settings),
        settings=settings,
        instruments=instruments,
        data=(),
        assumptions=plan.assumptions,
        seed=plan.seed,
        started_ts_ns=start_ts_ns,
    )


async def _opening(venue: TradingVenue, plan: LivePlan) -> tuple[int, int, list[str]]:
    """Venue time, wallet, and the ids of what the wallet holds already although it carries this very time or a later one."""
    wallet = await venue.wallet()
    start_ts_ns = plan.start_ts_ns if plan.start_ts_ns is not None else wallet.ts_ns
    before = None
    while True:
        ledger, executions = await venue.ledger(start_ts_ns), await venue.executions(start_ts_ns)
        ids = sorted({*(id_of(event) for event in executions), *(cash.cash_id for e in ledger if (cash := cash_of(e)) is not None)})
        if ids == before:
            return start_ts_ns, wallet.wallet_e8, ids
        before, wallet = ids, await venue.wallet()


def instrument_changes(engine: Engine, instruments: list[Instrument], ts_ns: int) -> list[InstrumentChanged]:
    """Records in force at the venue whose grid, fees, limits or tiers are not those of the engine."""
    found = []
    for theirs in instruments:
        ours = engine.state.slots[theirs.instrument_id].spec
        if msgspec.structs.replace(theirs, **{name: getattr(ours, name) for name in _NO_LAW}) != ours:
            found.append(InstrumentChanged(ts_ns, theirs))
    return found
