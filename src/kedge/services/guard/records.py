"""What the guard's journal holds. Whole numbers and text only; money and fractions in 1e-8, durations in nanoseconds.

Rules: a record is written after the latch and never instead of it; readings are thinned, acts are not. `wall_ns` is the guard's wall
clock; every record carries it.
"""

from __future__ import annotations

import msgspec

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.instrument import InstrumentId
from kedge.domain.orders import Side


class _Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    wall_ns: int


class GuardStarted(_Record, frozen=True, tag="guard_started"):
    """A guard process began its watch; `settings` is its configuration as text."""

    account: str
    name: str
    level: BrakeLevel
    generation: int
    version: str
    settings: str


class GuardStopped(_Record, frozen=True, tag="guard_stopped"):
    """A guard process ended its watch."""

    reason: str
    positions: int


class SeenPosition(msgspec.Struct, frozen=True, kw_only=True):
    """One position as it was seen; `mark_e8` in 1e-8 of the quote currency, None where the venue showed none."""

    instrument: InstrumentId
    lots: int
    mark_e8: int | None
    stop_ticks: int


class Baseline(_Record, frozen=True, tag="baseline"):
    """What losses are measured from, to be taken up by the next process.

    Attributes
    ----------
    high_water_e8, day_start_e8 : int
        Scaled with every flow up to `ledger_ts_ns`.
    day : int
        UTC day of the venue's data time, counted from 1970.
    wallet_e8 : int
        The wallet that the ledger explains up to and with `ledger_ids`, the rows at `ledger_ts_ns`.
    positions : tuple or None
        What is held in `equity_e8`, at its marks; None in records from before it was written down.
    generation : int or None
        Of the latch then; None in records from before it was written down.
    """

    high_water_e8: int
    day_start_e8: int
    day: int
    wallet_e8: int
    equity_e8: int
    ledger_ts_ns: int
    ledger_ids: tuple[str, ...] = ()
    positions: tuple[SeenPosition, ...] | None = None
    generation: int | None = None


class Seen(_Record, frozen=True, tag="seen"):
    """What was read, thinned; `loss_e8` fractions are those judged. `var99_e8` is None where it could not be worked out."""

    equity_e8: int
    wallet_e8: int
    drawdown_e8: int
    day_loss_e8: int
    gross_e8: int
    maintenance_e8: int
    var99_e8: int | None
    var_method: str
    open_orders: int
    positions: tuple[SeenPosition, ...] = ()


class Flowed(_Record, frozen=True, tag="flowed"):
    """Money came or went that is neither profit nor loss; high-water mark and day's start were scaled with it."""

    entry_id: str
    word: str
    change_e8: int
    high_water_e8: int
    day_start_e8: int


class Breached(_Record, frozen=True, tag="breached"):
    """A trigger fired."""

    trigger: Trigger
    level: BrakeLevel
    observed: str
    limit: str
    instrument: InstrumentId = ""


class Latched(_Record, frozen=True, tag="latched"):
    """The latch was written; `is_durable` is False where the file could not be, and the level holds in memory alone."""

    level: BrakeLevel
    generation: int
    trigger: Trigger | None
    observed: str
    limit: str
    reason: str
    actor_id: str
    source: str
    is_durable: bool
    took_ns: int


class PermitsStopped(_Record, frozen=True, tag="permits_stopped"):
    """From here on no permit is granted; `why` is the first reason."""

    why: str


class PermitsGranted(_Record, frozen=True, tag="permits_granted"):
    """Permits are granted again, or for the first time."""

    generation: int


class CancelsSent(_Record, frozen=True, tag="cancels_sent"):
    """Cancels were sent: all of a kind at once, or `count` of them one by one."""

    kind: str
    count: int
    answer: str
    generation: int


class SliceSent(_Record, frozen=True, tag="slice_sent"):
    """A slice of a closing left; reduce-only, immediate or cancel."""

    client_order_id: str
    instrument: InstrumentId
    side: Side
    qty_lots: int
    limit_ticks: int
    mark_e8: int
    held_lots: int
    attempt: int
    generation: int


class SliceAnswered(_Record, frozen=True, tag="slice_answered"):
    """What the venue said of a slice, or what became of it; `state` is 'taken', 'refused', 'unanswered', or an order's last state."""

    client_order_id: str
    instrument: InstrumentId
    state: str
    cum_lots: int
    words: str


class Waiting(_Record, frozen=True, tag="waiting"):
    """A position cannot be closed now: empty or thin book, no mark, no room, an order whose fate is unknown."""

    instrument: InstrumentId
    held_lots: int
    why: str


class Paged(_Record, frozen=True, tag="paged"):
    """Somebody was called."""

    code: str
    words: str


class Flat(_Record, frozen=True, tag="flat"):
    """Positions and orders of every kind are zero at the venue. Durations count from the breach; None where it was before a restart.

    `loss_e8` is equity at the breach less equity now, flows taken out.
    """

    generation: int
    latched_ns: int | None
    permits_stopped_ns: int | None
    first_cancel_ns: int | None
    cancels_ns: int | None
    orders_zero_ns: int | None
    positions_zero_ns: int | None
    flat_ns: int | None
    slices: int
    equity_breach_e8: int | None
    equity_flat_e8: int
    loss_e8: int | None


class Disturbed(_Record, frozen=True, tag="disturbed"):
    """Orders or positions appeared on an account that is halted or flat: somebody trades past the brake."""

    level: BrakeLevel
    orders: int
    positions: int
    words: str


class DeadMan(_Record, frozen=True, tag="dead_man"):
    """The trader was not heard: its resting orders are cancelled."""

    silent_ns: int
    orders: int


class Released(_Record, frozen=True, tag="released"):
    """Two people, or one in declared solo mode, let go of the brake."""

    approval_id: str
    generation: int
    from_level: BrakeLevel
    reason: str
    root_cause: str
    high_water: str
    actors: tuple[str, ...]
    solo: bool


class ReleaseRefused(_Record, frozen=True, tag="release_refused"):
    """A release was asked for and not carried out."""

    approval_id: str
    why: str


class LatchTrouble(_Record, frozen=True, tag="latch_trouble"):
    """The latch's file could not be written or read; the level in memory holds."""

    what: str
    level: BrakeLevel


GuardRecord = (
    GuardStarted
    | GuardStopped
    | Baseline
    | Seen
    | Flowed
    | Breached
    | Latched
    | PermitsStopped
    | PermitsGranted
    | CancelsSent
    | SliceSent
    | SliceAnswered
    | Waiting
    | Paged
    | Flat
    | Disturbed
    | DeadMan
    | Released
    | ReleaseRefused
    | LatchTrouble
)
