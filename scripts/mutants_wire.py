"""More bugs for `scripts.mutants` to plant, of the quiet kind: amends, stops, halts, restated costs, what a lost answer is taken for."""

from __future__ import annotations

from scripts.mutants_list import Mutant

WIRE: tuple[Mutant, ...] = (
    Mutant(
        "an amend needs no permit",
        "services/desk_amends.py",
        "        is_permitted = self._may_reduce if order.order.reduce_only else self._may_add_risk\n",
        "        is_permitted = None\n",
    ),
    Mutant(
        "an order is not asked for its permit at the signature",
        "services/live_desk.py",
        "        is_permitted = self._may_reduce if approved.order.reduce_only else self._may_add_risk\n",
        "        is_permitted = None\n",
    ),
    Mutant(
        "an order that waited for room outlives a halt",
        "services/live_desk.py",
        "        return self._core.state.risk_state is RiskState.RUNNING and self._sees() and",
        "        return self._sees() and",
    ),
    Mutant(
        "a lost answer to a cancel means cancelled",
        "services/live_desk.py",
        "            self._core.step(OrderUnanswered(self._core.now_ns(), name, Request.CANCEL))\n",
        "            self._core.step(OrderCanceled(self._core.now_ns(), name, 'CANCELED'))\n",
    ),
    Mutant(
        "a cost is restated and the wallet left as it was",
        "kernel/account.py",
        "    account[WALLET] += moved_e8\n    account[REALISED] += moved_e8\n",
        "    account[REALISED] += moved_e8\n",
    ),
    Mutant(
        "a stop lies on the wrong side of a short",
        "engine/stops.py",
        "    return value * (E8 + distance_frac_e8) // (per_tick * E8)\n",
        "    return -(-value * (E8 - distance_frac_e8) // (per_tick * E8))\n",
    ),
    Mutant(
        "a stop lies three times as far away",
        "engine/stops.py",
        "        self._state, self._distance_e8 = state, distance_frac_e8\n",
        "        self._state, self._distance_e8 = state, min(3 * distance_frac_e8, 90_000_000)\n",
    ),
    Mutant(
        "a stop is not moved when the position turns round",
        "engine/stops.py",
        "        if stands and (isinstance(event, InstrumentChanged) or abs(ticks - slot.stop_wanted_ticks) <= 1):\n",
        "        if slot.stop_wanted_ticks:\n",
    ),
    Mutant(
        "a comparison that an interruption overtook counts",
        "services/live_compare.py",
        "        if trader.news.streams[Stream.PRIVATE] and trader.news.interruptions == interruptions:\n"
        "            self._compared_at = interruptions\n",
        "        if trader.news.streams[Stream.PRIVATE]:\n            self._compared_at = trader.news.interruptions\n",
    ),
    Mutant(
        "money that came is booked as money that went",
        "services/ledger.py",
        "    return CashMoved(entry.ts_ns, entry.change_e8, entry.word, entry.entry_id)\n",
        "    return CashMoved(entry.ts_ns, -abs(entry.change_e8), entry.word, entry.entry_id)\n",
    ),
    Mutant(
        "a triggered order is forgotten",
        "engine/lifecycle.py",
        "    (_S.WAITING, _R.TRIGGERED): _S.OPEN,\n",
        "    (_S.WAITING, _R.TRIGGERED): _S.CANCELED,\n",
    ),
    Mutant(
        "trading never goes on after an order of unknown fate",
        "services/lookup.py",
        "        looks += int(wall_ns > last_taken_ns)\n",
        "        looks += 0\n",
    ),
    Mutant(
        "a fill is booked to the newest order",
        "services/live_news.py",
        "            self._core.step(ours_or_adopted(self._core.state, event, self._settings.foreign))\n",
        "            import msgspec\n\n            newest = next(reversed(self._core.state.orders.by_id), '')\n"
        "            event = msgspec.structs.replace(event, client_order_id=newest) if event.client_order_id and newest else event\n"
        "            self._core.step(ours_or_adopted(self._core.state, event, self._settings.foreign))\n",
    ),
    Mutant(
        "a refused amend is settled as carried out",
        "services/desk_search.py",
        "        if shown != (order.qty_lots, order.limit_ticks) or order.is_as_asked(*shown):\n"
        "            self._core.step(OrderAmended(theirs.updated_ts_ns, name, *shown, theirs.trigger_ticks))\n",
        "        if order.asked_ticks:\n"
        "            self._core.step(OrderAmended(theirs.updated_ts_ns, name, shown[0], order.asked_ticks, theirs.trigger_ticks))\n",
    ),
)
