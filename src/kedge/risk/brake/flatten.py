"""How positions are closed: which slice leaves next, and what must be known before another may. Pure: venue truth in, an action out.

Rules: reduce-only, immediate or cancel, at the collar and never beyond it, never a market order; never more than the position; one slice
of an instrument at a time, and what became of it is looked up before the next; an empty, crossed or unknown book is waited for. The id
of a slice follows from the account, the latch, the position it was sent against and the attempt, so that a guard that starts again writes
the same ids, and the venue takes each once.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.orders import GUARD_PREFIX, OrderIntent, OrderKind, Side, TimeInForce
from kedge.domain.units import E8, NS_PER_MS, NS_PER_S
from kedge.domain.venue import Answer, Depth, Refused, VenueOrder, VenueOrderState

MAJORS: Final = ("BTC", "ETH")
MAJOR_COLLAR_BPS: Final = 100
OTHER_COLLAR_BPS: Final = 300
ONE_IN_BPS: Final = 10_000

WAIT_NS: Final = 250 * NS_PER_MS
"""Between two looks at a book that offered nothing."""

PAUSE_FIRST_NS: Final = 100 * NS_PER_MS
PAUSE_MOST_NS: Final = 2 * NS_PER_S
"""After a refusal the next try waits, twice as long each time up to this."""

LINGERS_NS: Final = 2 * NS_PER_S
"""An immediate order that is still open after this long has to be cancelled."""

_ENDED: Final = frozenset({VenueOrderState.FILLED, VenueOrderState.CANCELED, VenueOrderState.REJECTED})


class Closing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How positions are closed.

    Attributes
    ----------
    participation_e8 : int
        The largest share of the visible depth within the collar that one slice takes, in 1e-8.
    collar_bps : int
        How far from the mark a slice may trade; 0 is 100 for BTC and ETH and 300 for others, never more than the instrument's own.
    """

    participation_e8: int = 25_000_000
    collar_bps: int = 0


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """One order to be sent; `held_lots` is the position it was worked out from, signed."""

    client_order_id: str
    instrument: InstrumentId
    side: Side
    qty_lots: int
    limit_ticks: int
    held_lots: int
    attempt: int

    def order(self, generation: int) -> OrderIntent:
        """The order as it is sent."""
        return OrderIntent(
            client_order_id=self.client_order_id,
            decision_id=f"brake-{generation}",
            strategy="guard",
            instrument=self.instrument,
            side=self.side,
            kind=OrderKind.LIMIT,
            time_in_force=TimeInForce.IOC,
            qty_lots=self.qty_lots,
            limit_ticks=self.limit_ticks,
            reduce_only=True,
            attempt=self.attempt,
        )


class LookUp(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody knows yet what became of this slice."""

    instrument: InstrumentId
    client_order_id: str


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing can be sent now, and a person should know why."""

    instrument: InstrumentId
    held_lots: int
    why: str


Action = Slice | LookUp | Wait


def slice_id(account: str, generation: int, instrument: InstrumentId, held_lots: int, attempt: int) -> str:
    """The guard's id for one slice: the reserved prefix and 32 hex digits of SHA-256."""
    text = f"{account}|{generation}|{instrument}|{held_lots}|{attempt}"
    return GUARD_PREFIX + hashlib.sha256(text.encode()).hexdigest()[:32]


def collar_bps(instrument: Instrument, closing: Closing) -> int:
    """How far from the mark an order of this instrument may trade."""
    usual = MAJOR_COLLAR_BPS if instrument.base in MAJORS else OTHER_COLLAR_BPS
    return min(closing.collar_bps or usual, instrument.price_collar_bps)


def collar_ticks(side: Side, mark_e8: int, tick_e8: int, bps: int) -> int:
    """The worst price on the grid that lies within the collar: rounded towards the mark."""
    if side is Side.BUY:
        return mark_e8 * (ONE_IN_BPS + bps) // (ONE_IN_BPS * tick_e8)
    return -(-mark_e8 * (ONE_IN_BPS - bps) // (ONE_IN_BPS * tick_e8))


def visible_lots(side: Side, limit_ticks: int, depth: Depth) -> int:
    """What the book offers an order of this side down to its limit."""
    if side is Side.SELL:
        return sum(lots for price, lots in depth.bids if price >= limit_ticks)
    return sum(lots for price, lots in depth.asks if price <= limit_ticks)


def sized(instrument: Instrument, held_lots: int, mark_e8: int | None, depth: Depth | None, closing: Closing) -> tuple[int, int] | str:
    """`(qty_lots, limit_ticks)` of the next slice, or why there is none."""
    if mark_e8 is None or mark_e8 <= 0:
        return "the venue shows no mark"
    if depth is None:
        return "the book cannot be had"
    side = Side.SELL if held_lots > 0 else Side.BUY
    limit_ticks = collar_ticks(side, mark_e8, instrument.tick_e8, collar_bps(instrument, closing))
    if limit_ticks < 1:
        return "the collar lies below the smallest price"
    if depth.bids and depth.asks and depth.bids[0][0] >= depth.asks[0][0]:
        return "the book is crossed"
    seen = visible_lots(side, limit_ticks, depth)
    if seen < 1:
        return f"the book offers nothing within {collar_bps(instrument, closing)} bps of the mark"
    most = max(instrument.order_qty_min_lots, seen * closing.participation_e8 // E8)
    return min(abs(held_lots), most, instrument.order_qty_max_lots), limit_ticks


class _Line:
    """One instrument: its slice that is under way, and what must be awaited before the next."""

    __slots__ = ("attempts", "pause_ns", "pending", "read_from_ns", "sent_ns", "try_from_ns")

    def __init__(self) -> None:
        self.pending: Slice | None = None
        self.sent_ns = self.read_from_ns = self.try_from_ns = 0
        self.pause_ns = PAUSE_FIRST_NS
        self.attempts: dict[int, int] = {}


class Plan:
    """The closing of one account under one latch.

    Parameters
    ----------
    account : str
    generation : int
        The latch's.
    known_after_ns : int
        From sending on, so long may an order that no list shows still arrive: the receive window and a little more.
    """

    def __init__(self, account: str, generation: int, closing: Closing, known_after_ns: int) -> None:
        self.account, self.generation, self.closing = account, generation, closing
        self.known_after_ns = known_after_ns
        self._lines: dict[InstrumentId, _Line] = {}

    @property
    def pending(self) -> list[Slice]:
        """Slices whose end nobody knows yet."""
        return [line.pending for line in self._lines.values() if line.pending is not None]

    def next(
        self, instrument: Instrument, held_lots: int, mark_e8: int | None, depth: Depth | None, *, read_ns: int, now_ns: int
    ) -> Action | None:
        """What to do about a position; None where a newer read of it is needed first, or where a pause lasts.

        `read_ns` is when the read of the position began.
        """
        line = self._line(instrument.instrument_id)
        if line.pending is not None:
            return LookUp(instrument=instrument.instrument_id, client_order_id=line.pending.client_order_id)
        if not held_lots or read_ns < line.read_from_ns or now_ns < line.try_from_ns:
            return None
        size = sized(instrument, held_lots, mark_e8, depth, self.closing)
        if isinstance(size, str):
            line.try_from_ns = now_ns + WAIT_NS
            return Wait(instrument=instrument.instrument_id, held_lots=held_lots, why=size)
        attempt = line.attempts.get(held_lots, 0)
        return Slice(
            client_order_id=slice_id(self.account, self.generation, instrument.instrument_id, held_lots, attempt),
            instrument=instrument.instrument_id,
            side=Side.SELL if held_lots > 0 else Side.BUY,
            qty_lots=size[0],
            limit_ticks=size[1],
            held_lots=held_lots,
            attempt=attempt,
        )

    def is_ready(self, instrument: InstrumentId, *, read_ns: int, now_ns: int) -> bool:
        """Whether a slice could leave now, so that the book is worth asking for."""
        line = self._line(instrument)
        return line.pending is None and read_ns >= line.read_from_ns and now_ns >= line.try_from_ns

    def left(self, one: Slice, now_ns: int) -> None:
        """A slice is about to be sent: from here on its end must be known before another."""
        line = self._line(one.instrument)
        line.pending, line.sent_ns = one, now_ns

    def answered(self, one: Slice, answer: Answer, now_ns: int) -> None:
        """What the venue said of it. A refusal means that nothing happened, so the same id may be used again."""
        line = self._line(one.instrument)
        if isinstance(answer, Refused) and line.pending == one:
            line.pending = None
            self._pause(line, now_ns)

    def found(self, instrument: InstrumentId, asked_ns: int, row: VenueOrder | None, now_ns: int) -> str:
        """What a look-up that began at `asked_ns` showed. Returns the slice's end: a state, 'lost' where it never came, else empty."""
        line = self._line(instrument)
        one = line.pending
        if one is None:
            return ""
        if row is None:
            if asked_ns - line.sent_ns <= self.known_after_ns:
                return ""
            line.pending = None
            return "lost"
        if row.state not in _ENDED:
            return ""
        line.pending, line.read_from_ns = None, now_ns
        line.attempts[one.held_lots] = max(line.attempts.get(one.held_lots, 0), one.attempt + 1)
        if row.cum_lots:
            line.pause_ns = PAUSE_FIRST_NS
        else:
            self._pause(line, now_ns)
        return str(row.state)

    def lingers(self, instrument: InstrumentId, now_ns: int) -> bool:
        """Whether an immediate order has been under way for longer than any should."""
        line = self._line(instrument)
        return line.pending is not None and now_ns - line.sent_ns > LINGERS_NS

    def _line(self, instrument: InstrumentId) -> _Line:
        found = self._lines.get(instrument)
        if found is None:
            found = self._lines[instrument] = _Line()
        return found

    def _pause(self, line: _Line, now_ns: int) -> None:
        line.try_from_ns = now_ns + line.pause_ns
        line.pause_ns = min(2 * line.pause_ns, PAUSE_MOST_NS)
