"""The auditor's view of the journal: what it says of money, orders and losses, against what the venue made."""

from __future__ import annotations

from tests.simulation.audit_base import (
    WINDOW_NS,
    Ours,
    Plain,
    S,
)
from tests.simulation.audit_deadlines import Deadlines


class JournalSide(Deadlines):
    """Takes the events that became durable."""

    def _bar(self, event: Plain) -> None:
        self.journal.mark(event["instrument"], event["close_ticks"], event["ts_ns"])
        self.marked_ns[event["instrument"]] = event["ts_ns"]

    def _brake(self) -> None:
        """At a close of a bar losses are judged: beyond a limit nothing is left running."""
        here, (drawdown, loss) = self.journal, self._brakes
        if self.risk != "halted" and self.code != "FLATTEN" and (here.drawdown_e8 >= drawdown or here.day_loss_e8 >= loss):
            self.fail("BRAKE", f"trading goes on with a drawdown of {here.drawdown_e8} and a loss of the day of {here.day_loss_e8} e8")
        if self.losses is not None and (wrong := self.losses.at_bar(self.risk, self.code, self._lost())):
            self.fail("REDUCED", wrong)

    def _lost(self) -> Plain:
        return {"DRAWDOWN": self.journal.drawdown_e8, "DAILY_LOSS": self.journal.day_loss_e8}

    def _judged(self) -> None:
        """Trading is halted by a loss that is one by the auditor's own arithmetic."""
        lost, limit = {
            "DRAWDOWN": (self.journal.drawdown_e8, self._brakes[0]), "DAILY_LOSS": (self.journal.day_loss_e8, self._brakes[1]),
        }.get(self.code, (0, 0))  # fmt: skip
        if lost < limit:
            self.fail("BRAKED", f"trading is halted by {self.code} at {lost} e8 of {limit}")

    def _adopted(self, event: Plain) -> None:
        name, told = event["instrument"], (event["lots"], event["cost_e8"])
        true = (self.venue.lots.get(name, 0), self.venue.costs.get(name, 0))
        if told != true or not self._adopts:
            self.fail("ADOPTED", f"{told} lots and cost of {name} are taken over, by the venue's fills they are {true}")
        self.journal.lots[name], self.journal.costs[name] = told

    def _fill(self, event: Plain) -> None:
        signed = event["qty_lots"] if event["side"] == "buy" else -event["qty_lots"]
        theirs = self._once(event["fill_id"], "fill")
        told = (event["instrument"], signed, event["price_ticks"] * 10_000_000, event["fee_e8"], event.get("client_order_id", ""))
        owner = told[-1] if theirs.get("alien") else theirs["order"]
        if told != (theirs["instrument"], theirs["lots"], theirs["price"], theirs["fee_e8"], owner):
            self.fail("OTHER_FILL", f"{event['fill_id']} booked as {told}, the venue's is {theirs}")
        self.journal.fill(event["instrument"], signed, event["price_ticks"], event["fee_e8"])
        if theirs.get("alien"):
            self.alien[event["instrument"]] -= signed
        ours = self.ours.get(event.get("client_order_id", ""))
        if ours is not None:
            ours.filled += abs(signed)
            ours.is_unknown = False
            ours.leaves = max(0, min(ours.leaves - abs(signed), event["leaves_lots"])) if not ours.dead else 0
            if ours.dead:
                self._expect(ours, ours.over)
            elif event["leaves_lots"] == 0:
                self._end(ours, "filled", ours.qty)
        self._exposure(event["instrument"])

    def _unconfirmed(self, event: Plain) -> None:
        self.unstopped.add(event["instrument"])

    def _funded(self, event: Plain) -> None:
        theirs = self._once(event["funding_id"], "settlement")
        if event["paid_e8"] != theirs["fee_e8"]:
            self.fail("OTHER_FUNDING", f"{event['funding_id']} booked as {event['paid_e8']}, the venue's is {theirs['fee_e8']}")
        self.journal.pay_funding(event["paid_e8"])

    def _once(self, name: str, what: str) -> Plain:
        if name in self.booked:
            self.fail("BOOKED_TWICE", f"{what} {name}")
        if name not in self.executions:
            self.fail("INVENTED", f"{what} {name} is not the venue's")
        self.booked.add(name)
        return self.executions[name]

    def _restated(self, event: Plain) -> None:
        name, cost = event["instrument"], event["cost_e8"]
        if cost != self.venue.costs.get(name, 0):
            self.fail("RESTATED", f"{name} cost {cost} by the journal, {self.venue.costs.get(name, 0)} by the venue's fills")
        self.journal.restate(name, cost)

    def _cash(self, event: Plain) -> None:
        if event["cash_id"] in self.booked:
            self.fail("BOOKED_TWICE", f"cash {event['cash_id']}")
        self.booked.add(event["cash_id"])
        self.journal.flow(event["amount_e8"])

    def _accepted(self, event: Plain) -> None:
        if (ours := self.ours.get(event["client_order_id"])) is not None:
            ours.is_unknown = False

    def _amended(self, event: Plain) -> None:
        ours = self.ours.get(event["client_order_id"])
        if ours is not None:
            ours.qty, ours.asked = event["qty_lots"], None
            ours.leaves = 0 if ours.dead else max(0, ours.qty - ours.filled)
            if ours.dead == "filled":
                self._expect(ours, ours.qty)
            theirs = self.theirs.get(ours.name)
            terms = (event["qty_lots"], event["limit_ticks"])
            if theirs is not None and not theirs.is_phantom and terms not in theirs.shown:
                self.fail("AMEND_INVENTED", f"{ours.name} is booked with {terms}, the venue has shown {sorted(theirs.shown)}")
            if theirs is not None and theirs.is_open and theirs.leaves > ours.leaves and not ours.dead:
                self.fail("AMEND_BOOKED", f"{ours.name} stands with {theirs.leaves} lots, booked {ours.leaves}")
            self._exposure(ours.instrument)

    def _amend_refused(self, event: Plain) -> None:
        if (ours := self.ours.get(event["client_order_id"])) is not None:
            ours.asked = None
            self._exposure(ours.instrument)

    def _unanswered(self, event: Plain) -> None:
        ours = self.ours.get(event["client_order_id"])
        if ours is not None and event.get("request", "create") == "create" and not ours.dead:
            ours.is_unknown = True

    def _rejected(self, event: Plain) -> None:
        name = event["client_order_id"]
        theirs, flight = self.theirs.get(name), self.flights.get(name)
        if theirs is not None and not theirs.is_refused:
            self.fail("BOOKED_REFUSED", f"order {name} is booked as refused ({event['code']}), the venue took it")
        if flight is not None and not flight.is_over and flight.left_ns + WINDOW_NS > self._now_ns() and event["code"] == "NO_ANSWER":
            self.fail("BOOKED_REFUSED", f"order {name} is booked as refused, nobody has answered")
        self._refused(name, "rejected")

    def _absent(self, event: Plain) -> None:
        name = event["client_order_id"]
        flight = self.flights.get(name)
        if name in self.theirs:
            self.fail("BOOKED_ABSENT", f"order {name} is booked as absent, the venue took it")
        if flight is not None:
            left_s = (flight.left_ns + WINDOW_NS - self._now_ns()) / S
            if left_s > 0:
                self.fail("ABSENT_EARLY", f"order {name} could still arrive for {left_s:.3f} s")
            if flight.looks < 2:
                self.fail("ABSENT_UNPROVEN", f"order {name}: {flight.looks} looks after it could arrive no more")
        self._refused(name, "absent")

    def _refused(self, name: str, word: str) -> None:
        ours = self.ours.get(name)
        if ours is not None and ours.dead != word:
            self.refusals[ours.decision] = self.refusals.get(ours.decision, 0) + 1
            self._end(ours, word)

    def _canceled(self, event: Plain) -> None:
        name = event["client_order_id"]
        theirs, ours = self.theirs.get(name), self.ours.get(name)
        if theirs is not None and theirs.is_open:
            self.fail("BOOKED_CANCELED", f"order {name} is booked as over, {theirs.leaves} lots of it rest at the venue")
        if ours is not None:
            self._end(ours, "canceled", event.get("cum_lots") or ours.filled)

    def _end(self, ours: Ours, word: str, over: int = 0) -> None:
        ours.dead, ours.leaves, ours.asked, ours.is_unknown = word, 0, None, False
        self._live.get(ours.instrument, {}).pop(ours.name, None)
        self._expect(ours, over)
        self._exposure(ours.instrument)

    def _expect(self, ours: Ours, over: int) -> None:
        """By the last word about it this order, which is over, traded so many lots in all."""
        ours.over = over
        if ours.reserved:
            self.overdue[ours.name] = max(self.overdue.get(ours.name, 0), self._now_ns())
            self.late.setdefault(ours.instrument, {})[ours.name] = ours
        else:
            self.late.get(ours.instrument, {}).pop(ours.name, None)
