"""Every endpoint: the query or body it sends, what it makes of the answer, and how it walks pages and windows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import pytest
from tests.unit.venues.bybit import wire_examples as wire
from tests.unit.venues.bybit.fake_venue import FakeVenue, Say, Seen, no, ok, rows
from tests.unit.venues.bybit.rest_desk import converse

from kedge.domain.errors import AccessRefused, InvalidInput, NotFound
from kedge.domain.venue import Refused, Taken, Unanswered
from kedge.venues.bybit import rest_pages
from kedge.venues.bybit.codec import UnreadablePayload
from kedge.venues.bybit.limits import RequestLimits
from kedge.venues.bybit.requests_position import MarginMode
from kedge.venues.bybit.rest import BybitRest
from kedge.venues.bybit.rest_endpoints import TRADER_LIMITS

MINUTE = 60_000_000_000
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
T0 = 1_767_000_000_000
Call = Callable[[BybitRest], Awaitable[Any]]


def fields(seen: Seen) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(seen.query, keep_blank_values=True).items()}


def asked(path: str, answer: Say, call: Call) -> tuple[Any, dict[str, str]]:
    """The result of one read and the query it sent."""
    venue = FakeVenue()
    venue.on(path, answer)
    result = converse(venue, call)
    assert len(venue.asked(path)) == 1
    return result, fields(venue.asked(path)[0])


def sent(path: str, answer: Say, call: Call) -> tuple[Any, Any]:
    """The answer to one write and the body it sent."""
    venue = FakeVenue()
    venue.on(path, answer)
    result = converse(venue, call)
    return result, venue.asked(path)[0].data


LINEAR = {"category": "linear"}
BTC = LINEAR | {"symbol": "BTCUSDT"}


@pytest.mark.parametrize(
    ("path", "item", "call", "query"),
    [
        ("/v5/market/tickers", wire.TICKER, lambda r: r.tickers("BTCUSDT"), BTC),
        ("/v5/market/tickers", wire.TICKER, lambda r: r.tickers(), LINEAR),
        ("/v5/market/instruments-info", wire.INSTRUMENT, lambda r: r.instruments_info(), LINEAR | {"limit": "1000"}),
        ("/v5/market/risk-limit", wire.TIERS[0], lambda r: r.risk_limits("BTCUSDT"), BTC),
        ("/v5/order/realtime", wire.ORDER, lambda r: r.open_orders(), LINEAR | {"settleCoin": "USDT", "openOnly": "0", "limit": "50"}),
        ("/v5/order/realtime", wire.ORDER, lambda r: r.open_orders("BTCUSDT"), BTC | {"openOnly": "0", "limit": "50"}),
        ("/v5/position/list", wire.POSITION, lambda r: r.positions(), LINEAR | {"settleCoin": "USDT", "limit": "200"}),
        ("/v5/position/list", wire.POSITION, lambda r: r.positions("BTCUSDT"), BTC | {"limit": "200"}),
        ("/v5/account/fee-rate", wire.FEES, lambda r: r.fee_rates("BTCUSDT"), BTC),
        (
            "/v5/system/status",
            {"id": "1", "title": "Upgrade", "state": "scheduled", "begin": "1", "end": 2},
            lambda r: r.system_status(),
            {},
        ),
    ],
)
def test_a_list_is_asked_for_as_documented_and_read_whole(path: str, item: dict[str, Any], call: Call, query: dict[str, str]) -> None:
    found, seen = asked(path, rows(item), call)
    assert len(found) == 1
    assert seen == query


SPAN = {"startTime": str(T0), "endTime": str(T0 + 1_000)}
DEPOSIT = {"id": "7", "coin": "USDT", "amount": "1250.5", "status": 3, "txID": "9ce1", "successAt": "1766728163000"}
INTERNAL = {"id": "8", "coin": "USDT", "amount": "5", "status": 2, "createdTime": "1766728163"}
WITHDRAWAL = {"withdrawId": "9", "coin": "USDT", "amount": "400", "status": "success", "createTime": "1766729329000", "withdrawType": 0}
TRANSFER = {
    "transferId": "t",
    "coin": "USDT",
    "amount": "1",
    "fromAccountType": "FUND",
    "toAccountType": "UNIFIED",
    "timestamp": "1766729329000",
    "status": "SUCCESS",
}
CLOSED = {
    "symbol": "BTCUSDT",
    "orderId": "o",
    "side": "Sell",
    "closedSize": "0.010",
    "closedPnl": "4.12614",
    "updatedTime": "1767003214892",
}


@pytest.mark.parametrize(
    ("path", "item", "key", "call", "query"),
    [
        (
            "/v5/execution/list",
            wire.EXECUTION,
            "list",
            lambda r: r.executions(T0, T0 + 1_000),
            LINEAR | {"settleCoin": "USDT", "limit": "100"},
        ),
        ("/v5/execution/list", wire.EXECUTION, "list", lambda r: r.executions(T0, T0 + 1_000, "BTCUSDT"), BTC | {"limit": "100"}),
        (
            "/v5/order/history",
            wire.ORDER,
            "list",
            lambda r: r.order_history(T0, T0 + 1_000),
            LINEAR | {"settleCoin": "USDT", "limit": "50"},
        ),
        ("/v5/position/closed-pnl", CLOSED, "list", lambda r: r.closed_pnl(T0, T0 + 1_000, "BTCUSDT"), BTC | {"limit": "100"}),
        (
            "/v5/account/transaction-log",
            wire.LOG,
            "list",
            lambda r: r.transaction_log(T0, T0 + 1_000),
            {"accountType": "UNIFIED", "limit": "50"},
        ),
        ("/v5/asset/transfer/query-inter-transfer-list", TRANSFER, "list", lambda r: r.transfers(T0, T0 + 1_000), {"limit": "50"}),
        ("/v5/asset/deposit/query-record", DEPOSIT, "rows", lambda r: r.deposits(T0, T0 + 1_000), {"limit": "50"}),
        ("/v5/asset/deposit/query-internal-record", INTERNAL, "rows", lambda r: r.internal_deposits(T0, T0 + 1_000), {"limit": "50"}),
        (
            "/v5/asset/withdraw/query-record",
            WITHDRAWAL,
            "rows",
            lambda r: r.withdrawals(T0, T0 + 1_000),
            {"withdrawType": "2", "limit": "50"},
        ),
        (
            "/v5/market/open-interest",
            {"openInterest": "52341.117", "timestamp": str(T0)},
            "list",
            lambda r: r.open_interest("BTCUSDT", "1h", T0, T0 + 1_000),
            BTC | {"intervalTime": "1h", "limit": "200"},
        ),
    ],
)
def test_a_history_is_asked_for_by_span_and_read_whole(
    path: str, item: dict[str, Any], key: str, call: Call, query: dict[str, str]
) -> None:
    found, seen = asked(path, ok({key: [item], "nextPageCursor": None}), call)
    assert len(found) == 1
    assert seen == query | SPAN


def test_asset_lists_may_be_null() -> None:
    found, _ = asked("/v5/asset/deposit/query-record", ok({"rows": None, "nextPageCursor": ""}), lambda r: r.deposits(T0, T0))
    assert found == []


def test_pages_are_walked_to_the_end_with_the_cursor_exactly_as_given() -> None:
    cursors = ["132766%3A2%2C132766%3A2", "page_args%3Dfd%26symbol%3D6%26", ""]
    venue = FakeVenue()
    venue.on("/v5/order/realtime", *(rows(wire.ORDER | {"orderId": f"o-{n}"}, cursor=cursor) for n, cursor in enumerate(cursors)))
    found = converse(venue, lambda rest: rest.open_orders())
    assert [order.order_id for order in found] == ["o-0", "o-1", "o-2"]
    queries = [seen.query for seen in venue.asked("/v5/order/realtime")]
    assert queries[1] == f"{queries[0]}&cursor={cursors[0]}"
    assert queries[2] == f"{queries[0]}&cursor={cursors[1]}"


def test_a_cursor_given_twice_is_an_endless_list_and_refused() -> None:
    venue = FakeVenue()
    venue.on("/v5/order/realtime", rows(wire.ORDER, cursor="same"))
    with pytest.raises(UnreadablePayload, match="'same' twice"):
        converse(venue, lambda rest: rest.open_orders())


def test_more_pages_than_can_be_are_refused_and_not_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    venue = FakeVenue()
    venue.on("/v5/order/realtime", *(rows(wire.ORDER, cursor=f"c{n}") for n in range(9)))
    monkeypatch.setattr(rest_pages.all_pages, "__kwdefaults__", rest_pages.all_pages.__kwdefaults__ | {"pages_max": 3})
    with pytest.raises(UnreadablePayload, match="more than 3 pages"):
        converse(venue, lambda rest: rest.open_orders())


def test_a_page_that_cannot_be_had_fails_the_whole_list() -> None:
    venue = FakeVenue()
    venue.on("/v5/execution/list", rows(wire.EXECUTION, cursor="c"), no(10001, "cursor expired"))
    with pytest.raises(InvalidInput, match="cursor expired"):
        converse(venue, lambda rest: rest.executions(T0, T0 + 1))


def test_weeks_tile_a_long_span_and_rows_come_once_oldest_first() -> None:
    def row(exec_id: str, at_ms: int) -> dict[str, Any]:
        return wire.EXECUTION | {"execId": exec_id, "execTime": str(at_ms)}

    venue = FakeVenue()
    first = rows(row("b", T0 + 5), row("a", T0 + 2))
    venue.on("/v5/execution/list", first, rows(row("c", T0 + WEEK_MS), row("b", T0 + 5)), rows())
    found = converse(venue, lambda rest: rest.executions(T0, T0 + 2 * WEEK_MS + 7))
    assert [item.exec_id for item in found] == ["a", "b", "c"]
    spans = [(int(q["startTime"]), int(q["endTime"])) for q in map(fields, venue.asked("/v5/execution/list"))]
    assert spans[0] == (T0, T0 + WEEK_MS - 1)
    assert spans[1] == (T0 + WEEK_MS, T0 + 2 * WEEK_MS - 1)
    assert spans[2] == (T0 + 2 * WEEK_MS, T0 + 2 * WEEK_MS + 7)


@pytest.mark.parametrize("span", [(T0, T0 - 1), (-1, T0)])
def test_a_span_that_runs_backwards_is_refused(span: tuple[int, int]) -> None:
    with pytest.raises(InvalidInput, match="run forward"):
        converse(FakeVenue(), lambda rest: rest.executions(*span))


def kline(start_ms: int) -> list[str]:
    return [str(start_ms), "61010.1", "61025.0", "61001.3", "61020.4", "12.345", "753217.11"]


def test_klines_of_a_long_span_come_in_pages_of_a_thousand_oldest_first() -> None:
    def answer(seen: Seen) -> Say:
        asked_for = fields(seen)
        first, last = int(asked_for["start"]), int(asked_for["end"])
        return ok({"list": [kline(at) for at in range(last - last % 60_000, first - 1, -60_000)]}, time_ms=T0 + 1_500 * 60_000)

    venue = FakeVenue()
    venue.on("/v5/market/kline", answer)
    found = converse(venue, lambda rest: rest.klines("BTCUSDT", MINUTE, T0, T0 + 1_500 * 60_000))
    assert [bar.start_ms for bar in found] == [T0 + n * 60_000 for n in range(1_501)]
    assert [bar.confirm for bar in found] == [True] * 1_500 + [False]
    assert [fields(seen)["limit"] for seen in venue.asked("/v5/market/kline")] == ["1000", "1000"]


def test_the_present_in_data_time_decides_which_bars_are_closed() -> None:
    venue = FakeVenue()
    venue.on("/v5/market/kline", ok({"list": [kline(T0 + 60_000), kline(T0)]}, time_ms=T0 + 10**12))
    found = converse(venue, lambda rest: rest.klines("BTCUSDT", MINUTE, T0, T0 + 60_000), data_now_ms=lambda: T0 + 60_000)
    assert [bar.confirm for bar in found] == [True, False]


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("/v5/market/mark-price-kline", lambda r: r.mark_klines("BTCUSDT", MINUTE, T0, T0)),
        ("/v5/market/index-price-kline", lambda r: r.index_klines("BTCUSDT", MINUTE, T0, T0)),
        ("/v5/market/premium-index-price-kline", lambda r: r.premium_klines("BTCUSDT", MINUTE, T0, T0)),
    ],
)
def test_price_klines_have_five_columns(path: str, call: Call) -> None:
    found, query = asked(path, ok({"list": [kline(T0)[:5]]}, time_ms=T0), call)
    assert (found[0].close, found[0].volume, found[0].confirm) == ("61020.4", None, False)
    assert query["interval"] == "1"


def test_klines_without_an_envelope_time_use_the_venues_clock() -> None:
    venue = FakeVenue()
    venue.on("/v5/market/kline", Say(b'{"retCode":0,"result":{"list":[["%d","1","1","1","1","0","0"]]}}' % T0))

    async def talk(rest: BybitRest) -> bool:
        await rest.caller.measure_clock()
        return (await rest.klines("BTCUSDT", MINUTE, T0, T0))[0].confirm

    assert converse(venue, talk)


def test_book_price_limit_and_trades_are_read() -> None:
    book = {"s": "BTCUSDT", "b": [["61019.90", "3.214"]], "a": [["61020.00", "1.007"]], "ts": T0, "u": 20411377, "seq": 1, "cts": T0}
    found, query = asked("/v5/market/orderbook", ok(book), lambda r: r.orderbook("BTCUSDT", 200))
    assert (found.bids, found.u, query["limit"]) == ((("61019.90", "3.214"),), 20411377, "200")
    limit, _ = asked(
        "/v5/market/price-limit", ok({"symbol": "BTCUSDT", "buyLmt": "62000", "sellLmt": "60000"}), lambda r: r.price_limit("BTCUSDT")
    )
    assert (limit.buy_lmt, limit.sell_lmt) == ("62000", "60000")
    trade = {"execId": "new", "symbol": "BTCUSDT", "price": "1", "size": "2", "side": "Buy", "time": "5"}
    trades, _ = asked("/v5/market/recent-trade", rows(trade, trade | {"execId": "old"}), lambda r: r.recent_trades("BTCUSDT"))
    assert [item.trade_id for item in trades] == ["old", "new"]


def test_funding_is_paged_by_lowering_the_end() -> None:
    def answer(seen: Seen) -> Say:
        first, last = int(fields(seen)["startTime"]), int(fields(seen)["endTime"])
        times = [at for at in range(T0, T0 + 300 * 1_000, 1_000) if first <= at <= last][::-1][:200]
        return rows(*({"symbol": "BTCUSDT", "fundingRate": "0.0001", "fundingRateTimestamp": str(at)} for at in times))

    venue = FakeVenue()
    venue.on("/v5/market/funding/history", answer)
    found = converse(venue, lambda rest: rest.funding_history("BTCUSDT", T0, T0 + 10**9))
    assert [row.funding_ms for row in found] == [T0 + n * 1_000 for n in range(300)]
    assert len(venue.asked("/v5/market/funding/history")) == 2


def test_funding_pages_that_do_not_go_back_are_refused() -> None:
    row = {"symbol": "BTCUSDT", "fundingRate": "0.0001", "fundingRateTimestamp": str(T0 + 50)}
    venue = FakeVenue()
    venue.on("/v5/market/funding/history", rows(*[row] * 200))
    with pytest.raises(UnreadablePayload, match="would never end"):
        converse(venue, lambda rest: rest.funding_history("BTCUSDT", T0, T0 + 100))


def test_a_full_last_page_of_funding_ends_at_the_start() -> None:
    row = {"symbol": "BTCUSDT", "fundingRate": "0.0001", "fundingRateTimestamp": str(T0)}
    venue = FakeVenue()
    venue.on("/v5/market/funding/history", rows(*[row] * 200))
    assert len(converse(venue, lambda rest: rest.funding_history("BTCUSDT", T0, T0 + 100))) == 1


def test_an_interval_of_open_interest_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidInput, match="interval is '2h'"):
        converse(FakeVenue(), lambda rest: rest.open_interest("BTCUSDT", "2h", T0, T0))


IDS = ok({"orderId": "o-1", "orderLinkId": "l-1"})


@pytest.mark.parametrize(
    ("path", "call", "body"),
    [
        ("/v5/order/create", lambda r: r.create_order({"symbol": "BTCUSDT"}), {"symbol": "BTCUSDT"}),
        ("/v5/order/amend", lambda r: r.amend_order({"qty": "2"}, reduces_risk=True), {"qty": "2"}),
        ("/v5/order/cancel", lambda r: r.cancel_order("BTCUSDT", order_link_id="l-1"), BTC | {"orderLinkId": "l-1"}),
        ("/v5/order/cancel", lambda r: r.cancel_order("BTCUSDT", order_id="o-1"), BTC | {"orderId": "o-1"}),
    ],
)
def test_order_requests_carry_their_body_and_bring_the_venues_id(path: str, call: Call, body: dict[str, str]) -> None:
    assert sent(path, IDS, call) == (Taken("o-1"), body)


@pytest.mark.parametrize(
    ("path", "call", "body"),
    [
        ("/v5/order/cancel-all", lambda r: r.cancel_all(), LINEAR | {"settleCoin": "USDT"}),
        ("/v5/order/cancel-all", lambda r: r.cancel_all("BTCUSDT"), BTC),
        ("/v5/order/disconnected-cancel-all", lambda r: r.set_dcp(10), {"product": "DERIVATIVES", "timeWindow": 10}),
        ("/v5/position/set-leverage", lambda r: r.set_leverage("BTCUSDT", 1_000), BTC | {"buyLeverage": "10", "sellLeverage": "10"}),
        ("/v5/position/set-leverage", lambda r: r.set_leverage("BTCUSDT", 1_250), BTC | {"buyLeverage": "12.5", "sellLeverage": "12.5"}),
        ("/v5/position/switch-mode", lambda r: r.set_one_way(), LINEAR | {"coin": "USDT", "mode": 0}),
        ("/v5/position/switch-mode", lambda r: r.set_one_way("BTCUSDT"), BTC | {"mode": 0}),
        (
            "/v5/position/trading-stop",
            lambda r: r.set_trading_stop("BTCUSDT", "59000"),
            BTC | {"tpslMode": "Full", "positionIdx": 0, "stopLoss": "59000", "slTriggerBy": "MarkPrice"},
        ),
        ("/v5/account/set-margin-mode", lambda r: r.set_margin_mode(MarginMode.CROSS), {"setMarginMode": "REGULAR_MARGIN"}),
        ("/v5/account/set-limit-px-action", lambda r: r.set_price_action(clamp=False), LINEAR | {"modifyEnable": False}),
    ],
)
def test_settings_carry_their_body_and_are_taken(path: str, call: Call, body: dict[str, Any]) -> None:
    assert sent(path, ok({}), call) == (Taken(""), body)


@pytest.mark.parametrize(
    ("path", "code", "call"),
    [
        ("/v5/position/set-leverage", 110043, lambda r: r.set_leverage("BTCUSDT", 1_000)),
        ("/v5/position/switch-mode", 110025, lambda r: r.set_one_way()),
        ("/v5/position/trading-stop", 34040, lambda r: r.set_trading_stop("BTCUSDT", "1")),
    ],
)
def test_what_is_so_already_is_success(path: str, code: int, call: Call) -> None:
    assert sent(path, no(code, "not modified"), call)[0] == Taken("")


@pytest.mark.parametrize("ids", [{}, {"order_link_id": "l", "order_id": "o"}])
def test_an_order_is_named_by_exactly_one_id(ids: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="exactly one names an order"):
        converse(FakeVenue(), lambda rest: rest.cancel_order("BTCUSDT", **ids))


@pytest.mark.parametrize("window_s", [2, 301])
def test_a_disconnect_window_outside_the_venues_range_is_refused(window_s: int) -> None:
    with pytest.raises(InvalidInput, match="3 to 300"):
        converse(FakeVenue(), lambda rest: rest.set_dcp(window_s))


def batch(*codes: int) -> Say:
    items = [{"orderId": f"o-{n}" if code == 0 else "", "orderLinkId": f"l-{n}"} for n, code in enumerate(codes)]
    return ok({"list": items}, ext={"list": [{"code": code, "msg": "OK" if code == 0 else "no"} for code in codes]})


def test_every_item_of_a_batch_has_its_own_answer() -> None:
    found, body = sent(
        "/v5/order/create-batch", batch(0, 110007, 10016), lambda r: r.create_batch([{"qty": "1"}, {"qty": "2"}, {"qty": "3"}])
    )
    assert found == [Taken("o-0"), Refused("110007", "no"), Unanswered("10016: no")]
    assert body == {"category": "linear", "request": [{"qty": "1"}, {"qty": "2"}, {"qty": "3"}]}


@pytest.mark.parametrize(
    ("path", "call", "size"),
    [
        ("/v5/order/create-batch", lambda r: r.create_batch([{"qty": "1"}] * 8), 5),
        ("/v5/order/amend-batch", lambda r: r.amend_batch([{"qty": "1"}] * 11), 10),
        ("/v5/order/cancel-batch", lambda r: r.cancel_batch([{"orderId": "o"}] * 8), 6),
    ],
)
def test_a_batch_larger_than_our_share_is_split(path: str, call: Call, size: int) -> None:
    venue = FakeVenue()
    venue.on(path, lambda seen: batch(*[0] * len(seen.data["request"])))
    quick = RequestLimits({group: rule._replace(window_ns=20_000_000) for group, rule in TRADER_LIMITS.items()})
    found = converse(venue, call, limits=quick)
    assert all(isinstance(answer, Taken) for answer in found)
    sizes = [len(seen.data["request"]) for seen in venue.asked(path)]
    assert sizes[0] == size
    assert sum(sizes) == len(found)


@pytest.mark.parametrize(
    "answer",
    [batch(0), ok({"list": [{}, {}]}), ok({"list": [{}, {}]}, ext={"list": [{"code": 0}]}), Say(b"", status=502), ok({"list": 5})],
)
def test_a_batch_answer_that_does_not_fit_leaves_every_item_open(answer: Say) -> None:
    found, _ = sent("/v5/order/create-batch", answer, lambda r: r.create_batch([{"qty": "1"}, {"qty": "2"}]))
    assert len(found) == 2
    assert all(isinstance(item, Unanswered) for item in found)


def test_a_batch_refused_as_a_whole_refuses_every_item() -> None:
    found, _ = sent("/v5/order/create-batch", no(10001, "bad"), lambda r: r.create_batch([{}, {}], reduces_risk=True))
    assert found == [Refused("10001", "bad")] * 2


def test_an_order_is_found_by_its_id_and_only_by_its_id() -> None:
    other = wire.ORDER | {"orderLinkId": "another"}
    older = wire.ORDER | {"updatedTime": "1767000080460", "orderStatus": "Created"}
    found, query = asked(
        "/v5/order/realtime", rows(other, older, wire.ORDER), lambda r: r.find_realtime("BTCUSDT", order_link_id="bot-000124")
    )
    assert (found.order_status, found.order_link_id) == ("New", "bot-000124")
    assert query == BTC | {"orderLinkId": "bot-000124"}
    by_venue_id, _ = asked("/v5/order/history", rows(wire.ORDER), lambda r: r.find_in_history("BTCUSDT", order_id=wire.ORDER["orderId"]))
    assert by_venue_id.order_id == wire.ORDER["orderId"]
    assert asked("/v5/order/history", rows(other), lambda r: r.find_in_history("BTCUSDT", order_link_id="bot-000124"))[0] is None


def test_the_account_the_key_and_the_protection_are_read() -> None:
    info, _ = asked("/v5/account/info", ok(wire.ACCOUNT), lambda r: r.account_info())
    assert info.margin_mode == "REGULAR_MARGIN"
    key, _ = asked("/v5/user/query-api", ok(wire.KEY_INFO), lambda r: r.key_info())
    assert key.permissions["ContractTrade"] == ("Order", "Position")
    dcp, _ = asked(
        "/v5/account/query-dcp-info",
        ok({"dcpInfos": [{"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": "10"}]}),
        lambda r: r.dcp_info(),
    )
    assert dcp[0].time_window == "10"
    wallet, query = asked("/v5/account/wallet-balance", rows(wire.WALLET), lambda r: r.wallet())
    assert (wallet.total_equity, query) == ("9999.68", {"accountType": "UNIFIED"})


def test_a_wallet_without_accounts_is_unknown_and_not_empty() -> None:
    with pytest.raises(UnreadablePayload, match="lists no account"):
        asked("/v5/account/wallet-balance", rows(), lambda r: r.wallet())


def market(venue: FakeVenue, **changes: Say) -> None:
    answers = {
        "/v5/market/instruments-info": rows(wire.INSTRUMENT),
        "/v5/account/fee-rate": rows(wire.FEES),
        "/v5/market/risk-limit": rows(*wire.TIERS, wire.TIERS[0] | {"symbol": "OTHER", "riskLimitValue": "1"}),
        "/v5/market/tickers": rows(wire.TICKER),
    }
    for path, answer in (answers | {f"/v5/{name}": answer for name, answer in changes.items()}).items():
        venue.on(path, answer)


def test_an_instrument_is_made_of_rules_tiers_fees_and_price() -> None:
    venue = FakeVenue()
    market(venue)
    found = converse(venue, lambda rest: rest.instruments(["bybit-linear:BTCUSDT"], valid_from_ns=7))
    assert [(i.instrument_id, i.taker_fee_e8, len(i.tiers), i.valid_from_ns) for i in found] == [("bybit-linear:BTCUSDT", 55_000, 2, 7)]
    assert found[0].price_max_ticks == 2**43 * 20 // found[0].tick_e8


def test_an_instrument_without_a_ticker_is_made_all_the_same() -> None:
    venue = FakeVenue()
    market(venue, **{"market/tickers": rows()})
    assert converse(venue, lambda rest: rest.instruments(["bybit-linear:BTCUSDT"]))[0].price_max_ticks == 19_999_998


def test_an_unknown_contract_is_not_found_and_missing_fees_are_not_assumed() -> None:
    venue = FakeVenue()
    market(venue, **{"market/instruments-info": rows()})
    with pytest.raises(NotFound, match="no linear contract BTCUSDT"):
        converse(venue, lambda rest: rest.instruments(["bybit-linear:BTCUSDT"]))
    without = FakeVenue()
    market(without, **{"account/fee-rate": rows()})
    with pytest.raises(UnreadablePayload, match="fees are never assumed"):
        converse(without, lambda rest: rest.instruments(["bybit-linear:BTCUSDT"]))


def gate(**changes: Any) -> FakeVenue:
    venue = FakeVenue()
    venue.on("/v5/user/query-api", ok(wire.KEY_INFO | changes.get("key", {})))
    venue.on("/v5/account/info", ok(wire.ACCOUNT | changes.get("account", {})))
    venue.on("/v5/position/list", rows(*changes.get("positions", [wire.POSITION])))
    return venue


def test_a_sound_key_and_account_pass_the_gate() -> None:
    assert converse(gate(), lambda rest: rest.check_access(["BTCUSDT"])) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"key": {"permissions": {"ContractTrade": ["Order", "Position"], "Wallet": ["Withdraw"]}}}, "may withdraw"),
        ({"key": {"readOnly": 1}}, "read-only"),
        ({"account": {"unifiedMarginStatus": 1}}, "not a unified"),
        ({"positions": [wire.POSITION | {"positionIdx": 1}]}, "hedge mode"),
    ],
)
def test_the_gate_stays_shut_for_a_key_or_account_that_must_not_trade(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(AccessRefused, match=words):
        converse(gate(**changes), lambda rest: rest.check_access(["BTCUSDT"]))
