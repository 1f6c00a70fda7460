"""What the auditor looks at once in a while: what has waited too long; and where stops are wanted."""

from __future__ import annotations

from tests.simulation.audit_base import (
    ASK_LATE_NS,
    BOOKS,
    END_LATE_NS,
    FLAT_LATE_NS,
    IDLE_NS,
    PERMIT_NS,
    STOP_LATE_NS,
    UNTOLD_LATE_NS,
    Plain,
    S,
)
from tests.simulation.audit_venue import VenueSide
from tests.simulation.money import TICK_VALUE_E8


class Deadlines(VenueSide):
    """Takes the passing of time, and the stops that are wanted."""

    def tick(self) -> None:
        """Once in a while: what has waited too long."""
        now_ns = self._now_ns()
        if self.brake is not None:
            self.brake.tick()
            if self.brake.holds_all:  # then the guard sees to what has no stop
                self.naked_ns = {name: now_ns if since else 0 for name, since in self.naked_ns.items()}
        if now_ns <= self.blind_ns:
            self.naked_ns = {name: now_ns if since else 0 for name, since in self.naked_ns.items()}
            self.back_ns = now_ns if self.back_ns is not None else None
            self.idle_ns = now_ns
            self.idle_close_ns.clear()
            return
        unread = [book for book in BOOKS if not self.asked.get(book)]
        self._idle(now_ns, may_trade=self.is_up and not unread and self.risk == "running")
        if self.is_up and self.back_ns is not None and unread and now_ns - self.back_ns > ASK_LATE_NS:
            self.fail("GAP_NOT_ASKED", f"{', '.join(unread)} not read for {(now_ns - self.back_ns) / S:.1f} s after the stream came back")
        self._overdue(now_ns)
        self._closing(now_ns)
        for name in self.stops:
            self._naked(name)
        late = [name for name, since in self.naked_ns.items() if since and now_ns - since > STOP_LATE_NS]
        if self._expects_stops and late:
            self.fail("NO_STOP", f"{', '.join(sorted(late))} stood without a stop for more than {STOP_LATE_NS / S:.0f} s")

    def _overdue(self, now_ns: int) -> None:
        """Orders that are over at the venue, and of which our books do not know it, or not all that they traded."""
        seen_ns = max(self.blind_ns, self.back_ns if self.is_up and self.back_ns is not None else now_ns)
        for name, since_ns in list(self.overdue.items()):
            ours = self.ours[name]
            if ours.dead and not ours.reserved:
                del self.overdue[name]
            elif now_ns - max(since_ns, seen_ns) > (UNTOLD_LATE_NS if ours.dead else END_LATE_NS):
                self.fail(
                    "END_UNTOLD",
                    f"order {name} has been over for {(now_ns - since_ns) / S:.1f} s, {ours.reserved} lots are still open here",
                )

    def _closing(self, now_ns: int) -> None:
        """What a person wants closed is being closed, with or without bars, wherever both sides know of it and the market shows a quote."""
        for name, lots in self.venue.lots.items():
            is_asked = self.risk == "reduce_only" and self.code == "FLATTEN" and name in self.marked_ns
            if not is_asked or lots * self.journal.lots.get(name, 0) <= 0 or self._live.get(name) or not self.quoted(name):
                self.idle_close_ns[name] = now_ns
            elif now_ns - self.idle_close_ns.setdefault(name, now_ns) > FLAT_LATE_NS:
                self.fail(
                    "NOT_CLOSED", f"{lots} lots of {name} are to be closed, it is quoted, and nothing left for {FLAT_LATE_NS / S:.0f} s"
                )

    def _idle(self, now_ns: int, *, may_trade: bool) -> None:
        """Whether nothing has left for long although nothing forbade it."""
        if not may_trade or now_ns > self.plays_until_ns or self.granted_ns is None or now_ns - self.granted_ns >= PERMIT_NS:
            self.idle_ns = now_ns
        elif now_ns - self.idle_ns > IDLE_NS:
            self.fail("IDLE", f"no order has left for {(now_ns - self.idle_ns) / S:.0f} s, and nothing forbids it")

    def _stop_wanted(self, output: Plain) -> None:
        """A stop lies on the losing side, no farther than asked for from the average or, where that is passed, from the mark."""
        name, ticks, lots = output["instrument"], output["stop_ticks"], output["position_lots"]
        self.stops_wished.setdefault(name, set()).add(ticks)
        held, cost = self.journal.lots.get(name, 0), self.journal.costs.get(name, 0)
        if lots != held or bool(ticks) != bool(lots):
            self.fail("STOP_PRICE", f"{name}: a stop at {ticks} for {lots} lots, {held} are held")
        if not lots or not self.stop_bps:
            return
        average = cost // (lots * TICK_VALUE_E8)
        mark = self.journal.marks.get(name) or average
        side, far = (1 if lots > 0 else -1), max(average, mark) * self.stop_bps // 10_000 + 3
        nearest, farthest = (max(average, mark), min(average, mark) - far) if lots > 0 else (min(average, mark), max(average, mark) + far)
        if (nearest - ticks) * side < 0 or (ticks - farthest) * side < 0:
            self.fail("STOP_PRICE", f"{name}: a stop at {ticks} for {lots} lots that cost {average}, the mark is {mark}")
