"""The auditor's view of the venue and of the wire: rows as they are made, requests as they leave, streams as they are told."""

from __future__ import annotations

from typing import Any

from tests.simulation.audit_base import BOOKS, CANCEL, FATE_NS, MARGIN_NS, PERMIT_NS, PRICE_NS, WINDOW_NS, Flight, Knowledge, S, Theirs
from tests.simulation.money import funding_e8


class VenueSide(Knowledge):
    """Takes what the venue and the wire show."""

    # the venue's rows -------------------------------------------------------------------------------------------------

    def row(self, row: Any) -> None:
        """The venue made this row."""
        self._note("row", row)
        self.rows += 1
        kind = type(row).__name__
        if kind == "TradeRow":
            for is_maker in (False, True):  # each print has two sides, and both may be ours
                key = (row.instrument, row.price_ticks, is_maker)
                self.prints[key] = self.prints.get(key, 0) + row.qty_lots
        elif getattr(row, "account", "") != self.account:
            return
        elif kind == "ExecutionRow":
            self._executed(row)
        elif kind == "OrderRow":
            self._order_row(row)
        elif kind == "PositionRow":
            self._position_row(row)
        elif kind == "WalletRow":
            self._wallet_row(row)

    def _wallet_row(self, row: Any) -> None:
        if row.wallet_e8 != self.venue.wallet_e8:
            self.fail("VENUE_CASH", f"wallet {row.wallet_e8}, by fills, fees, funding and flows {self.venue.wallet_e8}")
        if self.brake is not None:
            self.brake.worth(row.equity_e8)

    def flow(self, amount_e8: int) -> None:
        """Money came (> 0) or went at the venue that no trade explains."""
        self.venue.flow(amount_e8)
        if self.brake is not None:
            self.brake.flow(amount_e8)

    def marked(self, name: str, price_ticks: int) -> None:
        """The mark of an instrument is this from now on."""
        if self.brake is not None:
            self.brake.marked(name, price_ticks)

    def ghost(self, amount_e8: int) -> None:
        """Money came or went at the venue that nothing explains: somebody has to notice."""
        self.venue.wallet_e8 += amount_e8
        self.ghost_e8 += amount_e8

    def _executed(self, row: Any) -> None:
        if row.exec_id in self.executions:
            self.fail("VENUE_TWICE", f"execution {row.exec_id}")
        name, signed = row.instrument, row.qty_lots if row.side == "buy" else -row.qty_lots
        told = {
            "instrument": name,
            "lots": signed,
            "fee_e8": row.fee_e8,
            "kind": row.exec_type,
            "price": row.price_e8,
            "order": row.link_id,
        }
        self.executions[row.exec_id] = told
        if row.exec_type == "Funding":
            exact = funding_e8(signed, row.mark_e8, row.fee_rate_e8, 10_000_000)
            if signed != self.venue.lots.get(name, 0) or abs(exact - row.fee_e8) >= 1:
                self.fail("FUNDING", f"{row.fee_e8} was paid on {signed} lots of {name} at {row.mark_e8} and {row.fee_rate_e8}")
            self.venue.pay_funding(row.fee_e8)
            return
        price = row.price_e8 // 10_000_000
        if row.exec_type == "Trade":
            left = self.prints.get((name, price, row.is_maker), 0) - row.qty_lots
            if left < 0:
                self.fail("VENUE_PRINTS", f"{row.qty_lots} lots of {name} at {price} traded with nobody")
            self.prints[name, price, row.is_maker] = left
        before = self.venue.lots.get(name, 0)
        self.venue.fill(name, signed, price, row.fee_e8)
        if self.brake is not None:
            self.brake.executed(row, before, self.venue.lots.get(name, 0))
        theirs = self.theirs.get(row.link_id)
        if theirs is not None:  # its own row follows at the end of the operation
            theirs.leaves, theirs.cum = row.leaves_lots, theirs.cum + row.qty_lots
        if row.link_id not in self.ours or row.exec_type != "Trade":
            self.alien[name] = self.alien.get(name, 0) + signed
            told["alien"] = True
            told["stranger"] = _who(row) == "FOREIGN" and not row.link_id.startswith("kg-")
            self.venue_acted.add(_who(row))
            told["venue"] = "" if _who(row) == "FOREIGN" else _who(row)
        self._exposure(name)

    def _order_row(self, row: Any) -> None:
        if not row.link_id:
            return
        if self.brake is not None:
            self.brake.order_row(row)
        before = self.theirs.get(row.link_id)
        refused = row.status == "Rejected"
        self.theirs[row.link_id] = found = Theirs(
            row.link_id, row.instrument, row.side == "buy", row.is_open, refused, row.leaves_lots, row.qty_lots, row.cum_lots,
            row.price_ticks if row.kind == "limit" else 0, before.is_phantom if before is not None else False,
        )  # fmt: skip
        found.shown = (before.shown if before is not None else frozenset()) | {(found.qty, found.price)}
        rest = self._open.setdefault(row.instrument, {})
        if found.is_open:
            rest[row.link_id] = found
        else:
            rest.pop(row.link_id, None)
        ours = self.ours.get(row.link_id)
        if ours is not None:
            if not found.is_open and not ours.dead and ours.terms["time_in_force"] == "ioc" and not ours.terms.get("trigger_ticks"):
                self.overdue[row.link_id] = self._now_ns()
            self._exposure(row.instrument)

    def _position_row(self, row: Any) -> None:
        name = row.instrument
        if (row.lots, row.cost_e8) != (self.venue.lots.get(name, 0), self.venue.costs.get(name, 0)):
            ours = (self.venue.lots.get(name, 0), self.venue.costs.get(name, 0))
            self.fail("VENUE_POSITION", f"{name}: {(row.lots, row.cost_e8)}, by fills {ours}")
        self.stops[name] = row.stop_loss_ticks
        self._naked(name)

    def _naked(self, name: str) -> None:
        """Since when a position that both sides know of has no stop, leaving out the time in which nothing better could be done."""
        now_ns = self._now_ns()
        is_naked = self.venue.lots.get(name, 0) * self.journal.lots.get(name, 0) > 0 and not self.stops.get(name)
        since_ns = (self.naked_ns.get(name) or now_ns) if is_naked else 0
        if since_ns and self._is_under_way(name, now_ns):
            since_ns += now_ns - max(since_ns, self.looked_ns.get(name, now_ns))
        self.naked_ns[name], self.looked_ns[name] = since_ns, now_ns

    def _is_under_way(self, name: str, now_ns: int) -> bool:
        """Whether nobody knows a price or a quote, so that nothing may leave, or what reduces the position is not answered yet."""
        if now_ns - self.marked_ns.get(name, now_ns) > PRICE_NS and not self.quoted(name):
            return True
        left = (self.flights.get(ours.name) for ours in self._live.get(name, {}).values() if ours.reduce_only)
        return any(flight is not None and now_ns - flight.left_ns < FATE_NS for flight in left)

    # the wire ---------------------------------------------------------------------------------------------------------

    def left_create(self, approved: Any) -> None:
        """An order was signed and has left."""
        self._note("creation left", approved)
        self.wire += 1
        order = approved.order
        name, now_ns = order.client_order_id, self._now_ns()
        if name in self.flights:
            self.fail("SENT_TWICE", f"order {name} has left before")
        ours = self.ours.get(name)
        if ours is None:
            self.fail("NOT_DURABLE", f"order {name} left before its record")
            return
        asked = (str(order.side), order.qty_lots, order.limit_ticks, order.reduce_only, str(order.kind))
        terms = ours.terms
        written = (terms["side"], terms["qty_lots"], terms["limit_ticks"], terms["reduce_only"], terms["kind"])
        if asked != written:
            self.fail("OTHER_TERMS", f"order {name} left as {asked}, recorded as {written}")
        self.flights[name] = Flight(now_ns, self.wall_ns())
        self.idle_ns = now_ns
        if order.reduce_only:
            self.naked_ns[order.instrument] = 0  # it is being reduced
            self.idle_close_ns[order.instrument] = now_ns
        else:
            self._new_risk(name, now_ns)
        if self.brake is not None:
            self.brake.trader_left("order", name, adds=not order.reduce_only)
        self._exposure(order.instrument)

    def _new_risk(self, name: str, now_ns: int) -> None:
        """Whether anything forbids an order, or a change of one, that does not only reduce."""
        if self.risk != "running" and self.risk_ns < now_ns:
            self.fail("HALTED", f"order {name} left while trading is {self.risk} ({self.code})")
        closing = [one for one in self._live.get(self.ours[name].instrument, {}).values() if one.terms["reduce_only"]]
        waiting = [one.name for one in closing if one.decision == self.ours[name].decision and one.name not in self.theirs]
        if waiting:
            self.fail("LEGS", f"order {name} left before {waiting[0]} had arrived, which closes what it turns round")
        if not self.is_up:
            self.fail("BLIND", f"order {name} left while the private stream was down")
        unread = [book for book in BOOKS if not self.asked.get(book)]
        if unread:
            self.fail("NOT_COMPARED", f"order {name} left before {', '.join(unread)} were read since the start or the interruption")
        if self.granted_ns is None or not 0 <= now_ns - self.granted_ns < PERMIT_NS:
            age = "none" if self.granted_ns is None else f"{(now_ns - self.granted_ns) / S:.1f} s old"
            self.fail("NO_PERMIT", f"order {name} left, the newest permit is {age}")

    def left_change(self, what: str, name: str, qty_lots: int | None, limit_ticks: int | None) -> None:
        """A cancel or an amendment has left."""
        self._note(f"{what} left", (name, qty_lots, limit_ticks))
        self.wire += 1
        ours = self.ours.get(name)
        if ours is None:
            self.fail("NOT_OURS", f"{what} of {name}")
        elif name.startswith("kg-"):
            self.fail("GUARDS", f"{what} of the guard's {name}")
        wish = (qty_lots, limit_ticks) if what == "amend" else CANCEL
        if ours is not None and not ours.dead and wish not in self.wished.get(name, ()):
            self.fail("CHANGE_NOT_DURABLE", f"{what} of {name} to {wish}, recorded are {self.wished.get(name, [])}")
        adds = ours is not None and what == "amend" and not ours.reduce_only
        if adds:
            self._new_risk(name, self._now_ns())
        if self.brake is not None:
            self.brake.trader_left(what, name, adds=adds)

    def left_stop(self, instrument: str, stop_ticks: int) -> None:
        """A stop has left."""
        self._note("stop left", (instrument, stop_ticks))
        self.wire += 1
        if stop_ticks not in self.stops_wished.get(instrument, ()):
            self.fail("STOP_NOT_DURABLE", f"a stop of {instrument} at {stop_ticks} left, recorded are {self.stops_wished.get(instrument)}")

    def arrived_create(self, name: str, instrument: str, *, is_phantom: bool) -> None:
        """The venue took an order."""
        self.flights[name].is_over = True
        if self.brake is not None and not is_phantom:
            self.brake.trader_arrived(name, adds=not self.ours[name].reduce_only)
        if is_phantom:
            theirs = self.theirs.get(name)
            if theirs is None:
                ours = self.ours[name]
                self.theirs[name] = Theirs(name, instrument, ours.is_buy, True, False, ours.qty, ours.qty, 0, 0, True)
            else:
                theirs.is_phantom = True

    def said(self, name: str, answer: object) -> None:
        """The venue answered a request about an order."""
        self._note("answer", (name, answer))
        self.wire += 1

    def stream(self, stream: str, is_up: bool, is_first: bool) -> None:
        """The trader was told that a stream is down or up."""
        self._note("stream", (str(stream), is_up))
        if stream != "private":
            return
        self.is_up = is_up
        self.epoch += int(not is_first)
        self.asked = {} if not is_first else self.asked
        self.back_ns = self._now_ns() if is_up else None

    def began(self) -> None:
        """A trader's process began: it knows nothing of the venue."""
        self.is_up, self.asked, self.granted_ns, self.back_ns = False, {}, None, None
        if self.brake is not None:
            self.brake.trader_began()
        self.epoch += 1
        self.naked_ns = {name: self._now_ns() if since else 0 for name, since in self.naked_ns.items()}

    def trouble(self, until_ns: int) -> None:
        """Until then the venue cannot be reached, or nobody is there: nothing can be asked of anybody."""
        self.blind_ns = max(self.blind_ns, until_ns)

    def listed(self, what: str, name: str = "", *, epoch: int | None = None, read_ns: tuple[int, int] | None = None) -> None:
        """A question was answered, that was put in life `epoch` of the private stream, and read at the venue at `read_ns` (day, wall)."""
        self.wire += 1
        if epoch is None or epoch == self.epoch:
            self.asked[what] = self.asked.get(what, 0) + 1
        if what == "find_order" and (flight := self.flights.get(name)) is not None:
            now_ns, wall_ns = read_ns or (self._now_ns(), self.wall_ns())
            since_ns = max(wall_ns - flight.left_wall_ns, now_ns - flight.left_ns)  # the venue's wall may be put back
            flight.looks += int(since_ns > WINDOW_NS + MARGIN_NS)


def _who(row: Any) -> str:
    if row.exec_type != "Trade":
        return "LIQUIDATED"
    if row.link_id.startswith("adl-"):
        return "DELEVERAGED"
    return "STOP_FIRED" if str(row.create_type) == "CreateByStopLoss" else "FOREIGN"
