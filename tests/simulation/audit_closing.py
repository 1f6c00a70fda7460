"""The auditor's view of what the guard sends: closing orders and cancels, against what is held, marked and on its way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from tests.simulation.audit_equity import ReadEquity
from tests.simulation.audit_terms import BARE_NS, COLLAR_BPS, HELD_NS, MARKS_NS, MS, OWN_ID, SEEN_NS, SEVERITY, WINDOW_NS, Plain, S

if TYPE_CHECKING:
    from tests.simulation.audit_base import Knowledge


def _unknown() -> int | None:
    return None


def _nobody(_: Exception) -> None:
    """Whoever raised it is heard by its caller."""


class Slice(msgspec.Struct):
    """A closing order of the guard's on the wire, and of which of its processes."""

    instrument: str
    left_ns: int
    process: int
    is_over: bool = False


def is_strange(name: str) -> bool:
    """Whether an order is neither the trader's nor the guard's, by its id."""
    return not name or name.startswith(("x-", "adl-")) or (name.startswith("kg-") and len(name) != OWN_ID)


class ClosingSide:
    """Watches guard and brake. `limits` are the losses that brake, by (trigger, level); `latency_ms` is the network's."""

    def __init__(self, whole: Knowledge, *, limits: dict[tuple[str, str], int], latency_ms: int, start_ns: int, wallet_e8: int) -> None:
        self.whole, self.limits = whole, limits
        self.tell: Callable[[Exception], None] = _nobody
        self.late_ns = SEEN_NS + 60 * latency_ms * MS
        self.level, self.generation = "running", 0
        self.durable = "running"
        self.is_torn = False
        self.is_there = self.is_asleep = False
        self.process = 0
        self.risen_ns: dict[str, int] = {}
        self.reached: dict[tuple[str, str], int] = {}
        self.counts: dict[str, int] = {}
        self.answers: dict[str, tuple[bytes, int, Plain]] = {}
        self.heard_level, self.heard_ns = "running", start_ns
        self.heartbeat_ns = start_ns
        self.silent_s = self.bare_s = 0
        self.bare_ns: dict[str, tuple[int, int]] = {}
        self.takes_records = True
        self.slices: dict[str, Slice] = {}
        self.known_over: set[str] = set()
        self.marks: dict[str, deque[tuple[int, int]]] = {}
        self.held: dict[str, deque[tuple[int, int]]] = {}
        self.moved: dict[str, deque[tuple[int, int]]] = {}
        self.approvals: dict[str, tuple[int, bool]] = {}
        self.used: set[str] = set()
        self.read_ns: dict[str, int] = {}
        self.heard_read_ns = start_ns
        self.losses = ReadEquity(start_ns, wallet_e8)
        self.equity_e8, self.worth_ns = wallet_e8, start_ns
        self.worth_now: Callable[[], int | None] = _unknown
        self.breached: dict[tuple[str, str], int] = {}
        self.trouble_ns = start_ns
        self.strange_ns = -(1 << 62)

    # what the guard sends ---------------------------------------------------------------------------------------------

    def placed(self, order: Any) -> None:
        """A closing order of the guard's has left."""
        self._note("guard's order left", order)
        name, link, now_ns = order.instrument, order.client_order_id, self._now()
        if SEVERITY[self.level] < 3 and not (self.level == "halted" and self._is_bare(name, now_ns)):
            self._fail("LATCH_FIRST", f"{link} left while the brake is {self.level}")
        if not order.reduce_only or str(order.kind) != "limit" or str(order.time_in_force) != "ioc" or not link.startswith("kg-"):
            self._fail("BRAKE_ORDER", f"{link} is no reduce-only immediate limit order of the guard's: {order}")
        self._within_collar(order, now_ns)
        under_way = [
            other for other, one in self.slices.items()
            if one.instrument == name and one.process == self.process and not one.is_over and other != link
            and (now_ns - one.left_ns <= WINDOW_NS or other in self._open_of(name))
        ]  # fmt: skip
        most = self._most_held(name, now_ns)
        if under_way or order.qty_lots > most:
            self._fail("BRAKE_DOUBLED", f"{link} closes {order.qty_lots} lots of {name}, {most} were held, under way are {under_way}")
        self.slices[link] = Slice(name, now_ns, self.process, is_over=link in self.known_over)  # an id that the venue has had is taken once
        self.whole.venue_acted.add("GUARD_ACTS")

    def _within_collar(self, order: Any, now_ns: int) -> None:
        marks = [ticks for _, ticks in self._recent(self.marks.get(order.instrument, deque()), now_ns - MARKS_NS)]
        if str(order.side) == "buy":
            is_beyond = order.limit_ticks * 10_000 > max(marks, default=0) * (10_000 + COLLAR_BPS) + 10_000
        else:
            is_beyond = order.limit_ticks * 10_000 < min(marks, default=0) * (10_000 - COLLAR_BPS) - 10_000
        if is_beyond or not order.limit_ticks:
            self._fail("BRAKE_COLLAR", f"{order.client_order_id} at {order.limit_ticks}, the marks were {sorted(set(marks))[:6]}")

    def refused(self, link: str) -> None:
        """The venue refused a closing order, or it did not come."""
        if link in self.slices:
            self.slices[link].is_over = True

    def cancelled(self, what: str) -> None:
        """The guard asked for orders to be cancelled: all of a kind, or one."""
        self._note("guard's cancel left", what)
        is_silent = self.silent_s and self._now() - self.heartbeat_ns >= self.silent_s * S - 50 * MS
        needed = 2 if what in ("resting", "conditional", "every") else 1
        if SEVERITY[self.level] < needed and not is_silent and not what.startswith("kg-"):
            self._fail("LATCH_FIRST", f"a cancel of {what} left while the brake is {self.level}")

    def swept(self, before: dict[str, int], after: dict[str, int]) -> None:
        """Stops of positions before and after a cancel of the guard's was carried out."""
        now_ns = self._now()
        for name, ticks in before.items():
            held = [lots for _, lots in self._held(name, now_ns)]
            if ticks and not after.get(name) and all(held) and self.whole.venue.lots.get(name):
                self._fail(
                    "STOPS_GONE", f"the guard took away the stop of {name} at {ticks} while {self.whole.venue.lots[name]} lots are held"
                )

    # the venue --------------------------------------------------------------------------------------------------------

    def marked(self, name: str, ticks: int) -> None:
        """The mark of an instrument is this now."""
        self.marks.setdefault(name, deque(maxlen=64)).append((self._now(), ticks))

    def executed(self, row: Any, before: int, after: int) -> None:
        """Something of the account traded."""
        self.held.setdefault(row.instrument, deque(maxlen=256)).append((self._now(), before))
        if row.link_id not in self.slices:
            self.moved.setdefault(row.instrument, deque(maxlen=256)).append((self._now(), abs(after - before)))
        if row.link_id.startswith("kg-") and row.link_id in self.slices and (abs(after) > abs(before) or before * after < 0):
            self._fail("BRAKE_REVERSED", f"{row.link_id} led {row.instrument} from {before} to {after} lots")
        if is_strange(row.link_id):
            self.strange_ns = self._now()

    def order_row(self, row: Any) -> None:
        """An order's row of the account."""
        one = self.slices.get(row.link_id)
        if one is not None and not row.is_open:
            one.is_over = True
            self.known_over.add(row.link_id)

    # within -----------------------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return self.whole.now_ns

    def _fail(self, rule: str, figures: str) -> None:
        """Say it; what happens within the guard's process, which goes on whatever fails there, is told to the day as well."""
        try:
            self.whole.fail(rule, figures)
        except Exception as found:
            self.tell(found)
            raise

    def _note(self, what: str, about: object) -> None:
        self.whole.note(what, about)

    def _is_bare(self, name: str, now_ns: int) -> bool:
        """Whether the guard has seen a position without a working stop for as long as one may be, and did a moment ago."""
        since_ns, last_ns = self.bare_ns.get(name, (now_ns, now_ns))
        return bool(self.bare_s) and last_ns - since_ns >= self.bare_s * S - SEEN_NS and now_ns - last_ns <= BARE_NS

    def _open_of(self, instrument: str) -> set[str]:
        return set(self.whole.open_names(instrument))

    def _open(self) -> list[str]:
        return [name for instrument in self.marks for name in self.whole.open_names(instrument)]

    def _held(self, name: str, now_ns: int) -> list[tuple[int, int]]:
        """What was held lately, and is now; each change was noted with what was held before it."""
        changes = self.held.get(name, ())
        return [*(one for one in changes if one[0] >= now_ns - HELD_NS), (now_ns, self.whole.venue.lots.get(name, 0))]

    def _most_held(self, name: str, now_ns: int) -> int:
        """The most that a guard which knows of all its own trades may think is held: what others traded lately it may not know yet."""
        others = sum(lots for at_ns, lots in self.moved.get(name, ()) if at_ns >= now_ns - HELD_NS)
        return abs(self.whole.venue.lots.get(name, 0)) + others

    def _recent(self, kept: deque[tuple[int, int]], from_ns: int) -> list[tuple[int, int]]:
        """What was so since, and the last value before."""
        found: list[tuple[int, int]] = []
        for one in reversed(kept):
            found.append(one)
            if one[0] < from_ns:
                break
        return found
