"""A guard in virtual time: the real simulated exchange, a network with delays and faults, and plain ports that can be made to fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from tests.simulation.clock import VirtualLoop
from tests.simulation.guard_client import SimGuardVenue
from tests.simulation.script import Action, Script
from tests.simulation.world import ACCOUNT, IDS, World

from kedge.domain.brake import BrakeLevel, Latch
from kedge.domain.errors import RecordingFailed
from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.risk.brake.triggers import TriggerLimits
from kedge.services.guard.guard import Guard
from kedge.services.guard.records import Baseline, GuardRecord, Released
from kedge.services.guard.settings import GuardSettings
from kedge.services.guard.status import Heartbeat
from kedge.simulation.venue_types import OrderRequest, Reject, TriggerBy

AAA, BBB, CCC = IDS
R = TypeVar("R", bound=GuardRecord)
T = TypeVar("T")

OFF = TriggerLimits(
    drawdown_halt_e8=0, drawdown_flatten_e8=0, var99_flatten_e8=0, day_loss_halt_e8=0, day_loss_flatten_e8=0, gross_leverage_reduce_e8=0,
    position_notional_reduce_e8=0, margin_ratio_flatten_e8=0, liquidation_flatten_e8=0, liquidation_sigmas_e2=0, heartbeat_cancel_s=0,
    heartbeat_halt_s=0, stop_missing_s=0, books_differ_s=0, clock_halt_ms=0, rejects_per_minute=0, stale_halt_s=0,
)  # fmt: skip
"""No trigger at all: each test switches on what it is about."""


class MemoryLatch:
    """A latch that outlives guards; `fails` makes it unwritable."""

    def __init__(self, account: str = ACCOUNT) -> None:
        self.held = Latch(account=account, generation=0, level=BrakeLevel.RUNNING)
        self.fails = False
        self.writes = 0

    def read(self) -> Latch:
        return self.held

    def write(self, latch: Latch) -> None:
        if self.fails:
            raise RecordingFailed("the latch cannot be written", why="the disk is full", fix="free space")
        self.writes += 1
        self.held = latch


class MemoryJournal:
    """Records in order; `fails` makes it take none."""

    def __init__(self) -> None:
        self.records: list[GuardRecord] = []
        self.fails = False

    def append(self, record: GuardRecord) -> None:
        if self.fails:
            raise RecordingFailed("the journal cannot be written", why="the disk is full", fix="free space")
        self.records.append(msgspec.json.decode(msgspec.json.encode(record), type=GuardRecord))

    def baseline(self) -> Baseline | None:
        return next((one for one in reversed(self.records) if isinstance(one, Baseline)), None)

    def was_used(self, approval_id: str) -> bool:
        return any(isinstance(one, Released) and one.approval_id == approval_id for one in self.records)

    def of(self, kind: type[R]) -> list[R]:
        return [one for one in self.records if isinstance(one, kind)]


class Pager:
    """Remembers calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def page(self, code: str, words: str) -> None:
        self.calls.append((code, words))

    @property
    def codes(self) -> set[str]:
        return {code for code, _ in self.calls}


class Unheard:
    """Stands where a day's auditor listens: these tests look for themselves."""

    epoch = 0

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **named: None


class Scene:
    """One venue with one account, and guards that watch it, one after the other."""

    def __init__(self, loop: VirtualLoop, triggers: TriggerLimits = OFF, **settings: Any) -> None:
        self.loop = loop
        script = Script(seed=7, theme="guard", style="market", seconds=10_000, volatility_bps=0)
        self.world = World(script, loop, Unheard())
        self.world.is_calm = True
        self.latch, self.journal, self.pager = MemoryLatch(), MemoryJournal(), Pager()
        self.closes: dict[str, tuple[int, ...]] = {}
        self.asleep_ns = 0
        self.settings = GuardSettings(account=ACCOUNT, instruments=IDS, triggers=triggers, **settings)
        self.venues: list[SimGuardVenue] = []
        self.guard = self.new_guard()
        self._running: asyncio.Task[None] | None = None
        self._beats: asyncio.Task[None] | None = None

    def new_guard(self) -> Guard:
        """Another guard process, which is not running yet."""
        self.guard = Guard(
            self._venue, self.latch, self.journal, self.settings, alarm=self.pager, wall_ns=lambda: self.world.now_ns,
            monotonic_ns=lambda: self.loop.now_ns + 5_000_000_000 + self.asleep_ns, version="test",
        )  # fmt: skip
        return self.guard

    def _venue(self) -> SimGuardVenue:
        venue = SimGuardVenue(self.world, Unheard())  # type: ignore[arg-type]
        venue.closes = self.closes
        self.venues.append(venue)
        return venue

    # the guard ----------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Let the guard run."""
        self._running = asyncio.create_task(self.guard.run())

    async def crash(self) -> None:
        """The guard's process is gone: its memory is lost, what it sent goes its way."""
        assert self._running is not None
        for venue in self.venues:
            venue.vanish()
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def end(self) -> None:
        """Everything ends."""
        if self._beats is not None:
            self._beats.cancel()
        if self._running is not None:
            self.guard.stop("the test is over")
            await asyncio.gather(self._running, return_exceptions=True)

    def beat(self) -> None:
        """A trader is there from now on."""
        self._beats = asyncio.create_task(self._beating())

    async def silence(self) -> None:
        """The trader is heard no more."""
        assert self._beats is not None
        self._beats.cancel()

    async def _beating(self) -> None:
        while True:
            self.guard.permit("n", Heartbeat(run_id="r", pid=1))
            await asyncio.sleep(0.5)

    async def until(self, what: Callable[[], bool], within_s: float = 30.0) -> None:
        """Wait for something, in virtual time."""
        end_s = self.loop.time() + within_s
        while not what():
            assert self.loop.time() < end_s, f"not within {within_s} s: {self.guard.status()}\n{self.pager.calls}"
            await asyncio.sleep(0.01)

    async def seen(self) -> None:
        """The guard has seen the account."""
        await self.until(lambda: self.guard.view is not None)

    # the account --------------------------------------------------------------------------------------------------------

    def order(
        self, lots: int, name: str = AAA, *, limit: int = 0, link: str = "", reduce: bool = False, trigger: int = 0, account: str = ACCOUNT
    ) -> Any:
        """Somebody trades `lots` (a sale is negative): at the market, or resting at a limit, or waiting for a trigger."""
        way = 0 if not trigger else 1 if trigger > self.world.prices[name] else 2
        request = OrderRequest(
            instrument=name, side=Side.BUY if lots > 0 else Side.SELL, kind=OrderKind.LIMIT if limit else OrderKind.MARKET,
            qty_lots=abs(lots), limit_ticks=limit, time_in_force=TimeInForce.GTC if limit else TimeInForce.IOC, link_id=link,
            reduce_only=reduce, trigger_ticks=trigger, trigger_direction=way,
            trigger_by=TriggerBy.MARK,
        )  # fmt: skip
        done = self.world.core.place(account, request, self.world.now_ns)
        assert not isinstance(done, Reject), done
        self.world.publish()
        return done

    def hold(self, lots: int, name: str = AAA, *, stop: int = 0) -> None:
        """The account holds this much, bought as often as the book allows."""
        while (left := lots - self.lots(name)) != 0:
            self.order(max(-2_000, min(2_000, left)), name)
            self.world.move(name, self.world.prices[name])
        if stop:
            self.world.core.set_trading_stop(ACCOUNT, name, self.world.now_ns, stop_loss_ticks=stop, sl_trigger_by=TriggerBy.MARK)
        self.world.publish()

    def move(self, price: int, name: str = AAA) -> None:
        self.world.move(name, price)
        self.world.publish()

    def lots(self, name: str = AAA) -> int:
        return next((row.lots for row in self.world.core.positions(ACCOUNT) if row.instrument == name), 0)

    def open(self) -> list[Any]:
        return list(self.world.core.open_orders(ACCOUNT, limit=1_000).rows)

    def act(self, what: str, **args: int | str) -> None:
        """Something that happens at the venue or on the wire; see `tests.simulation.script`."""
        self.world.do(Action(0, what, args))

    @property
    def level(self) -> BrakeLevel:
        return self.guard.status().latch.level


def play(test: Callable[[Scene], Awaitable[T]], triggers: TriggerLimits = OFF, **settings: Any) -> T:
    """Run a test in virtual time."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    failures: list[BaseException] = []
    loop.on_error = failures.append

    async def whole() -> T:
        scene = Scene(loop, triggers, **settings)
        try:
            return await test(scene)
        finally:
            await scene.end()

    try:
        found = loop.run_until_complete(whole())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    if failures:
        raise failures[0]
    return found
