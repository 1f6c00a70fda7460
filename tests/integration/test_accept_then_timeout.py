"""A minute in which the exchange takes every order and never says so: none is doubled, none is booked as refused, no limit is passed.

A real exchange and a real trader, each a process of its own. What is checked comes from the exchange's own lists and the rows of the
trader's journal, by arithmetic on texts that shares nothing with either.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.torture.compare import findings
from tests.torture.journal_books import JournalSays
from tests.torture.market import POLL_S, Market
from tests.torture.processes import Child, Nursery
from tests.torture.venue_books import Row, VenueReader, VenueSays

pytestmark = pytest.mark.slow

MINUTE_S = 60.0
PATIENCE_S = 90.0
AGREE_S = 30.0
SYMBOLS = ("BTCUSDT", "ETHUSDT")
LIMIT = Decimal("0.12")
"""Of equity, for one position. The strategy holds a tenth of equity, so that one order doubled would pass it."""
CONFIG = f"""\
limits:
  daily_loss_soft_frac: "0.90"
  daily_loss_reduce_frac: "0.95"
  daily_loss_halt_frac: "0.99"
  drawdown_soft_frac: "0.90"
  drawdown_reduce_frac: "0.95"
  drawdown_halt_frac: "0.99"
  order_notional_frac_max: "{LIMIT}"
  position_notional_frac_max: "{LIMIT}"
"""
ORDERS = "/v5/order/create"


class Minute:
    """One exchange and one trader in a folder of their own, with one fault on every order for a minute."""

    def __init__(self, folder: Path, nursery: Nursery, fault: str, seed: int) -> None:
        self.folder, self.fault, self._nursery, self._seed = folder, fault, nursery, seed
        self._market: Market
        self._begun_ms = 0
        self.struck = 0

    async def run(self) -> tuple[JournalSays, VenueSays]:
        self.folder.mkdir()
        (self.folder / "kedge.yaml").write_text(CONFIG)
        listed = [word for symbol in SYMBOLS for word in ("--instrument", symbol)]
        config = ("--config", self.folder / "kedge.yaml")
        self._market = await Market.open(self._nursery, self.folder, self._seed, "--steps", 4, *listed, *config)
        try:
            self._begun_ms = await self._market.venue_ms()
            argv = ("trade", "--state-dir", self.folder, *config, "--param", "fast=2", "--param", "slow=3", "--json", "--on-stop", "leave")
            trader = await self._nursery.spawn(
                (*argv, "--venue", self._market.url, *listed, "--interval", "1m"), self.folder / "trader.out"
            )  # fmt: skip
            await self._bars(trader, 5)
            await self._market.order({"fault": self.fault, "path": ORDERS, "for_ms": int(MINUTE_S * 1_000)})
            began = time.monotonic()
            while time.monotonic() - began < MINUTE_S and trader.is_alive:
                await asyncio.sleep(POLL_S)
            self.struck = (await self._market.faults_done()).get(self.fault, 0)
            await self._market.clear_faults()
            await self._bars(trader, 10)
            journal, says = await self._agreed(trader)
            self._market.release()
            trader.signal(signal.SIGTERM)
            async with asyncio.timeout(PATIENCE_S):
                assert await trader.ended == 0, self._tail()
            return journal, says
        finally:
            await self._market.close()

    async def _agreed(self, trader: Child) -> tuple[JournalSays, VenueSays]:
        """Both sides while the market stands still; what is still being looked up is waited for, bar by bar."""
        (key, *_) = json.loads((self.folder / "paper" / "keys.json").read_text())["keys"]
        (path,) = (self.folder / "runs").glob("*/journal.sqlite")
        reader, journal = VenueReader(self._market.url, key["api_key"], key["api_secret"]), JournalSays(path)
        deadline = time.monotonic() + AGREE_S
        try:
            while True:
                await self._stands_still(trader)
                says = await reader.read(self._begun_ms, await self._market.venue_ms())
                journal.read_on()
                if time.monotonic() > deadline or not differences(journal, says):
                    return journal, says
                self._market.release()
                await self._market.next_bar()
        finally:
            await reader.close()

    async def _bars(self, trader: Child, count: int) -> None:
        """Wait until the trader has finished so many more bars."""
        wanted = max(0, await self._market.acked()) + count
        async with asyncio.timeout(PATIENCE_S):
            while await self._market.acked() < wanted:
                assert trader.is_alive, self._tail()
                await asyncio.sleep(POLL_S)

    async def _stands_still(self, trader: Child) -> None:
        self._market.hold()
        async with asyncio.timeout(PATIENCE_S):
            while await self._market.acked() < self._market.bars or not self._market.stands_still:
                assert trader.is_alive, self._tail()
                await asyncio.sleep(POLL_S)

    def _tail(self) -> str:
        out, log = self.folder / "trader.out", self.folder / "logs" / "trader.jsonl"
        return f"{out.read_text()[-600:]} {log.read_text()[-1_500:] if log.exists() else ''}"


def exposures(says: VenueSays) -> dict[str, Decimal]:
    """For each instrument the largest notional that it ever stood at, with all that was open, as a part of the wallet.

    What may trade counts from the moment the exchange took it, as if it traded at once and whole; it leaves what is open as it fills.
    """
    wallets = sorted((int(row["transactionTime"]), Decimal(row["cashBalance"])) for row in says.log if row["cashBalance"])
    largest: dict[str, Decimal] = {}
    for symbol in SYMBOLS:
        happened: list[tuple[int, int, Row]] = [
            (int(row["createdTime"]), 0, row) for row in says.orders.values() if row["symbol"] == symbol
        ]
        happened += [(int(row["execTime"]), 1, row) for row in says.trades if row["symbol"] == symbol]
        happened += [
            (int(row["updatedTime"]), 2, row)
            for row in says.orders.values()
            if row["symbol"] == symbol and row["orderStatus"] not in ("New", "PartiallyFilled", "Untriggered")
        ]
        position, at = Decimal(0), Decimal(0)
        left: dict[str, Decimal] = {}
        signs = {row["orderId"]: 1 if row["side"] == "Buy" else -1 for row in says.orders.values()}
        for ts_ms, what, row in sorted(happened, key=lambda one: (one[0], one[1])):
            order = row["orderId"]
            if what == 0:
                reduces = row["reduceOnly"]
                left[order] = Decimal(0) if reduces else Decimal(row["qty"])
            elif what == 1:
                position += signs[order] * Decimal(row["execQty"])
                left[order] = max(Decimal(0), left[order] - Decimal(row["execQty"]))
                at = Decimal(row["execPrice"])
            else:
                left.pop(order, None)
            buys = sum((qty for name, qty in left.items() if signs[name] > 0), Decimal(0))
            sells = sum((qty for name, qty in left.items() if signs[name] < 0), Decimal(0))
            worst = max(position + buys, sells - position)
            wallet = [balance for when, balance in wallets if when <= ts_ms][-1:] or [wallets[0][1]]
            if what == 1 or at:
                largest[symbol] = max(largest.get(symbol, Decimal(0)), worst * at / wallet[0])
    return largest


def ours(says: VenueSays) -> VenueSays:
    """What the exchange says without the stops of positions: it makes them itself when a stop is set, and gives them no id of ours."""
    orders = {name: row for name, row in says.orders.items() if row["orderLinkId"] or not row["stopOrderType"]}
    return replace(says, orders=orders)


def differences(journal: JournalSays, says: VenueSays) -> list[str]:
    """What the comparison finds, but for reductions that the exchange cut down to the position that was left, and filled to the last lot.

    Two legs of one decision leave at once: where the second comes first, it takes most of the position away that the first is to reduce.
    """
    says = ours(says)
    there = {row["orderLinkId"]: row for row in says.orders.values()}
    whole = set()
    for name, order in journal.orders.items():
        row = there.get(name)
        if row is not None and row["reduceOnly"] and row["orderStatus"] == "Filled" and order.filled_lots:
            lot = Decimal(journal.grids[f"bybit-linear:{row['symbol']}"].lot_e8) / 10**8
            if order.filled_lots * lot == Decimal(row["cumExecQty"]):
                whole.add(f"order {name} is unresolved; the exchange says Filled")
    return [one for one in findings(journal, says) if one not in whole]


def check(minute: Minute, journal: JournalSays, says: VenueSays) -> list[str]:
    """Everything that is wrong."""
    there = Counter(row["orderLinkId"] for row in ours(says).orders.values())
    found = differences(journal, says)
    found += [f"{name!r} is at the exchange {times} times" for name, times in there.items() if times > 1]
    for name, order in journal.orders.items():
        wrong = sorted(set(order.ends) & {"rejected", "absent"})
        found += [f"{name} was taken by the exchange and is booked as {wrong}"] if wrong and there[name] else []
        found += [f"{name} was decided {order.times} times"] if order.times > 1 else []
    found += [
        f"{symbol} stood at {part:.4f} of the wallet, at most {LIMIT} may" for symbol, part in exposures(says).items() if part > LIMIT
    ]
    return [f"{minute.fault}: {one}" for one in found]


def summed(minute: Minute, journal: JournalSays, says: VenueSays) -> dict[str, Any]:
    return {
        "fault": minute.fault, "struck": minute.struck, "orders": len(journal.orders), "at the exchange": len(ours(says).orders),
        "fills": len(says.trades), "bars": sum(journal.bars.values()),
        "exposure": {name: f"{part:.4f}" for name, part in exposures(says).items()},
        "ends": dict(Counter(end for order in journal.orders.values() for end in order.ends)),
    }  # fmt: skip


def test_a_minute_of_orders_that_are_taken_and_never_answered(tmp_path: Path) -> None:
    async def whole() -> list[tuple[Minute, JournalSays, VenueSays]]:
        nursery = await Nursery.open()
        try:
            minutes = [
                Minute(tmp_path / fault, nursery, fault, seed)
                for seed, fault in enumerate(("timeout_after", "drop_reply", "hang_reply"), 1)
            ]
            said = await asyncio.gather(*(minute.run() for minute in minutes))
            return [(minute, *one) for minute, one in zip(minutes, said, strict=True)]
        finally:
            await nursery.close()

    told = asyncio.run(whole())
    for one in told:
        print(summed(*one))
    assert [wrong for one in told for wrong in check(*one)] == []
    struck = {minute.fault: minute.struck for minute, _, _ in told}
    assert struck["timeout_after"] >= 50
    assert struck["drop_reply"] >= 10
    assert struck["hang_reply"] >= 5
