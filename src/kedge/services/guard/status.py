"""What the guard says of itself to people and to other processes. Whole numbers and text; money and fractions in 1e-8."""

from __future__ import annotations

import msgspec

from kedge.domain.brake import BrakeLevel, Latch, Trigger
from kedge.domain.instrument import InstrumentId
from kedge.risk.brake.triggers import Reading


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """What a trader says of itself with each request for a permit; `rejects` in the last minute, None where it does not count them."""

    run_id: str = ""
    pid: int = 0
    rejects: int | None = None


class PermitAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whether new risk is permitted now; `why` where it is not."""

    granted: bool
    level: BrakeLevel
    trigger: Trigger | None
    generation: int
    guard: str
    nonce: str
    reason: str = ""
    why: str = ""


class PositionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One position, and how its closing goes; `waits` says why it does not."""

    instrument: InstrumentId
    lots: int
    mark_e8: int | None
    notional_e8: int
    stop_ticks: int
    liquidation_e8: int | None = None
    waits: str = ""


class OrderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How many open orders of each kind there are."""

    resting: int = 0
    resting_reduce_only: int = 0
    conditional: int = 0
    stops: int = 0
    guards: int = 0


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Since the breach, in nanoseconds; None where it has not come, or was before a restart."""

    latched_ns: int | None = None
    permits_stopped_ns: int | None = None
    first_cancel_ns: int | None = None
    cancels_ns: int | None = None
    orders_zero_ns: int | None = None
    positions_zero_ns: int | None = None
    flat_ns: int | None = None


class GuardStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The guard at one moment.

    Attributes
    ----------
    wall_ns : int
        When this was made, on the guard's wall clock.
    latch : Latch
        As it holds; `latch_is_durable` is False where the file could not be written.
    view_age_ns : int or None
        Since the venue was last read whole; None before the first time.
    permits : str
        Why no permit is granted; empty where one is.
    heartbeat_age_ns : int or None
        Since a trader was last heard; None where none was.
    journal : str
        What is wrong with the guard's journal; empty where nothing is.
    readings : tuple of Reading
        Each measure beside its limit.
    """

    account: str
    guard: str
    wall_ns: int
    started_wall_ns: int
    latch: Latch
    latch_is_durable: bool
    is_flat: bool
    view_age_ns: int | None
    permits: str
    heartbeat_age_ns: int | None
    run_id: str = ""
    trader_pid: int = 0
    journal: str = ""
    venue: str = ""
    equity_e8: int | None = None
    wallet_e8: int | None = None
    high_water_e8: int = 0
    day_start_e8: int = 0
    drawdown_e8: int | None = None
    day_loss_e8: int | None = None
    var99_e8: int | None = None
    es975_e8: int | None = None
    var_method: str = ""
    var_flags: tuple[str, ...] = ()
    clock_off_ms: int | None = None
    books: str = ""
    orders: OrderStatus = OrderStatus()
    positions: tuple[PositionStatus, ...] = ()
    readings: tuple[Reading, ...] = ()
    times: Times = Times()
    pages: tuple[str, ...] = ()
