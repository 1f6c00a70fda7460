"""The auditor's view of the brake: what the latch's file said, what the guard answered and sent, and what the trader did all the same.

Rules: as everywhere in the auditor, nothing of the guard's own code is used; the latch counts from the moment at which its bytes were
written (or were to be written, where the file takes none), a permit from the moment at which the guard granted it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from tests.simulation.audit_closing import ClosingSide, is_strange
from tests.simulation.audit_equity import ReadEquity
from tests.simulation.audit_terms import (
    BARE_NS,
    BLIND_NS,
    FLAT_NS,
    MARGIN_E8,
    PERMIT_NS,
    SEVERITY,
    SKEW_NS,
    VIEW_NS,
    WINDOW_NS,
    WORTH_NS,
    Plain,
    S,
)
from tests.simulation.rows import TICK_E8


class BrakeSide(ClosingSide):
    """Watches guard and brake: the latch, permits, releases, what was read, and what the trader did."""

    # the guard's own word ---------------------------------------------------------------------------------------------

    def began(self, level: str) -> None:
        """A guard's process began, and read the latch as `level`."""
        self.process += 1
        self.is_there, self.is_asleep, self.takes_records = True, False, True
        self.read_ns, self.heard_read_ns = {}, self._now()
        self.breached.clear()
        least = "halted" if self.is_torn else self.durable
        if SEVERITY[level] < SEVERITY[least]:
            self._fail("LATCH_FORGOTTEN", f"the guard began at {level}, its latch says {least}{' (torn)' * self.is_torn}")
        if SEVERITY[level] > SEVERITY[self.durable]:
            self._reach("unreadable", level, self._now())
        self.level = level

    def ended(self) -> None:
        """The guard's process is gone."""
        self.is_there = False
        self.level = self.durable
        self.risen_ns = {name: at_ns for name, at_ns in self.risen_ns.items() if SEVERITY[name] <= SEVERITY[self.durable]}

    def slept(self, is_asleep: bool) -> None:
        """The guard's process stands still, or goes on."""
        self.is_asleep, self.heard_read_ns = is_asleep, self._now()
        self.breached.clear()

    def torn(self) -> None:
        """Somebody damaged the latch's file."""
        self.is_torn = True

    def latched(self, body: bytes, is_durable: bool) -> None:
        """The guard wrote the latch, or could not."""
        latch: Plain = msgspec.json.decode(body)
        level, now_ns = latch["level"], self._now()
        self._note("latch", " ".join(str(latch[name]) for name in ("level", "generation", "trigger", "actor_id", "reason", "release_id")))
        if SEVERITY[level] < SEVERITY[self.level]:
            if not is_durable:
                return  # only what is in the file lets go
            self._released(latch)
        elif level != self.level:
            self._raised(latch, now_ns)
        if is_durable:
            self.durable, self.is_torn = level, False
        self.level, self.generation = level, latch["generation"]

    def _raised(self, latch: Plain, now_ns: int) -> None:
        level, trigger = latch["level"], latch["trigger"]
        if level == "halted_flat":
            self._declared_flat(now_ns)
        else:
            self._judged(trigger, level)
            self._reach(str(trigger), level, now_ns)

    def _reach(self, trigger: str, level: str, now_ns: int) -> None:
        self.reached[trigger, level] = self.reached.get((trigger, level), 0) + 1
        for name, severity in SEVERITY.items():
            if 0 < severity <= SEVERITY[level]:
                self.risen_ns.setdefault(name, now_ns)

    def _judged(self, trigger: str, level: str) -> None:
        """A loss that brakes is one by the auditor's own arithmetic too, whatever came or went and whichever list shows it.

        A guard that heard of the trades, or saw the marks, may know of it before it reads the wallet: what the venue knows itself is a loss
        as well.
        """
        limit = self.limits.get((trigger, level))
        if limit is None or self.losses.lost_e8(trigger) >= limit - 2 * MARGIN_E8:
            return
        known = [self.equity_e8] if self._now() - self.worth_ns <= WORTH_NS else []
        known += [worth for worth in (self.worth_now(),) if worth is not None]
        if all(self.losses.happened_e8(trigger, worth) < limit - 2 * MARGIN_E8 for worth in known):
            self._fail("BRAKE_FALSE", f"{level} by {trigger}: {self.losses.lost_e8(trigger)} e8 are lost, the limit is {limit}")

    def _declared_flat(self, now_ns: int) -> None:
        since_ns = self.risen_ns.get("flattening")
        lots = {name: held for name, held in self.whole.venue.lots.items() if held}
        open_ = [name for name in self._open() if not is_strange(name)]
        if self.level != "flattening" or since_ns is None:
            self._fail("BRAKE_FLAT", f"flat was declared at {self.level}")
        elif now_ns - since_ns < FLAT_NS:
            self._fail("BRAKE_FLAT", f"flat was declared {(now_ns - since_ns) / S:.3f} s after the latch")
        if (lots or open_) and now_ns - self.strange_ns > FLAT_NS:
            self._fail("BRAKE_FLAT", f"flat was declared with {lots} held and {open_} open")
        self.counts["declared flat"] = self.counts.get("declared flat", 0) + 1

    def _released(self, latch: Plain) -> None:
        name = latch.get("release_id", "")
        approved = self.approvals.get(name)
        if latch["level"] != "running" or approved is None or name in self.used:
            self._fail("RELEASED_ALONE", f"the brake fell from {self.level} to {latch['level']} by {name or 'nobody'!r}")
            return
        generation, is_good = approved
        if not is_good or generation != self.generation:
            self._fail(
                "RELEASED_ALONE", f"the brake was released by {name} of generation {generation} (good: {is_good}) at {self.generation}"
            )
        if self.level == "flattening":
            self._fail("RELEASED_ALONE", "the brake was released while positions were being closed")
        lots = {one: held for one, held in self.whole.venue.lots.items() if held}
        if self.level == "halted_flat" and lots and self._now() - self.strange_ns > FLAT_NS:
            self._fail("RELEASED_ALONE", f"the brake was released from flat with {lots}")
        self.used.add(name)
        self.risen_ns.clear()
        self.losses.high_e8 = max(latch["high_water_e8"], self.losses.equity_e8)
        self.counts["released"] = self.counts.get("released", 0) + 1

    def approval(self, name: str, generation: int, *, is_good: bool) -> None:
        """People signed something; `is_good` where two did, or one where that is declared, for this brake, in time and approved."""
        self.approvals[name] = (generation, is_good)

    def record(self, body: bytes) -> None:
        """The guard's journal has this."""
        self._note("guard", body.decode())
        self.takes_records = True

    # permits ----------------------------------------------------------------------------------------------------------

    def answered(self, nonce: str, body: bytes) -> None:
        """The guard answered a question of the trader's."""
        said: Plain = msgspec.json.decode(body)
        now_ns = self._now()
        self.answers[nonce] = (body, now_ns, said)
        self.heartbeat_ns = now_ns
        if not said["granted"]:
            return
        if self.level != "running":
            self._fail("PERMIT_BRAKED", f"new risk is permitted while the brake is {self.level}")
        if not self.takes_records:
            self._fail("PERMIT_UNRECORDED", "new risk is permitted while the guard's journal takes no records")
        old = [name for name in ("positions", "wallet", "open_orders") if now_ns - self.read_ns.get(name, 0) > VIEW_NS]
        if old:
            self._fail("PERMIT_BLIND", f"new risk is permitted, and {', '.join(old)} were not seen for more than a second")

    def heard(self, nonce: str, body: bytes) -> None:
        """The trader got this for its question."""
        known = self.answers.get(nonce)
        if known is None or known[0] != body:
            return  # a forgery, or another question's
        _, at_ns, said = known
        self.whole.granted_ns = at_ns if said["granted"] else None
        if said["level"] != self.heard_level:
            self._note("trader heard", said["level"])
            self.heard_level, self.heard_ns = said["level"], self._now()

    def trader_began(self) -> None:
        """Another process of the trader: it has heard nothing yet."""
        self.heard_level = "running"

    # the trader -------------------------------------------------------------------------------------------------------

    def trader_left(self, what: str, name: str, *, adds: bool) -> None:
        """A creation, amendment or cancel of the trader's has left."""
        now_ns = self._now()
        if what != "cancel" and SEVERITY[self.heard_level] >= 2 and now_ns > self.heard_ns:
            self._fail(
                "HEARD_HALTED", f"{what} of {name} left {(now_ns - self.heard_ns) / S:.3f} s after the brake was heard: {self.heard_level}"
            )
        since_ns = self.risen_ns.get("reduce_only")
        if adds and since_ns is not None and now_ns - since_ns > PERMIT_NS:
            self._fail("LATCHED_GROWS", f"{what} of {name} left {(now_ns - since_ns) / S:.3f} s after the latch")

    def trader_arrived(self, name: str, *, adds: bool) -> None:
        """The venue took an order of the trader's."""
        since_ns, now_ns = self.risen_ns.get("reduce_only"), self._now()
        if adds and since_ns is not None and now_ns - since_ns > PERMIT_NS + WINDOW_NS + SKEW_NS:
            self._fail("LATCHED_GROWS", f"order {name} was taken {(now_ns - since_ns) / S:.3f} s after the latch")

    def trader_decided(self, what: str, name: str) -> None:
        """The trader recorded that it means to send something."""
        if SEVERITY[self.heard_level] >= 2 and self._now() > self.heard_ns:
            self._fail("HEARD_HALTED", f"{what} of {name} was decided while the brake is heard as {self.heard_level}")

    @property
    def holds_all(self) -> bool:
        """Whether the trader has heard that it may send nothing at all."""
        return SEVERITY[self.heard_level] >= 2

    @property
    def explains(self) -> bool:
        """Whether the trader may stand still because of the brake."""
        return self.heard_level != "running" or self.level != "running" or bool(self.reached)

    # what is read -----------------------------------------------------------------------------------------------------

    def flow(self, amount_e8: int) -> None:
        """Money came or went."""
        self.losses.flow(amount_e8, self._now())

    def worth(self, equity_e8: int) -> None:
        """The account is worth this at the venue, as of its newest row."""
        self.equity_e8, self.worth_ns = equity_e8, self._now()

    def read(self, what: str, read_ns: int, equity_e8: int | None = None) -> None:
        """The guard got a list that was read at `read_ns`."""
        self.read_ns[what], self.heard_read_ns = read_ns, self._now()
        if equity_e8 is None:
            return
        self.losses.read(equity_e8, read_ns)
        for key, limit in self.limits.items():
            if not self.whole.ghost_e8 and self.losses.lost_e8(key[0]) > limit + MARGIN_E8 and SEVERITY[self.level] < SEVERITY[key[1]]:
                self.breached.setdefault(key, self._now())
            else:
                self.breached.pop(key, None)

    def stopped(self, rows: Iterable[Any], read_ns: int) -> None:
        """The guard got the positions: since when, and when last, each stood without a stop that the mark has not passed."""
        before, self.bare_ns = self.bare_ns, {}
        for row in rows:
            since_ns, last_ns = before.get(row.instrument, (read_ns, read_ns))
            is_open = not row.stop_loss_ticks or (row.mark_e8 - row.stop_loss_ticks * TICK_E8) * row.lots <= 0
            if row.lots and (is_open or (row.instrument in before and read_ns - last_ns <= BARE_NS)):
                self.bare_ns[row.instrument] = (since_ns, read_ns if is_open else last_ns)

    def troubled(self) -> None:
        """The venue does not answer now."""
        self.trouble_ns = self.heard_read_ns = self._now()
        self.breached.clear()

    def tick(self) -> None:
        """Once in a while: what the guard should have seen."""
        now_ns = self._now()
        if not self.is_there or self.is_asleep:
            return
        for (trigger, level), since_ns in list(self.breached.items()):
            if SEVERITY[self.level] >= SEVERITY[level]:
                del self.breached[trigger, level]
            elif now_ns - since_ns > self.late_ns:
                self._fail(
                    "GUARD_ASLEEP",
                    f"{trigger} of {self.losses.lost_e8(trigger)} e8 was read {(now_ns - since_ns) / S:.3f} s ago: {self.level}",
                )
        if now_ns - self.heard_read_ns > BLIND_NS + self.late_ns:
            self._fail("GUARD_ASLEEP", f"the guard has read nothing for {(now_ns - self.heard_read_ns) / S:.1f} s")

    def end(self) -> None:
        """The day is over, after a quiet minute."""
        open_ = [name for name in self._open() if name in self.whole.ours and not self.whole.ours[name].reduce_only]
        lots = {name: held for name, held in self.whole.venue.lots.items() if held}
        if self.level == "flattening" or (self.level == "halted_flat" and (lots or open_)):
            self._fail("BRAKE_FLAT", f"the day ends at {self.level} with {lots} held and {open_} open")
        if SEVERITY[self.level] and open_:
            self._fail("BRAKE_RESTS", f"the day ends at {self.level}, and {open_} rest")
        if not self.is_there:
            self._fail("GUARD_GONE", "the day ends without a guard")


__all__ = ["MARGIN_E8", "BrakeSide", "ReadEquity", "is_strange"]
