"""Bybit's account through ccxt: the endpoints whose rows are read whole, page by page, and the words of its orders."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from kedge.domain.errors import VenueUnavailable
from kedge.domain.events import FundingSettled, OrderFilled
from kedge.domain.instrument import Instrument
from kedge.domain.orders import OrderIntent, OrderKind, TimeInForce
from kedge.domain.units import NS_PER_DAY, NS_PER_MS
from kedge.domain.venue import Answer, LedgerEntry, VenueOrder, VenuePosition, VenueWallet
from kedge.venues.ccxt import bybit_rows as rows
from kedge.venues.ccxt.client import CcxtClient
from kedge.venues.ccxt.dialect import Know
from kedge.venues.ccxt.numbers import decimal_of, steps_text
from kedge.venues.traits import VenueTraits

WINDOW_NS: Final = 7 * NS_PER_DAY
"""The exchange lists at most this much of history in one question."""
KEPT_NS: Final = 730 * NS_PER_DAY
"""The exchange keeps no more; older windows would be asked for in vain."""
PAGES_MAX: Final = 1_000
_LINEAR: Final = {"category": "linear"}
_SELF_TRADE: Final = "CancelMaker"
_TIMES: Final = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK", TimeInForce.POST_ONLY: "PostOnly"}


class BybitAccount:
    """See `AccountDialect`."""

    traits = VenueTraits(pushes=False, disconnect_cancel=False, live=False)
    taken_codes = frozenset({"110072", "34040", "10014"})
    """A repeated client id, or request, arrived before; a stop that is not changed stands already."""

    def order_params(self, order: OrderIntent, record: Instrument) -> dict[str, Any]:
        params: dict[str, Any] = {
            "clientOrderId": order.client_order_id, "positionIdx": 0, "reduceOnly": order.reduce_only, "smpType": _SELF_TRADE,
        }  # fmt: skip
        if order.kind is OrderKind.LIMIT:
            params["timeInForce"] = _TIMES[order.time_in_force]
        if order.trigger_ticks:
            params["triggerPrice"] = steps_text(order.trigger_ticks, record.tick_e8)
            params["triggerDirection"] = "ascending" if order.trigger_rises else "descending"
            params["triggerBy"] = "MarkPrice"
        return params

    def id_params(self, client_order_id: str) -> dict[str, Any]:
        return {"orderLinkId": client_order_id}

    def market_facts(self, market: Mapping[str, Any]) -> dict[str, Any]:
        row = market["info"]
        lots = row["lotSizeFilter"]
        return {
            "market_max": lots.get("maxMktOrderQty"),
            "notional_min": lots.get("minNotionalValue"),
            "collar": (row.get("riskParameters") or {}).get("priceLimitRatioX"),
        }

    async def open_orders(self, client: CcxtClient, know: Know) -> list[VenueOrder]:
        wanted = {**_LINEAR, "settleCoin": client.settings.coin, "limit": 50}
        found = await _paged(client, "private_get_v5_order_realtime", wanted, "orderId")
        return [rows.order_of(row, know(row["symbol"])) for row in found if not _is_over(row)]

    async def find_order(self, client: CcxtClient, record: Instrument, client_order_id: str) -> VenueOrder | None:
        wanted = {**_LINEAR, "symbol": record.venue_symbol, "orderLinkId": client_order_id}
        for name in ("private_get_v5_order_realtime", "private_get_v5_order_history"):
            found = [row for row in await _paged(client, name, wanted, "orderId") if row["orderLinkId"] == client_order_id]
            if found:
                return rows.order_of(found[0], record)
        return None

    async def executions(self, client: CcxtClient, know: Know, since_ts_ns: int, until_ts_ns: int) -> list[OrderFilled | FundingSettled]:
        found = await _spanned(client, "private_get_v5_execution_list", {**_LINEAR, "limit": 100}, (since_ts_ns, until_ts_ns), "execId")
        found.sort(key=lambda row: (int(row["execTime"]), int(row.get("seq") or 0), -_leaves(row)))
        news = [rows.execution_of(row, know(row["symbol"])) for row in found]
        return [one for one in news if one is not None]

    async def positions(self, client: CcxtClient, know: Know) -> list[VenuePosition]:
        wanted = {**_LINEAR, "settleCoin": client.settings.coin, "limit": 200}
        found = await _paged(client, "private_get_v5_position_list", wanted, "symbol", "positionIdx")
        positions = [rows.position_of(row, know(row["symbol"])) for row in found if row["side"]]
        return [position for position in positions if position.lots]

    async def wallet(self, client: CcxtClient, coin: str, ts_ns: int) -> VenueWallet:
        answer = await client.read("private_get_v5_account_wallet_balance", {"accountType": "UNIFIED", "coin": coin})
        return rows.wallet_of(_result(answer)["list"][0], coin, ts_ns)

    async def ledger(self, client: CcxtClient, coin: str, since_ts_ns: int, until_ts_ns: int) -> list[LedgerEntry]:
        wanted = {"accountType": "UNIFIED", "limit": 50}
        found = await _spanned(client, "private_get_v5_account_transaction_log", wanted, (since_ts_ns, until_ts_ns), "id")
        entries = [rows.entry_of(row) for row in reversed(found) if row["currency"] == coin]
        return sorted(entries, key=lambda entry: entry.ts_ns)

    async def set_stop_loss(self, client: CcxtClient, record: Instrument, stop_loss: str) -> tuple[Any, Answer]:
        wanted = {**_LINEAR, "symbol": record.venue_symbol, "positionIdx": 0, "tpslMode": "Full", "stopLoss": stop_loss}
        return await client.write("private_post_v5_position_trading_stop", {**wanted, "slTriggerBy": "MarkPrice"})


def _leaves(row: Mapping[str, Any]) -> Decimal:
    return decimal_of(row["leavesQty"] or "0", "leavesQty")


def _is_over(row: Mapping[str, Any]) -> bool:
    """The exchange shows recently closed orders among the open ones."""
    return row["orderStatus"] not in ("Created", "New", "PartiallyFilled", "Untriggered", "Triggered")


def _result(answer: Any) -> Mapping[str, Any]:
    result = answer.get("result") if isinstance(answer, Mapping) else None
    if not isinstance(result, Mapping) or not isinstance(result.get("list"), list):
        raise VenueUnavailable("an answer without a list", why="the exchange answered in another shape", fix="ask again")
    return result


async def _spanned(client: CcxtClient, name: str, wanted: Mapping[str, Any], span: tuple[int, int], *key: str) -> list[dict[str, Any]]:
    """All rows of a span of time, newest first."""
    found: list[dict[str, Any]] = []
    end_ns = span[1]
    start_ns = max(span[0], end_ns - KEPT_NS)
    while start_ns <= end_ns:
        until_ns = min(end_ns, start_ns + WINDOW_NS - NS_PER_MS)
        window = {"startTime": start_ns // NS_PER_MS, "endTime": until_ns // NS_PER_MS}
        found = await _paged(client, name, {**wanted, **window}, *key) + found
        start_ns = until_ns + NS_PER_MS
    return found


async def _paged(client: CcxtClient, name: str, wanted: Mapping[str, Any], *key: str) -> list[dict[str, Any]]:
    """All pages; a row that moved to the next page meanwhile is taken once."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    cursor = ""
    for _ in range(PAGES_MAX):
        answer = _result(await client.read(name, {**wanted, "cursor": cursor} if cursor else dict(wanted)))
        for row in answer["list"]:
            found.setdefault(tuple(str(row[part]) for part in key), row)
        before, cursor = cursor, str(answer.get("nextPageCursor") or "")
        if not cursor or not answer["list"] or cursor == before:
            return list(found.values())
    raise VenueUnavailable(f"{name}: more than {PAGES_MAX} pages", why="a list that is cut off would be a lie", fix="ask for less time")
