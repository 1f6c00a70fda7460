"""One drill from the first process to the report: positions, the crash, the watch, and what came of it."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from kedge.apps.drill_stage import Stage
from kedge.domain.brake import SEVERITY, BrakeLevel
from kedge.domain.errors import KedgeError, VenueUnavailable
from kedge.domain.orders import GUARD_PREFIX
from kedge.domain.units import NS_PER_MS, NS_PER_S
from kedge.ops.build import code_sha256, engine_version
from kedge.risk.brake.flatten import Closing, collar_bps
from kedge.services.drills.crash import compressed
from kedge.services.drills.judge import (
    Seen,
    closed_once,
    grown_or_turned,
    held_before,
    level_ns,
    orders_as_promised,
    outcome_of,
    seen_times,
    since,
    slippage,
)
from kedge.services.drills.plan import BREACH_FRAC, DRAWDOWN, VAR_LIMIT, VAR_SHARE, DrillPlan, gross_for, moved
from kedge.services.drills.report import HALTED, OPEN, DrillReport, Times
from kedge.services.drills.told import PAGES_KEPT, contents, flatten_wall_ns, pages_of, records_of, tells_of_flat, times_of
from kedge.services.drills.watch import Watch
from kedge.storage.guard_journal import StoredRecord

DISTURBED_S: Final = 5.0
"""Wall time that a disturbance has to end by itself once the drill is over."""
SCALED_WITHIN_S: Final = 20.0
SCALED_EVERY_S: Final = 0.15
SAME_TIMES: Final = 3
"""Value at risk counts once the guard has said the same so often: it reads positions one after the other."""
RECORDED_WITHIN_S: Final = 5.0
RECORDED_EVERY_S: Final = 0.2
QUIET_SAMPLES: Final = 3
"""Samples after the end that confirm it."""
E8: Final = Decimal(10**8)
DEPTH_WORDS: Final = "25 prices a side one tick apart, 50,000 USDT each on average: the exchange's usual book"

Disturb = Callable[["Drill"], Awaitable[None]]
"""What breaks something while the drill runs."""
StartTrader = Callable[[Stage], Awaitable[object]]
"""Starts a real trader that will open the positions by itself once the market begins; without one the drill opens them."""


class NothingHeld(VenueUnavailable):
    """The trader opened no position before the crash, so the drill showed nothing. Reaction: hold it again."""


class Drill:
    """One drill on its stage.

    Parameters
    ----------
    drill_id : str
        Empty for a new one.
    start_trader : callable, optional
        See `StartTrader`.

    Attributes
    ----------
    late : dict
        Signed sizes that a disturbance sent and that may come after the latch, by symbol.
    guarded : bool
        Whether a guard is meant to live at the end; False where the whole host is gone.
    ends : callable
        When the drill is over, beside its time; by default FLAT.
    """

    def __init__(self, stage: Stage, drill_id: str = "", start_trader: StartTrader | None = None) -> None:
        self.stage, self.plan = stage, stage.plan
        self._start_trader = start_trader
        self.watch: Watch
        self.late: dict[str, Decimal] = {}
        self.guarded = True
        self.ends: Callable[[], bool] = lambda: self.watch.level is BrakeLevel.HALTED_FLAT
        self.words: list[str] = []
        self.found: list[str] = []
        self._started_wall_ns = time.time_ns()
        self.drill_id = drill_id or new_id(self._started_wall_ns, stage.plan)
        self._wall_to_mono = time.monotonic_ns() - time.time_ns()
        self._gross = Decimal(0)
        self._equity_start = Decimal(0)
        self._playing_ns: int | None = None
        self._venue_to_mono = 0

    async def hold(self, disturb: Disturb | None = None) -> DrillReport:
        """Hold the drill; the report says how it ended, whatever happened to guard and trader.

        Raises
        ------
        KedgeError
            The stage could not be set, or a trader that was to open positions opened none (`NothingHeld`): nothing was shown.
        """
        stage, plan = self.stage, self.plan
        await stage.open()
        await stage.start_guard()
        status = await stage.guard_watches()
        beat = _silent if self._start_trader else stage.beat
        self.watch = Watch(
            stage.hand, stage.folder, stage.guard_url, plan.symbols, BREACH_FRAC.get(plan.kind), beat, from_high=plan.kind == DRAWDOWN
        )
        await self.watch.open()
        try:
            self._equity_start = Decimal(status["equity_e8"] or 0) / E8
            await self._take_positions()
            begun_ns = time.monotonic_ns()
            self.watch.judges = True
            await stage.play()
            self._playing_ns = time.monotonic_ns()
            told = await stage.hand.status()
            self._venue_to_mono = (int(told["wall_ms"]) - int(told["venue_ms"])) * NS_PER_MS + self._wall_to_mono
            work = asyncio.ensure_future(self._disturbed(disturb))
            await self.watch.until(self.ends, plan.within_s)
            await asyncio.wait([work], timeout=DISTURBED_S)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            seen = len(self.watch.samples)
            await self.watch.until(lambda: len(self.watch.samples) >= seen + QUIET_SAMPLES, 5.0)
            seconds = (time.monotonic_ns() - begun_ns) // NS_PER_S
            return await self._report(seconds)
        finally:
            await self.watch.close()

    async def latched(self, least: BrakeLevel = BrakeLevel.HALTED, within_s: float = 120.0) -> bool:
        """Wait for the latch to say at least this; for disturbances."""
        return await self.watch.until(lambda: self.watch.level is not None and SEVERITY[self.watch.level] >= SEVERITY[least], within_s)

    # --- positions -------------------------------------------------------------------------------------------------------

    async def _take_positions(self) -> None:
        if self._start_trader is not None:
            await self._start_trader(self.stage)
            return
        self._gross = gross_for(self.plan)
        await self.stage.buy(self._gross)
        if self.plan.kind in VAR_SHARE and self.plan.gross_frac is None:
            self._gross = await self._scaled_by_var()
            await self.stage.buy(self._gross)
        await self.stage.rest(self.plan.resting)

    async def _scaled_by_var(self) -> Decimal:
        """Gross exposure at which value at risk stands at its share of the limit, by what the guard says of a small position."""
        told: list[int] = []
        async with asyncio.timeout(SCALED_WITHIN_S):
            while len(told) < SAME_TIMES or len(set(told[-SAME_TIMES:])) > 1:
                status = await self.stage.guard_status()
                if status is not None and len(status["positions"]) == len(self.plan.symbols) and status["var99_e8"]:
                    told.append(int(status["var99_e8"]))
                await asyncio.sleep(SCALED_EVERY_S)
        return (self._gross * VAR_SHARE[self.plan.kind] * VAR_LIMIT * E8 / told[-1]).quantize(Decimal("0.001"))

    async def _disturbed(self, disturb: Disturb | None) -> None:
        if disturb is None:
            return
        try:
            await disturb(self)
        except (KedgeError, TimeoutError) as error:
            self.found.append(f"the disturbance failed: {error}")

    # --- the report ------------------------------------------------------------------------------------------------------

    async def _report(self, seconds: int) -> DrillReport:
        stage, plan, watch = self.stage, self.plan, self.watch
        records = await self._records()
        breach_ns, breach = self._breach(records)
        orders, fills = await self._history()
        if self._start_trader is not None and not fills:
            raise NothingHeld(
                "nothing was held in the crash",
                why="the trader's first order found no fresh permit or no venue, as on a machine that stood still at that moment",
                fix="hold the drill again; if it comes again, read the trader's log in the drill's folder",
            )
        held = held_before(fills)
        last_ns = max((int(row["execTime"]) * NS_PER_MS + self._venue_to_mono for row in fills), default=None)
        flatten_ns = self._mono_ns(flatten_wall_ns(records))
        seen = Seen(watch.samples, watch.levels, breach_ns, watch.blocked_ns, flatten_ns, last_ns, held, self.late)
        collars = {symbol: collar_bps(stage.instruments[symbol], Closing()) for symbol in plan.symbols}
        slip = slippage(fills, contents(records, "slice_sent"), collars)
        pages = pages_of(records)
        outcome = outcome_of(watch.samples, watch.level, pages, guarded=self.guarded)
        found = [*self.found, *slip.found, *grown_or_turned(seen), *orders_as_promised(orders), *closed_once(fills)]
        found += [f"it ended with {outcome}"] if outcome == OPEN else []
        end = watch.samples[-1].equity if watch.samples else None
        at_breach = watch.breach_equity if watch.breach_equity is not None else _equity_at(watch, breach_ns)
        return DrillReport(
            drill_id=self.drill_id,
            started_wall_ns=self._started_wall_ns,
            rung="paper",
            scenario=plan.crash.name,
            title=plan.crash.title,
            source=plan.crash.source,
            kind=plan.kind,
            fault=plan.fault,
            outcome=outcome,
            version=engine_version(),
            code_sha256=code_sha256(),
            market_sha256=hashlib.sha256(stage.market_file.read_bytes()).hexdigest(),
            changes=moved(plan.kind),
            positions=tuple(self._held_words(held)),
            assumptions=(*plan.crash.words, compressed(plan.crash, plan.timing), f"normal depth is {DEPTH_WORDS}", *self.words),
            level=str(watch.level or ""),
            trigger=str(breach.get("trigger", "")),
            observed=str(breach.get("observed", "")),
            limit=str(breach.get("limit", "")),
            guard=await self._guard_times(records),
            seen=seen_times(seen),
            day_end_ms=self._day_end_ms(breach_ns),
            equity_start_e8=_e8(self._equity_start),
            equity_breach_e8=_e8(at_breach),
            equity_end_e8=_e8(end),
            loss_at_flat_e8=_e8(at_breach - end) if at_breach is not None and end is not None and outcome != HALTED else None,
            slices=sum(str(row["orderLinkId"]).startswith(GUARD_PREFIX) for row in orders),
            slip_bps=slip.worst_bps,
            collar_bps=slip.collar_bps,
            pages=pages[-PAGES_KEPT:],
            seconds=seconds,
            findings=tuple(found),
        )

    async def _records(self) -> list[StoredRecord]:
        """What the guard recorded. A journal that was locked or slow has its end some time after the door has told of FLAT."""
        until_s = time.monotonic() + RECORDED_WITHIN_S
        while True:
            trouble: list[str] = []
            records = records_of(self.stage.folder, trouble.append)
            if self.watch.level is not BrakeLevel.HALTED_FLAT or tells_of_flat(records) or time.monotonic() > until_s:
                self.found += trouble
                return records
            await asyncio.sleep(RECORDED_EVERY_S)

    def _breach(self, records: list[StoredRecord]) -> tuple[int | None, dict[str, Any]]:
        """When it breached first, and what the guard recorded of it. The reader's own moment counts where it has one in time."""
        content = next(iter(contents(records, "breached")), {})
        recorded_ns = self._mono_ns(int(content["wall_ns"])) if content else None
        own_ns, latched_ns = self.watch.breach_ns, level_ns(self.watch.levels, BrakeLevel.REDUCE_ONLY)
        is_in_time = own_ns is not None and (latched_ns is None or own_ns <= latched_ns)
        return (own_ns if is_in_time else recorded_ns), content

    def _mono_ns(self, wall_ns: int | None) -> int | None:
        return None if wall_ns is None else wall_ns + self._wall_to_mono

    async def _guard_times(self, records: list[StoredRecord]) -> Times:
        """What the guard measured: its record of FLAT, else what it says at its door."""
        flats = contents(records, "flat")
        status = None if flats else await self.stage.guard_status()
        return times_of(flats[-1] if flats else None if status is None else status["times"])

    def _day_end_ms(self, breach_ns: int | None) -> int | None:
        """From the end of the UTC day to the breach, on the exchange's own clocks; None where no day was meant to end."""
        timing = self.plan.timing
        if timing.midnight_after is None or self._playing_ns is None:
            return None
        after_s = timing.calm_s + timing.midnight_after * timing.bar_s
        return since(self._playing_ns + after_s * NS_PER_S, breach_ns)

    async def _history(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """All orders and fills that the venue lists."""
        hand, start_ms = self.stage.hand, self.stage.market.start_ts_ns // NS_PER_MS - 60_000
        now_ms = int((await hand.status())["venue_ms"]) + 1
        return await hand.orders(start_ms, now_ms), await hand.executions(start_ms, now_ms)

    def _held_words(self, held: dict[str, Decimal]) -> list[str]:
        shown = {symbol: size for symbol, size in held.items() if size} or next(
            (one.positions for one in reversed(self.watch.samples) if one.positions), {}
        )
        told = ", ".join(f"{size} {symbol}" for symbol, size in sorted(shown.items())) or "nothing"
        if self._start_trader is not None:
            return [f"{told}, opened by a trader's own decisions under the guard's permits"]
        return [f"{told}; {self._gross} of equity, opened with the trader's key; {self.plan.resting} resting orders"]


def new_id(started_wall_ns: int, plan: DrillPlan) -> str:
    """An id that sorts by time and says what it was."""
    when = datetime.fromtimestamp(started_wall_ns / NS_PER_S, UTC)
    words = "-".join(["", plan.crash.name, plan.kind, *re.findall(r"[A-Za-z0-9]+", plan.fault)])
    return f"{when:%Y%m%dT%H%M%S}{started_wall_ns // NS_PER_MS % 1_000:03d}{words}"[:100]


def _silent(nonce: str) -> dict[str, str]:
    """No sign of life: a real trader gives its own."""
    return {}


def _equity_at(watch: Watch, at_ns: int | None) -> Decimal | None:
    """Equity in the last sample before a moment."""
    if at_ns is None:
        return None
    return next((one.equity for one in reversed(watch.samples) if one.mono_ns <= at_ns), None)


def _e8(value: Decimal | None) -> int | None:
    return None if value is None else int(value * E8)
