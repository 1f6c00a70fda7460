"""docs/offline-bybit.md: its code runs, and it names every path and topic that the exchange serves, and no others."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.loopback import Desk, running
from tests.conformance.pybit_client import PATIENCE_S

from kedge.simulation.venue_types import Status
from kedge.venues.exchange.server import all_routes
from kedge.venues.exchange.sockets import PATHS
from kedge.venues.exchange.subscriptions import DEPTHS, PRIVATE_KINDS, public_topic
from kedge.venues.exchange.trade_socket import _OPS

RUN = ("pybit", "ccxt and ccxt.pro", "Conditional orders, stops and batches", "Faults")


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "offline-bybit.md").read_text()


def section(page: str, title: str) -> str:
    return page.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_page_names_every_path_and_no_other(page: str, desk: Desk) -> None:
    served = {path for _, path in all_routes(desk.exchange.hall, desk.exchange.keys)}
    assert set(re.findall(r"`(/v5/[a-z/-]+)`", section(page, "Endpoints"))) == served


def test_the_page_names_every_topic_and_no_other(page: str, desk: Desk) -> None:
    rows = dict(re.findall(r"^\| `(/v5/[a-z/]+)` \| (.*) \|$", section(page, "Topics"), re.MULTILINE))
    assert set(rows) == set(PATHS.values())
    public = {name.replace("{interval}", "1") for name in re.findall(r"`([^`]+)`", rows["/v5/public/linear"])}
    assert all(public_topic(f"{name}.BTCUSDT", desk.exchange.hall.instruments) for name in public)
    assert {name for name in public if name.startswith("orderbook")} == {f"orderbook.{depth}" for depth in DEPTHS}
    assert set(PRIVATE_KINDS) <= set(re.findall(r"`([^`]+)`", rows["/v5/private"]))
    assert set(re.findall(r"`([^`]+)`", rows["/v5/trade"])) == set(_OPS)


def run(page: str, title: str, desk: Desk) -> dict[str, Any]:
    """Run a section's code, block by block, with the address and key of a desk; the names that all blocks leave."""
    left: dict[str, Any] = {}
    for code in blocks(section(page, title)):
        names: dict[str, Any] = {"KEY": desk.key.key, "SECRET": desk.key.secret}
        exec(compile(code.replace("127.0.0.1:8100", desk.exchange.url.removeprefix("http://")), title, "exec"), names)
        left |= names
    return left


def blocks(text: str) -> list[str]:
    """Its pieces of Python."""
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_every_piece_of_code_on_the_page_is_run_here(page: str) -> None:
    assert sum(len(blocks(section(page, title))) for title in RUN) == len(blocks(page))


def test_the_code_for_pybit_trades(page: str, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    import pybit._websocket_trading
    from pybit import unified_trading

    for module, name in ((unified_trading, "PUBLIC_WSS"), (unified_trading, "PRIVATE_WSS"), (pybit._websocket_trading, "TRADE_WSS")):
        monkeypatch.setattr(module, name, getattr(module, name))
    run(page, "pybit", desk)["session"].client.close()
    # the socket was closed right after its order was sent, so the order may still be on its way

    def both_filled() -> bool:
        return [row.status for row in desk.rows("order_history")] == [Status.FILLED] * 2

    async def until() -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not both_filled():
                await asyncio.sleep(0.01)

    asyncio.run(until())
    assert desk.position().lots == 0


def test_the_code_for_ccxt_trades_and_follows(page: str, desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    names = run(page, "ccxt and ccxt.pro", desk)
    names["exchange"].close()
    assert desk.position().lots == 10
    asyncio.run(names["follow"]())
    assert "'bids'" in capsys.readouterr().out


def test_the_code_for_stops_conditional_orders_and_batches_does_what_it_says(page: str, desk: Desk) -> None:
    names = run(page, "Conditional orders, stops and batches", desk)
    names["session"].client.close()
    names["exchange"].close()
    assert [int(code) for code in names["told"]] == [0, 0, 110003]
    held = desk.position()
    assert (held.lots, held.take_profit_ticks, held.stop_loss_ticks) == (30, 660_000, 570_000)
    active = sorted((row.price_ticks, row.qty_lots) for row in desk.rows("open_orders") if row.status is Status.NEW)
    assert active == [(588_000, 10), (589_000, 10), (590_000, 20)]
    waiting = sorted(row.trigger_ticks for row in desk.rows("open_orders") if row.status is Status.UNTRIGGERED)
    assert waiting == [570_000, 610_000, 615_000, 660_000]
    assert len(names["waiting"]) == 3 + 4, "ccxt asks for active and conditional orders alike"


def test_the_code_for_faults_finds_the_order_that_was_not_answered_for(page: str) -> None:
    with running(faults=True) as exchange:
        exchange.reopen()
        names = run(page, "Faults", exchange.desk())
        names["session"].client.close()
    assert int(names["answered"]) == 10000
    assert [row["orderLinkId"] for row in names["found"]] == ["mine"]
