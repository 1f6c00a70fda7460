"""What trades on a day: the real live trader with a seeded strategy, its plan, its permits, and the ways in which its process ends."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from tests.simulation.auditor import Auditor
from tests.simulation.client import SimVenue
from tests.simulation.memory import DayJournal, Killed
from tests.simulation.script import Script
from tests.simulation.world import ACCOUNT, IDS, INTERVAL_MS, MS, World

from kedge.domain.orders import OrderKind
from kedge.domain.units import NS_PER_S
from kedge.engine.lifecycle import NEXT, Report, Status
from kedge.engine.orders import Orders
from kedge.kernel.account import DAY_LOSS_E8, DRAWDOWN_E8, EQUITY, WALLET
from kedge.risk.limits import Limits
from kedge.services.guard_permits import Rejects, RemotePermits
from kedge.services.live import LiveTrader
from kedge.services.live_settings import LivePlan, LiveSettings
from kedge.services.permits import LocalIssuer
from kedge.services.reconcile import Foreign
from kedge.strategy.base import NO_TARGETS, Target, View
from kedge.strategy.execution import ExecutionPolicy

EXPOSURES: Final = (0.22, 0.16, 0.1, 0.05, 0.0, -0.05, -0.1, -0.16, -0.22)
LIMITS: Final = Limits(
    orders_per_second_max=20, orders_per_10s_max=120, messages_per_3s_max=120, messages_window_min=2_000,
    daily_loss_reduce_e8=3_000_000, daily_loss_halt_e8=4_000_000,
)  # fmt: skip
BRAKES: Final = {
    "day": LIMITS,
    "drawdown": msgspec.structs.replace(
        LIMITS, daily_loss_reduce_e8=30_000_000, daily_loss_halt_e8=40_000_000, drawdown_soft_e8=2_000_000, drawdown_reduce_e8=3_000_000,
        drawdown_halt_e8=4_500_000,
    ),
    "far": msgspec.structs.replace(
        LIMITS, daily_loss_reduce_e8=90_000_000, daily_loss_halt_e8=95_000_000, drawdown_soft_e8=85_000_000, drawdown_reduce_e8=90_000_000,
        drawdown_halt_e8=95_000_000,
    ),
}  # fmt: skip
"""Which loss stops trading first; `far` is none that a day reaches, so that the guard comes first."""
_KNOWN: Final = {field.name for field in msgspec.structs.fields(ExecutionPolicy)}
Cells = dict[tuple[str, str], int]


class Wishes:
    """Targets that change often, by the seed and the time alone."""

    name = "wishes"
    features = ()

    def __init__(self, seed: int, hold_s: int, is_over: Callable[[], bool]) -> None:
        self.seed, self.hold_s, self.is_over = seed, hold_s, is_over

    def on_event(self, view: View) -> Sequence[Target]:
        """One of a few exposures, another one every few seconds."""
        if self.is_over():
            return NO_TARGETS
        turn = view.ts_ns // NS_PER_S // self.hold_s
        drawn = zlib.crc32(f"{self.seed} {view.instrument} {turn}".encode())
        return (Target(view.instrument, EXPOSURES[drawn % len(EXPOSURES)]),)


class Issuer(LocalIssuer):
    """The real issuer, which somebody may keep from granting."""

    def __init__(self, rung: str, clock_ns: Callable[[], int], world: World, auditor: Auditor) -> None:
        super().__init__(rung, clock_ns)
        self._world, self._auditor = world, auditor

    def renew(self) -> None:
        if not self._world.holds("no_permits"):
            super().renew()
            self._auditor.granted_ns = self._world.now_ns


class KillPoint:
    """Ends a process at a named point, at its `count`-th visit."""

    armed = True

    def __init__(self) -> None:
        self.name, self.left = "", 0

    def arm(self, name: str, count: int) -> None:
        """The next one to end at."""
        self.name, self.left = name, count

    def reach(self, name: str) -> None:
        """Goes on, or not."""
        if name == self.name:
            self.left -= 1
            if self.left < 1:
                self.name = ""
                raise Killed


def policy(script: Script) -> ExecutionPolicy:
    """How targets become orders on this day."""
    s = NS_PER_S
    given: dict[str, Any] = {
        "slice_notional_frac_e8": 10_000_000, "limit_life_ns": 4 * s, "chase_ticks": 1, "chase_every_ns": s // 2, "chase_life_ns": 6 * s,
        "twap_ns": 5 * s, "twap_slices": 4, "slice_life_ns": 2 * s, "participation_e8": 20_000, "trigger_bps": 3,
    }  # fmt: skip
    if script.style == "limit":
        given["entry"] = OrderKind.LIMIT
    style, _, way = script.style.partition("+")
    given["style"] = style
    if way == "rest":
        given["slice_entry"] = "limit"
    if way == "exits":
        given["chase_exits"] = True
    if way == "stop":
        given["chase_then"] = "stop"
    return msgspec.convert({name: value for name, value in given.items() if name in _KNOWN}, ExecutionPolicy)


def build(
    script: Script, world: World, auditor: Auditor, journal: DayJournal, kill: KillPoint, remote: RemotePermits | None = None
) -> LiveTrader:
    """One process of the trader; `remote` are the guard's permits, where the day has one."""

    def monotonic_ns() -> int:
        return world.loop.now_ns + 5_000_000_000

    plan = LivePlan(
        account=ACCOUNT, rung="paper", instruments=IDS, strategy="trend", params={}, interval_ns=INTERVAL_MS * MS,
        limits=BRAKES[script.brake],
        execution=policy(script), stop_distance_frac_e8=script.stop_bps * 10_000, seed=script.seed % (1 << 31),
    )  # fmt: skip
    trader = LiveTrader(
        lambda: SimVenue(world, auditor), journal, lambda: journal, plan, LiveSettings(snapshot_every=300, foreign=Foreign(script.foreign)),
        permits=remote or Issuer("paper", monotonic_ns, world, auditor), monotonic_ns=monotonic_ns, kill=kill,
        strategy=Wishes(script.seed, 2 + script.seed % 5, lambda: world.is_evening),
    )  # fmt: skip
    trader.watchers.append(lambda event, outputs: auditor.figures(figures(trader, auditor.moved)))
    if remote is not None:
        rejects = Rejects()
        trader.watchers.append(rejects.saw)
        remote.beat = lambda: ("day", rejects.count())
    return trader


def figures(trader: LiveTrader, moved: str = "") -> dict[str, Any]:
    """The engine's own books as plain numbers; what is open of the instrument that moved."""
    state = trader.core.state
    view = state.account_view
    return {
        "wallet_e8": view[WALLET],
        "equity_e8": view[EQUITY],
        "drawdown_e8": view[DRAWDOWN_E8],
        "day_loss_e8": view[DAY_LOSS_E8],
        "lots": {slot.instrument: lots for slot in state.by_index if (lots := slot.position_lots)},
        "open": {moved: state.orders.open_lots(moved)} if moved else {},
    }


def live_orders(trader: LiveTrader) -> dict[str, tuple[int, int]]:
    """What our books hold open: lots left and limit by client id."""
    state = trader.core.state
    return {
        name: (order.leaves_lots, order.limit_ticks) for slot in state.by_index for name, order in state.orders.of(slot.instrument).items()
    }


class CellWatch:
    """Counts the cells of the life-cycle table that are reached, while it is entered."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells

    def __enter__(self) -> CellWatch:
        self._real, cells = Orders.report, self.cells
        real = self._real

        def report(orders: Orders, client_order_id: str, report: Report) -> Any:
            state = orders.by_id.get(client_order_id)
            if state is not None:
                key = (str(state.status), str(report))
                cells[key] = cells.get(key, 0) + 1
            return real(orders, client_order_id, report)

        Orders.report = report  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        Orders.report = self._real  # type: ignore[method-assign]


def legal_cells() -> list[tuple[str, str]]:
    """Every cell of the table, in its order."""
    return [(str(status), str(report)) for status, report in NEXT]


__all__ = ["CellWatch", "Cells", "Issuer", "KillPoint", "Status", "Wishes", "build", "figures", "legal_cells", "live_orders", "policy"]
