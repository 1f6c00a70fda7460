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
    Count,
    Ours,
    Plain,
    S,
    Violation,
)
from tests.simulation.audit_journal import JournalSide
from tests.simulation.money import TICK_VALUE_E8


class Auditor(JournalSide):
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
        self.moved = ours.instrument if ours is not None else ""
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
        if self.brake is not None:
            self.brake.trader_decided("order", name)
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
        if self.brake is not None:
            self.brake.trader_decided("amendment", name)
        ours = self.ours.get(name)
        if ours is not None:
            if self.risk == "halted":
                self.fail("HALTED", f"amendment of {ours.name} was decided while halted ({self.code})")
            if qty is not None:
                if qty > ours.qty and not ours.reduce_only:
                    self._within_limit(ours, qty - max(ours.qty, ours.asked or 0), limit or 0)
                ours.asked = max(qty, ours.asked or 0)

    def _cancelled(self, output: Plain) -> None:
        if self.brake is not None:
            self.brake.trader_decided("cancel", output["client_order_id"])
        self.wished.setdefault(output["client_order_id"], []).append(CANCEL)

    def _risk(self, output: Plain) -> None:
        if output["state"] != self.risk:
            self.risk_ns = self._now_ns()
        was = self.risk, "" if self.risk == "running" else self.code
        self.risk, self.code = output["state"], output["code"]
        if self.losses is not None and (wrong := self.losses.moved(was, (self.risk, self.code), self._lost())):
            self.fail("REDUCED", wrong)
        is_braked = self.code == "BRAKE" and self.brake is not None and self.brake.explains
        if self.risk != "running" and self.code not in EXPLAINED and self.code not in self.explained | self.venue_acted and not is_braked:
            self.fail("UNEXPLAINED", f"trading is {self.risk} by {self.code}: {output['observed']}")
        if self.risk == "halted":
            self._judged()
        if self.risk != "running":
            self.codes[self.code] = self.codes.get(self.code, 0) + 1

    # our own figures --------------------------------------------------------------------------------------------------

    def figures(self, plain: Mapping[str, Any]) -> None:
        """The engine's own books after a step, against the journal by the auditor's arithmetic."""
        here = self.journal
        engine = (plain["wallet_e8"], plain["equity_e8"], plain["drawdown_e8"], plain["day_loss_e8"])
        events = (here.wallet_e8, here.equity_e8, here.drawdown_e8, here.day_loss_e8)
        if engine != events:
            named = zip(("wallet", "equity", "drawdown", "day_loss"), engine, events, strict=True)
            name, value, own = next(one for one in named if one[1] != one[2])
            self.fail("BOOKS", f"{name} is {value} in the engine, {own} by the journal's own events")
        lots = {name: held for name, held in here.lots.items() if held}
        if plain["lots"] != lots:
            self.fail("BOOKS", f"positions are {plain['lots']} in the engine, {lots} by the journal's own events")
        if self.moved:
            self._reserved(self.moved, lots, plain["open"][self.moved])

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
