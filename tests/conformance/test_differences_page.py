"""docs/differences.md: what it says is refused is refused so, what it says is not served is not, and what differs differs."""

from __future__ import annotations

import asyncio
import importlib
import json
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import aiohttp
import pybit
import pytest
from tests.conformance.loopback import T0, Desk, Loopback, running
from tests.conformance.pybit_client import Heard, private_socket

from kedge.domain.orders import Side
from kedge.simulation.venue_types import VenueLimits
from kedge.venues.exchange.auth import signature
from kedge.venues.exchange.server import all_routes

LINEAR = {"category": "linear", "symbol": "BTCUSDT"}
NEEDED: dict[str, dict[str, Any]] = {
    "/v5/order/create": {**LINEAR, "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "59900"},
    "/v5/order/amend": {**LINEAR, "orderLinkId": "standing"},
    "/v5/account/set-margin-mode": {},
}
"""What a request needs that would be taken without the members in question; `LINEAR` where nothing is named."""
REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "differences.md").read_text()


def rows(title: str) -> list[list[str]]:
    """The lines of a section's table, without its head."""
    text = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("|")][2:]


REFUSED = [(cells[0].strip("` "), json.loads(cells[1].strip("`")), int(cells[2])) for cells in rows("Requests that are refused here")]
NOT_SERVED = tuple(re.findall(r"`(/v5/[^`]+)`", "".join(cells[0] for cells in rows("Paths that are not served"))))


def call(desk: Desk, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    """A signed request; the HTTP status and the envelope."""

    async def asked() -> tuple[int, dict[str, Any]]:
        stamp, raw = str(time.time_ns() // 1_000_000), json.dumps(body or {}).encode()
        query = "&".join(f"{name}={value}" for name, value in (body or {}).items())
        sent = query.encode() if method == "GET" else raw
        sign = signature(desk.key.secret_bytes, (stamp + desk.key.key + "5000").encode() + sent)
        headers = {"X-BAPI-API-KEY": desk.key.key, "X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": "5000", "X-BAPI-SIGN": sign}
        url = f"{desk.exchange.url}{path}" + (f"?{query}" if method == "GET" and query else "")
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, data=raw if method == "POST" else None, headers=headers) as answer,
        ):
            return answer.status, await answer.json(content_type=None)

    return asyncio.run(asked())


@pytest.mark.parametrize(("request_line", "members", "code"), REFUSED, ids=[f"{line} {members}" for line, members, _ in REFUSED])
def test_a_request_is_refused_as_the_page_says(desk: Desk, request_line: str, members: dict[str, Any], code: int) -> None:
    method, path = request_line.split()
    desk.place(Side.BUY, 10, 590_000, link_id="standing")
    status, told = call(desk, method, path, {**NEEDED.get(path, LINEAR), **members})
    assert (status, told["retCode"]) == (200, code), told


@pytest.mark.parametrize("path", ["/v5/order/create", "/v5/order/amend"])
def test_without_those_members_the_same_request_is_taken(desk: Desk, path: str) -> None:
    desk.place(Side.BUY, 10, 590_000, link_id="standing")
    more = {"qty": "0.02"} if path.endswith("amend") else {}
    assert call(desk, "POST", path, {**NEEDED[path], **more})[1]["retCode"] == 0


def known_paths() -> set[str]:
    """Every path of the venue that pybit knows."""
    modules = [importlib.import_module(f"pybit.{found.name}") for found in pkgutil.iter_modules(pybit.__path__)]
    kinds = [kind for module in modules for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Enum)]
    return {str(member.value) for kind in kinds for member in kind if str(member.value).startswith("/v5/")}


def is_named(path: str) -> bool:
    return any(path == one or (path.startswith(one) and one[-1] in "/-") for one in NOT_SERVED)


def test_every_path_of_the_venue_is_served_or_named_as_not_served(desk: Desk) -> None:
    served = {path for _, path in all_routes(desk.exchange.hall, desk.exchange.keys)}
    known = known_paths()
    assert len(known) > 300
    assert {path for path in known - served if not is_named(path)} == set()
    assert {path for path in served if is_named(path)} == set()
    assert [one for one in NOT_SERVED if not any(path.startswith(one) for path in known)] == [], "lines about nothing"


def test_a_path_that_is_not_served_answers_404_and_10017(desk: Desk) -> None:
    served = {path for _, path in all_routes(desk.exchange.hall, desk.exchange.keys)}

    async def asked() -> set[tuple[int, int]]:
        async with aiohttp.ClientSession(desk.exchange.url) as session:
            found = set()
            for path in sorted(known_paths() - served):
                async with session.get(path) as answer:
                    found.add((answer.status, (await answer.json(content_type=None))["retCode"]))
            return found

    assert asyncio.run(asked()) == {(404, 10017)}


# answers that differ -------------------------------------------------------------------------------------------------------


def an_order_stands_at_its_reply(desk: Desk) -> None:
    call(desk, "POST", "/v5/order/create", {**LINEAR, "side": "Buy", "orderType": "Market", "qty": "0.01", "orderLinkId": "now"})
    assert desk.position().lots == 10, "read beside the wire, with no wait"


def frames_come_before_the_reply(desk: Desk) -> None:
    heard = Heard()
    with private_socket(desk.exchange.url, desk.key) as stream:
        stream.execution_stream(heard)
        desk.exchange.until_told("execution", account=desk.account)
        _, reply = call(desk, "POST", "/v5/order/create", {**LINEAR, "side": "Buy", "orderType": "Market", "qty": "0.01"})
        assert heard.next()["creationTime"] <= reply["time"]


def leaves_have_decimals(desk: Desk) -> None:
    desk.place(Side.BUY, 10, 590_000, link_id="gone")
    call(desk, "POST", "/v5/order/cancel", {**LINEAR, "orderLinkId": "gone"})
    (row,) = call(desk, "GET", "/v5/order/realtime", {**LINEAR, "orderLinkId": "gone"})[1]["result"]["list"]
    assert (row["orderStatus"], row["leavesQty"]) == ("Cancelled", "0.000")


def data_carries_venue_time(desk: Desk) -> None:
    desk.place(Side.BUY, 10, 590_000, link_id="dated")
    told = call(desk, "GET", "/v5/order/realtime", {**LINEAR, "orderLinkId": "dated"})[1]
    assert abs(told["time"] - time.time() * 1_000) < 60_000
    assert abs(int(told["result"]["list"][0]["createdTime"]) * 1_000_000 - T0) < 2 * 86_400 * 10**9


def other_categories_are_empty(desk: Desk) -> None:
    for path in ("/v5/position/list", "/v5/order/realtime", "/v5/execution/list"):
        assert call(desk, "GET", path, {"category": "option"})[1]["result"]["list"] == []


def nothing_comes_in_or_goes_out(desk: Desk) -> None:
    assert call(desk, "GET", "/v5/asset/deposit/query-record")[1]["result"]["rows"] == []
    assert call(desk, "GET", "/v5/asset/withdraw/query-record")[1]["result"]["rows"] == []
    told = call(desk, "GET", "/v5/asset/withdraw/withdrawable-amount", {"coin": "USDT"})[1]["result"]
    assert {float(wallet["withdrawableAmount"]) for wallet in told["withdrawableAmount"].values()} == {0.0}


def nothing_is_announced(desk: Desk) -> None:
    assert call(desk, "GET", "/v5/announcements/index", {"locale": "en-US"})[1]["result"]["list"] == []
    assert call(desk, "GET", "/v5/system/status")[1]["result"]["list"] == []


def history_has_an_end(desk: Desk) -> None:
    assert VenueLimits().history_max == 20_000


def another_start_is_another_market(desk: Desk) -> None:
    async def session(exchange: Loopback) -> str:
        async with aiohttp.ClientSession() as client, client.get(f"{exchange.url}/kedge/status") as answer:
            return str((await answer.json())["session"])

    with running() as again:
        assert asyncio.run(session(again)) != asyncio.run(session(desk.exchange))


def a_position_is_taken_over_whole(desk: Desk) -> None:
    poor = desk.exchange.desk(wallet=1_000)
    poor.place(Side.BUY, 100)
    desk.exchange.price("BTCUSDT", 480_000, after_ns=10**9)
    assert poor.position().lots == 0
    assert [row.qty_lots for row in poor.rows("executions")][0] == 100


def there_is_one_host(desk: Desk) -> None:
    assert call(desk, "POST", "/v5/account/demo-apply-money")[0] == 404


DIFFERENCES: dict[str, Callable[[Desk], None]] = {
    "an order when its reply arrives": an_order_stands_at_its_reply,
    "private frames of an order": frames_come_before_the_reply,
    "`leavesQty` of a cancelled order": leaves_have_decimals,
    "times in data": data_carries_venue_time,
    "other categories in lists": other_categories_are_empty,
    "deposits and withdrawals": nothing_comes_in_or_goes_out,
    "announcements and system status": nothing_is_announced,
    "closed orders and fills": history_has_an_end,
    "an exchange that starts again": another_start_is_another_market,
    "liquidation": a_position_is_taken_over_whole,
    "regional hosts, demo trading": there_is_one_host,
}


def test_every_line_about_answers_has_a_check() -> None:
    assert [cells[0] for cells in rows("Answers that differ")] == list(DIFFERENCES)


@pytest.fixture
def settled(desk: Desk) -> Iterator[Desk]:
    """A desk of an exchange whose prices stand where they opened, before and after."""
    yield desk
    desk.exchange.reopen()


@pytest.mark.parametrize("what", DIFFERENCES)
def test_an_answer_differs_as_the_page_says(settled: Desk, what: str) -> None:
    DIFFERENCES[what](settled)
