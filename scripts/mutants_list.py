"""The bugs that `scripts.mutants` plants: what a tired person may write on a bad day, in the places where money is lost."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """One bug: in `file` (below the package) `old` becomes `new`; `more` are further ones, where two checks stand behind each other."""

    name: str
    file: str
    old: str
    new: str
    more: tuple[tuple[str, str, str], ...] = ()

    @property
    def edits(self) -> tuple[tuple[str, str, str], ...]:
        return ((self.file, self.old, self.new), *self.more)


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a way out waits for a bar",
        "risk/gate_facts.py",
        "    return is_way_out and at_market and 0 < at.bid_ticks",
        "    return False and is_way_out and at_market and 0 < at.bid_ticks",
    ),
    Mutant(
        "nobody looks at the market before a flattening",
        "services/live_quotes.py",
        "        is_way_out = closes or slot.stop_failed or core.state.halt_code == FLATTEN\n",
        "        is_way_out = False\n        if closes or slot.stop_failed or core.state.halt_code == FLATTEN:\n            return\n",
    ),
    Mutant(
        "a fill is lost",
        "services/live_news.py",
        "            self._core.step(ours_or_adopted(self._core.state, event, self._settings.foreign))\n",
        "            if event.ts_ns % 7:\n"
        "                self._core.step(ours_or_adopted(self._core.state, event, self._settings.foreign))\n"
        "            else:\n"
        "                self._core.seen.add(event)\n",
    ),
    Mutant(
        "an order is sent twice",
        "services/live_desk.py",
        "            answer = await request\n",
        "            answer = await request\n            if isinstance(answer, Unanswered):\n"
        "                answer = await answered(self._venue.place(approved))\n",
    ),
    Mutant(
        "a time-out is a refusal",
        "services/live_desk.py",
        "            core.step(OrderUnanswered(core.now_ns(), name))\n            if order.is_live:\n",
        "            core.step(OrderRejected(core.now_ns(), name, 'NO_ANSWER', answer.why))\n            if order.is_live:\n",
    ),
    Mutant(
        "partial fills are one lot short",
        "kernel/positions.py",
        "        return after, cost_e8 + paid_e8, 0\n",
        "        return after - (1 if fill_lots > 100 else 0), cost_e8 + paid_e8, 0\n",
    ),
    Mutant(
        "what a partial fill leaves is one lot short",
        "engine/orders.py",
        "        state.filled_lots += fill.qty_lots\n",
        "        state.filled_lots += fill.qty_lots + int(fill.leaves_lots > 0)\n",
    ),
    Mutant(
        "an expired permit is good",
        "services/permits.py",
        "    return age_ns is not None and 0 <= age_ns < PERMIT_AGE_MAX_NS\n",
        "    return age_ns is not None and 0 <= age_ns\n",
    ),
    Mutant(
        "funding has the wrong sign",
        "kernel/account.py",
        "    account[WALLET] -= paid_e8\n    account[EQUITY] -= paid_e8\n    account[FUNDING] += paid_e8\n",
        "    account[WALLET] += paid_e8\n    account[EQUITY] += paid_e8\n    account[FUNDING] += paid_e8\n",
    ),
    Mutant(
        "flows are not adjusted for",
        "kernel/account.py",
        "    if before > 0:\n        account[PEAK] =",
        "    if before < 0:\n        account[PEAK] =",
    ),
    Mutant(
        "absent at the first look",
        "services/lookup.py",
        "LOOKS = 2\n",
        "LOOKS = 1\n",
        (("services/lookup.py", "        looks += int(wall_ns > last_taken_ns)\n", "        looks += 1\n"),),
    ),
    Mutant(
        "absent before the window is over",
        "services/lookup.py",
        "        looks += int(wall_ns > last_taken_ns)\n",
        "        looks += 1\n",
    ),
    Mutant(
        "the attempt grows on a time-out",
        "engine/fold_orders.py",
        "        orders, is_creation = self.state.orders, event.request is Request.CREATE\n",
        "        orders, is_creation = self.state.orders, event.request is Request.CREATE\n"
        "        self._next_attempt(orders.by_id[event.client_order_id])\n",
    ),
    Mutant(
        "the slice is not in the id",
        "engine/work.py",
        "client_order_id(self._settings.account, slot.decision_id, leg, slot.leg, slot.attempt)",
        "client_order_id(self._settings.account, slot.decision_id, leg, 0, slot.attempt)",
    ),
    Mutant(
        "a fill after the cancel is dropped",
        "services/live_core.py",
        "        booked = id_of(event)\n",
        "        booked = id_of(event)\n"
        "        name = getattr(event, 'client_order_id', '')\n"
        "        if booked and name in self.state.orders.by_id and str(self.state.orders.by_id[name].status) == 'canceled':\n"
        "            return ()\n",
    ),
    Mutant(
        "a restart forgets what was seen",
        "services/live_start.py",
        "        seen, commands = rebuild(reader, journal.count, seen_at_start(started))\n",
        "        seen, commands = seen_at_start(started), frozenset()\n",
    ),
    Mutant(
        "nothing that was seen is remembered",
        "services/live_core.py",
        "        if booked and event in self.seen:\n",
        "        if booked and event in self.seen and event.ts_ns % 3:\n",
    ),
    Mutant(
        "the fee is left out",
        "kernel/account.py",
        "    account[WALLET] += realised_e8 - fee_e8\n",
        "    account[WALLET] += realised_e8\n",
    ),
    Mutant(
        "a wallet may differ a little",
        "services/live_settings.py",
        "    wallet_tolerance_e8: Annotated[int, msgspec.Meta(ge=0)] = 0\n",
        "    wallet_tolerance_e8: Annotated[int, msgspec.Meta(ge=0)] = 10_000_000\n",
    ),
    Mutant(
        "a cancel frees what it reserves at once",
        "engine/fold_orders.py",
        "        order = self._report(cancel.client_order_id, Report.CANCEL_SENT)\n",
        "        order = self._report(cancel.client_order_id, Report.CANCEL_SENT)\n"
        "        if order is not None:\n"
        "            self.state.orders.live[order.order.instrument].pop(cancel.client_order_id, None)\n",
    ),
    Mutant(
        "an order that is unknown is over",
        "engine/lifecycle.py",
        "    (_S.PENDING_NEW, _R.NO_REPLY): _S.UNKNOWN,",
        "    (_S.PENDING_NEW, _R.NO_REPLY): _S.CANCELED,",
    ),
    Mutant(
        "nothing is asked after an interruption",
        "services/live_news.py",
        '            self._want(f"{news.stream} stream back")\n',
        "",
    ),
    Mutant(
        "bars pass before the books are compared",
        "services/live_news.py",
        "            self.interruptions += 1\n            self._bars.close()\n\n",
        "            self.interruptions += 1\n\n",
        (("services/live_compare.py", "        return self._trader.news.interruptions == self._compared_at\n", "        return True\n"),),
    ),
    Mutant(
        "a halt is not heeded",
        "risk/gate_rules.py",
        '    if at.state is RiskState.HALTED:\n        return Refusal("HALTED", at.halt_code, "running")\n',
        "",
        (
            (
                "engine/work.py",
                " or (state.risk_state is RiskState.HALTED and not slot.stop_failed):\n",
                ":\n",
            ),
        ),
    ),
    Mutant(
        "reducing orders are sent as others",
        "engine/work.py",
        "            reduce_only=child.reduce_only,\n",
        "            reduce_only=False,\n",
    ),
    Mutant(
        "a restart forgets the orders under way",
        "services/live_books.py",
        "        for order in not_shown(state, books):\n",
        "        for order in ():\n",
    ),
    Mutant(
        "an order leaves before it is durable",
        "services/live_core.py",
        "        self.journal.commit(event, outputs)\n",
        "        if outputs:\n            self.send(outputs)\n        self.journal.commit(event, outputs)\n",
    ),
    Mutant(
        "an answer confirms an amend",
        "services/desk_amends.py",
        "            self._rows.begin(name, self._confirmed(name))\n",
        "            from kedge.domain.events import OrderAmended\n\n"
        "            lots, ticks = amend.qty_lots or order.qty_lots, amend.limit_ticks or order.limit_ticks\n"
        "            core.step(OrderAmended(core.now_ns(), name, lots, ticks))\n",
    ),
    Mutant(
        "the deadline of a stop is ignored",
        "services/live_stops.py",
        "        if care.side:  # what lies at no position harms nobody\n",
        "        if care.side and not care.slot.instrument:\n",
    ),
    Mutant(
        "a stop that is gone is not put back",
        "services/live_stops.py",
        "            self._core.step(StopPlaced(position.ts_ns, position.instrument, position.stop_loss_ticks))\n",
        "            wanted = care.slot.stop_wanted_ticks\n"
        "            self._core.step(StopPlaced(position.ts_ns, position.instrument, position.stop_loss_ticks or wanted))\n",
    ),
    Mutant(
        "limits leave open orders out",
        "engine/orders.py",
        "        return (self._open.get(instrument) or self._summed(instrument))[:2]\n",
        "        return 0, 0\n",
    ),
    Mutant(
        "transfers are left out of the ledger",
        "services/live_books.py",
        "        for event in missed(state, books, core.seen, self._settings.foreign):\n",
        "        for event in missed(state, books, core.seen, self._settings.foreign):\n"
        "            if not hasattr(event, 'fill_id') and not hasattr(event, 'funding_id'):\n                continue\n",
    ),
    Mutant(
        "funding is booked twice",
        "services/live_core.py",
        "        if booked and event in self.seen:\n            return ()\n",
        "        if booked and event in self.seen and not hasattr(event, 'funding_id'):\n            return ()\n",
    ),
    Mutant(
        "what a stranger trades is taken over in silence",
        "services/reconcile.py",
        "    if foreign is Foreign.REFUSE and not event.client_order_id.startswith(GUARD_PREFIX):\n        return event\n",
        "",
    ),
    Mutant(
        "what an order that is over traded is not waited for",
        "engine/orders.py",
        "        untold_lots = max(0, cum_lots - state.filled_lots)\n",
        "        untold_lots = 0\n",
    ),
    Mutant(
        "an order that should be over is not looked up",
        "services/desk_search.py",
        "            self._later.begin(name, self._look_later(name, ENDS_WITHIN_S))\n",
        "            pass\n",
    ),
    Mutant(
        "trades that are still to be told are not asked for",
        "services/desk_search.py",
        "            self._later.begin(name, self._look_later(name, (self._pace.gap_s,)))\n",
        "            return\n",
    ),
    Mutant(
        "both legs of a turn leave at once",
        "services/live_desk.py",
        "self._place(output.approved, () if order.reduce_only else closing.get(order.instrument, ()))",
        "self._place(output.approved, ())",
    ),
    Mutant(
        "the loss of a day is not judged",
        "risk/states.py",
        "limits.daily_loss_reduce_e8, limits.daily_loss_halt_e8)\n",
        "limits.daily_loss_reduce_e8, 1 << 62)\n",
    ),
    Mutant(
        "the drawdown is not judged",
        "risk/states.py",
        "limits.drawdown_reduce_e8, limits.drawdown_halt_e8)\n",
        "limits.drawdown_reduce_e8, 1 << 62)\n",
    ),
    Mutant(
        "a new day keeps the old one's loss",
        "kernel/account.py",
        "        account[DAY_START] = account[EQUITY]\n",
        "        account[DAY_START] += 0\n",
    ),
    Mutant(
        "a liquidation is nobody's concern",
        "engine/fold_orders.py",
        "        elif fill.cause in BY_VENUE:\n",
        "        elif fill.cause in BY_VENUE and fill.cause is not FillCause.LIQUIDATION:\n",
    ),
    Mutant(
        "what others trade is taken over with another cost",
        "services/reconcile.py",
        '    return msgspec.structs.replace(event, client_order_id="", cause=FillCause.ADOPTED)\n',
        '    return msgspec.structs.replace(event, client_order_id="", cause=FillCause.ADOPTED, fee_e8=0)\n',
    ),
    Mutant(
        "the position's limit is not looked at",
        "risk/gate_rules.py",
        '    return _money_within("POSITION_NOTIONAL", facts.worst_e8, soft, hard, at, facts)\n',
        '    return _money_within("POSITION_NOTIONAL", 0, soft, hard, at, facts)\n',
    ),
)
