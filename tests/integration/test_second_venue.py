"""A live trader on the second venue: it trades on paper through ccxt, and in the end its books are the exchange's."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from tests.builders import Scripted
from tests.conformance.loopback import BTC, MINUTE, Desk, Loopback, running
from tests.unit.services.live_world import QUICK

from kedge.domain.events import BarClosed
from kedge.domain.outputs import OrderSent
from kedge.domain.record import Step
from kedge.kernel.account import WALLET
from kedge.services.live import LiveTrader
from kedge.services.live_settings import LivePlan
from kedge.services.permits import LocalIssuer
from kedge.storage import SigningKey, SqliteJournal, SqliteJournalReader
from kedge.venues.ccxt.settings import CcxtSettings, Keys, Mode
from kedge.venues.ccxt.venue import CcxtVenue

pytestmark = pytest.mark.slow

BARS = 8
EXPOSURES = (0.1, 0.1, -0.12, -0.12, 0.05, 0.0, 0.15, 0.15)


def play_minute(exchange: Loopback, n: int) -> None:
    """One minute of both instruments, to its end."""

    def played(venue: Any) -> None:
        end_ns = exchange.clock.venue_at_ns // MINUTE * MINUTE + MINUTE
        steps: list[Any] = []
        for spec in exchange.specs.values():
            last = venue.ticker(spec.instrument_id).last_ticks
            close = last + (40 if n % 2 else -30)
            bar = BarClosed(end_ns, spec.instrument_id, end_ns - MINUTE, last, max(last, close) + 5, min(last, close) - 5, close, 4_000)
            steps += [(step.ts_ns, spec.instrument_id, step) for step in venue.bar_steps(bar, 4)]
        for _, name, step in sorted(steps, key=lambda each: each[:2]):
            venue.play_step(name, step)
        venue.advance(end_ns)
        exchange.clock.venue_at_ns = end_ns

    exchange.ask(played)


class Run:
    """One trader of one account, and its journal."""

    def __init__(self, folder: Path, exchange: Loopback, desk: Desk, mode: Mode) -> None:
        self.exchange, self.desk, self.path, self.mode = exchange, desk, folder / "journal.sqlite", mode
        self.journal = SqliteJournal(self.path, signer=SigningKey.generate(), source="test")
        plan = LivePlan(account=desk.account, rung="paper", instruments=(BTC,), strategy="trend", params={}, interval_ns=MINUTE)
        self.trader = LiveTrader(
            self._venue, self.journal, lambda: SqliteJournalReader(self.path), plan, QUICK,
            permits=LocalIssuer("paper", time.monotonic_ns), monotonic_ns=time.monotonic_ns, strategy=Scripted(EXPOSURES),
        )  # fmt: skip

    def _venue(self) -> CcxtVenue:
        settings = CcxtSettings(exchange="bybit", instruments=(BTC,), mode=self.mode, url=self.exchange.url, poll_s=0.05, paced=False)
        return CcxtVenue(settings, Keys(api_key=self.desk.key.key, api_secret=self.desk.key.secret))

    async def play(self, bars: int) -> None:
        """Trade so many minutes, then wait until both sides agree."""
        running_ = asyncio.create_task(self.trader.run())
        try:
            async with asyncio.timeout(60):
                ready = asyncio.create_task(self.trader.ready())
                await asyncio.wait([running_, ready], return_when=asyncio.FIRST_COMPLETED)
                if running_.done():
                    await running_
                for n in range(bars):
                    wanted = self.seen_bars() + 1
                    await asyncio.to_thread(play_minute, self.exchange, n)
                    while self.seen_bars() < wanted or self.trader.desk.placing or not self.agrees():
                        assert not running_.done(), running_
                        await asyncio.sleep(0.02)
        finally:
            self.trader.finish("script is through")
            await asyncio.gather(running_, return_exceptions=True)
            self.journal.close()

    def seen_bars(self) -> int:
        return self.trader.engine.state.funnel.bars

    def agrees(self) -> bool:
        state, truth = self.trader.engine.state, self.desk.position()
        slot = state.slots[BTC]
        ours = (slot.position_lots, int(state.costs[slot.index]), int(state.account_view[WALLET]))
        return ours == (truth.lots, truth.cost_e8, self.desk.wallet().wallet_e8)

    def steps(self) -> list[Step]:
        with SqliteJournalReader(self.path) as reader:
            return [record for record in reader.records() if isinstance(record, Step)]


def test_it_trades_on_paper_and_its_books_agree_to_the_last_unit(tmp_path: Path) -> None:
    with running() as exchange:
        desk = exchange.desk()
        run = Run(tmp_path, exchange, desk, Mode.PAPER)
        asyncio.run(run.play(BARS))
        sent = [output for step in run.steps() for output in step.outputs if isinstance(output, OrderSent)]
        truth = desk.rows("executions")
        assert len(sent) >= 4
        assert len(truth) >= 4
        assert run.agrees()
        fills = [step.event.fill_id for step in run.steps() if type(step.event).__name__ == "OrderFilled"]
        assert sorted(fills) == sorted(row.exec_id for row in truth)


def test_a_trader_that_only_reads_sees_every_bar_and_sends_nothing(tmp_path: Path) -> None:
    with running() as exchange:
        desk = exchange.desk()
        run = Run(tmp_path, exchange, desk, Mode.READ_ONLY)
        asyncio.run(run.play(3))
        events = [step.event for step in run.steps()]
        assert sum(isinstance(event, BarClosed) for event in events) >= 3
        refused = [event for event in events if type(event).__name__ == "OrderRejected"]
        assert {event.code for event in refused} == {"READ_ONLY"}
        assert desk.rows("order_history") == desk.rows("executions") == desk.rows("open_orders") == []
