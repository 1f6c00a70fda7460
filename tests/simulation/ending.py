"""The end of a day: faults are over, the books were compared, nothing is on its way. Both sides must say the same to the last unit."""

from __future__ import annotations

from typing import Final

from tests.simulation.auditor import Auditor
from tests.simulation.money import TICK_VALUE_E8
from tests.simulation.rows import TICK_E8
from tests.simulation.script import Script
from tests.simulation.traders import figures, live_orders
from tests.simulation.world import ACCOUNT, World

from kedge.services.live import LiveTrader

STOP_SLACK_TICKS: Final = 3
"""What rounding, and an average that moved by a tick, may take a stop off its place."""


class Ending:
    """Compares everything with everything."""

    def __init__(self, script: Script, world: World, auditor: Auditor, trader: LiveTrader) -> None:
        self.script, self.world, self.auditor, self.trader = script, world, auditor, trader

    def check(self) -> None:
        """Raises what differs."""
        self._condition()
        self._money()
        self._orders()
        self._stops()

    def _condition(self) -> None:
        trader = self.trader
        if trader.condition != "trading" or not trader.is_ready:
            self.auditor.fail("END_CONDITION", f"the trader is {trader.condition!r} after a quiet minute")
        if self.auditor.ghost_e8:
            if self.auditor.risk != "halted" or self.auditor.code not in ("WALLET_DIFFERS", "BRAKE"):
                self.auditor.fail("END_GHOST", f"{self.auditor.ghost_e8} e8 that nothing explains, and trading is {self.auditor.risk}")
            return
        brake = self.auditor.brake
        is_braked = brake is not None and brake.level != "running" and self.auditor.code == "BRAKE"
        if self.auditor.risk == "halted" and self.auditor.code not in ("DAILY_LOSS", "DRAWDOWN") and not is_braked:
            self.auditor.fail("END_HALTED", f"trading is halted by {self.auditor.code} although somebody let it go on")
        last = trader.books.last
        if last is None or not last.agreed:
            self.auditor.fail("END_BOOKS", f"the last comparison did not agree: {last}")

    def _money(self) -> None:
        core, audit, ours = self.world.core, self.auditor, figures(self.trader)
        wallet = core.wallet(ACCOUNT).wallet_e8
        lots = {row.instrument: row.lots for row in core.positions(ACCOUNT)}
        told = {name: held for name, held in audit.journal.lots.items() if held}
        explained = wallet - audit.ghost_e8
        if wallet != audit.venue.wallet_e8 or not explained == ours["wallet_e8"] == audit.journal.wallet_e8:
            audit.fail("END_WALLET", f"venue {wallet}, engine {ours['wallet_e8']}, journal {audit.journal.wallet_e8}")
        if not lots == ours["lots"] == told:
            audit.fail("END_POSITIONS", f"venue {lots}, engine {ours['lots']}, journal {told}")
        missed = sorted(set(audit.executions) - audit.booked)
        if missed:
            audit.fail("END_MISSED", f"{len(missed)} executions are in no record, such as {missed[0]}")

    def _orders(self) -> None:
        rows = self.world.core.open_orders(ACCOUNT, limit=1_000).rows
        theirs = {row.link_id: (row.leaves_lots, 0 if row.kind == "market" else row.price_ticks) for row in rows if row.link_id}
        ours = live_orders(self.trader)
        if theirs != ours:
            self.auditor.fail("END_ORDERS", f"open at the venue {theirs}, in our books {ours}")

    def _stops(self) -> None:
        brake = self.auditor.brake
        is_braked = brake is not None and brake.holds_all
        if not self.script.stop_bps or (is_braked and brake is not None and not brake.bare_s):
            return  # braked, the trader may not close what a stop cannot be put at any more, and this guard looks after no stops
        naked = [row.instrument for row in self.world.core.positions(ACCOUNT) if not row.stop_loss_ticks]
        if naked:
            self.auditor.fail("END_STOPS", f"{', '.join(naked)} held without a stop")
        if is_braked:
            return  # where it lies may be what was wanted before the brake
        for row in self.world.core.positions(ACCOUNT):
            self._reach(row.instrument, row.lots, row.stop_loss_ticks, row.mark_e8 // TICK_E8)

    def _reach(self, name: str, lots: int, stop_ticks: int, mark: int) -> None:
        """A stop lies no farther from the average than asked for; from the mark where that has passed it."""
        side, bps = (1 if lots > 0 else -1), self.script.stop_bps
        average = self.auditor.journal.costs[name] // (lots * TICK_VALUE_E8)
        asked = average - side * average * bps // 10_000
        if (mark - asked) * side <= 0:
            asked = mark - side * mark * bps // 10_000
        if (asked - stop_ticks) * side > STOP_SLACK_TICKS or (stop_ticks - max(average * side, mark * side) * side) * side >= 0:
            self.auditor.fail("END_STOPS", f"{name}: a stop at {stop_ticks} for {lots} lots at {average} on average, asked for is {asked}")
