"""The independent auditor: it sees the wire, the venue's rows and the journal's bytes, keeps its own books, and says what must never be.

Rules: it imports nothing of the engine, the services or the kernel; it works on text and whole numbers. It is told of everything at the
moment at which it happens and checks at once. What it finds is a `Violation` with the moment, the rule and the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from tests.simulation.audit_base import (
    BOOKS,
    CANCEL,
    EXPLAINED,
    SLACK_E4,
    WINDOW_NS,
    Count,
    Ours,
    Plain,
    S,
    Violation,
)
from tests.simulation.audit_deadlines import Deadlines
from tests.simulation.money import TICK_VALUE_E8


class Auditor(Deadlines):
    """Watches one day: what the venue and the wire show, and what the journal says of it."""

    # the journal ------------------------------------------------------------------------------------------------------

    def record(self, body: bytes) -> None:
        """These bytes are durable."""
        plain: Plain = msgspec.json.decode(body)
        if plain.get("type") != "step":
            return
        self.records += 1
        self._note("record", plain)
        event = plain["event"]
        ours = self.ours.get(event.get("client_order_id", ""))
        self._moved = ours.instrument if ours is not None else ""
        told = _EVENTS.get(event["type"])
        if told is not None:
            told(self, event)
        for output in plain.get("outputs", ()):
            taken = _OUTPUTS.get(output["type"])
            if taken is not None:
                taken(self, output)
        if event["type"] == "bar":
            self._brake()
        if event["type"] == "fill" and self.risk == "running":
            self._nobody_of_ours(self.executions[event["fill_id"]], event["fill_id"])

    def _nobody_of_ours(self, traded: Plain, fill_id: str) -> None:
        """Trading has not stopped with this trade: it has to, where it was somebody else's or the venue's own."""
        if traded.get("stranger") and not self._adopts:
            self.fail("STRANGER", f"{fill_id} was traded by somebody else, and trading goes on")
        if traded.get("venue"):
            self.fail("VENUE_ACTED", f"{fill_id} was the venue's own doing ({traded['venue']}), and trading goes on")

    def _sent(self, output: Plain) -> None:
        order = output["approved"]["order"]
        name = order["client_order_id"]
        if name in self.ours:
            self.fail("SAME_ID", f"order {name} was decided twice")
        reduces = order["reduce_only"]
        instrument = order["instrument"]
        closes = reduces and instrument in self.unstopped  # a position without its stop is closed whatever else holds
        if (self.risk == "halted" and not closes) or (self.risk == "reduce_only" and not reduces):
            self.fail("HALTED", f"order {name} was decided while {self.risk} ({self.code})")
        instrument, is_buy, attempt = order["instrument"], order["side"] == "buy", order["attempt"]
        unsettled = [one.name for one in self._live.get(instrument, {}).values() if one.is_unknown]
        if unsettled and not reduces:
            self.fail("UNKNOWN_OPEN", f"order {name} was decided while nobody knew of {', '.join(unsettled)}")
        if attempt > self.refusals.get(order["decision_id"], 0):
            self.fail(
                "ATTEMPT", f"order {name} is attempt {attempt}, of that decision {self.refusals.get(order['decision_id'], 0)} were refused"
            )
        ours = Ours(name, instrument, is_buy, order["qty_lots"], reduces, order["decision_id"], attempt, order, leaves=order["qty_lots"])
        self.ours[name] = ours
        self._live.setdefault(instrument, {})[name] = ours
        if not reduces:
            self._within_limit(ours, ours.qty, order["limit_ticks"])

    def _within_limit(self, decided: Ours, more_lots: int, limit_ticks: int) -> None:
        """What the position becomes at worst, in truth, against the limit."""
        instrument, name = decided.instrument, decided.name
        mark = self.journal.marks.get(instrument, 0)
        price = max(mark, limit_ticks)
        buys, sells = self._open_in_truth(instrument)
        held = self.venue.lots.get(instrument, 0)
        buys, sells = buys + more_lots * decided.is_buy, sells + more_lots * (not decided.is_buy)
        worst = max(abs(held + buys), abs(held - sells))
        allowed = max(0, self.journal.equity_e8) * self._limit_frac_e8 // 100_000_000
        if worst * price * TICK_VALUE_E8 * 10_000 > allowed * SLACK_E4 and not self.alien.get(instrument):
            self.fail("LIMIT", f"{instrument}: order {name} may lead to {worst} lots at {price}, allowed is {allowed / 1e8:.2f}")

    def _changed(self, output: Plain) -> None:
        name, qty, limit = output["client_order_id"], output.get("qty_lots"), output.get("limit_ticks")
        self.wished.setdefault(name, []).append((qty, limit))
        ours = self.ours.get(name)
        if ours is not None:
            if self.risk == "halted":
                self.fail("HALTED", f"amendment of {ours.name} was decided while halted ({self.code})")
            if qty is not None:
                if qty > ours.qty and not ours.reduce_only:
                    self._within_limit(ours, qty - max(ours.qty, ours.asked or 0), limit or 0)
                ours.asked = max(qty, ours.asked or 0)

    def _cancelled(self, output: Plain) -> None:
        self.wished.setdefault(output["client_order_id"], []).append(CANCEL)

    def _risk(self, output: Plain) -> None:
        if output["state"] != self.risk:
            self.risk_ns = self._now_ns()
        self.risk, self.code = output["state"], output["code"]
        if self.risk != "running" and self.code not in EXPLAINED and self.code not in self.explained | self.venue_acted:
            self.fail("UNEXPLAINED", f"trading is {self.risk} by {self.code}: {output['observed']}")
        if self.risk == "halted":
            self._judged()
        if self.risk != "running":
            self.codes[self.code] = self.codes.get(self.code, 0) + 1

    # events of the journal

    def _bar(self, event: Plain) -> None:
        self.journal.mark(event["instrument"], event["close_ticks"], event["ts_ns"])
        self.marked_ns[event["instrument"]] = event["ts_ns"]

    def _brake(self) -> None:
        """At a close of a bar losses are judged: beyond a limit nothing is left running."""
        here, (drawdown, loss) = self.journal, self._brakes
        if self.risk != "halted" and self.code != "FLATTEN" and (here.drawdown_e8 >= drawdown or here.day_loss_e8 >= loss):
            self.fail("BRAKE", f"trading goes on with a drawdown of {here.drawdown_e8} and a loss of the day of {here.day_loss_e8} e8")

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

    # our own figures --------------------------------------------------------------------------------------------------

    def figures(self, plain: Mapping[str, Any]) -> None:
        """The engine's own books after a step, against the journal by the auditor's arithmetic."""
        here = self.journal
        for name, value, own in (
            ("wallet", plain["wallet_e8"], here.wallet_e8),
            ("equity", plain["equity_e8"], here.equity_e8),
            ("drawdown", plain["drawdown_e8"], here.drawdown_e8),
            ("day_loss", plain["day_loss_e8"], here.day_loss_e8),
        ):
            if value != own:
                self.fail("BOOKS", f"{name} is {value} in the engine, {own} by the journal's own events")
        lots = {name: held for name, held in here.lots.items() if held}
        if plain["lots"] != lots:
            self.fail("BOOKS", f"positions are {plain['lots']} in the engine, {lots} by the journal's own events")
        if self._moved:
            self._reserved(self._moved, lots, plain["open"][self._moved])

    def _reserved(self, name: str, lots: Mapping[str, int], kept: tuple[int, int]) -> None:
        """What may become of the position in truth is never more than the engine itself reserves."""
        (buys, sells), held = self._open_in_truth(name), self.venue.lots.get(name, 0)
        here = lots.get(name, 0) + self.alien.get(name, 0)
        if held + buys > here + kept[0] or held - sells < here - kept[1]:
            truth, books = (held - sells, held + buys), (here - kept[1], here + kept[0])
            self.fail("RESERVED", f"{name} may become {truth} lots in truth, {books} by what the engine reserves")


_EVENTS: Final[dict[str, Callable[[Auditor, Plain], None]]] = {
    "bar": Auditor._bar,
    "fill": Auditor._fill,
    "funding": Auditor._funded,
    "cash": Auditor._cash,
    "restated": Auditor._restated,
    "adopted": Auditor._adopted,
    "accepted": Auditor._accepted,
    "waits": Auditor._accepted,
    "amended": Auditor._amended,
    "amend_refused": Auditor._amend_refused,
    "unanswered": Auditor._unanswered,
    "rejected": Auditor._rejected,
    "absent": Auditor._absent,
    "canceled": Auditor._canceled,
    "stop_unconfirmed": Auditor._unconfirmed,
}
_OUTPUTS: Final[dict[str, Callable[[Auditor, Plain], None]]] = {
    "send": Auditor._sent,
    "amend": Auditor._changed,
    "cancel": Auditor._cancelled,
    "want_stop": Auditor._stop_wanted,
    "risk_state": Auditor._risk,
}

__all__ = ["BOOKS", "Auditor", "Count", "Plain", "S", "Violation"]
