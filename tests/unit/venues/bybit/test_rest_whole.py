"""Endpoints beyond daily trading: each request as documented, each documented answer read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import pytest
from tests.unit.venues.bybit.fake_venue import FakeVenue, no, ok, rows
from tests.unit.venues.bybit.rest_desk import converse
from tests.unit.venues.bybit.wire_examples import INSTRUMENT

from kedge.domain.errors import InvalidInput
from kedge.domain.venue import Refused, Taken, Unanswered
from kedge.venues.bybit.codec import UnreadablePayload
from kedge.venues.bybit.requests import Amend, Create, Direction, PositionIdx, StopMode, Trigger
from kedge.venues.bybit.requests_position import MarginMode, PositionMode, TradingStop

Call = Callable[[Any], Any]
ORDER = Create(symbol="BTCUSDT", side=Direction.BUY, qty="0.01", price="60000", order_link_id="c-1")
LINEAR = {"category": "linear"}
BTC = LINEAR | {"symbol": "BTCUSDT"}
RATES = {"orderId": "x", "orderLinkId": "c-1", "preImrE4": 30, "preMmrE4": 21, "postImrE4": 357, "postMmrE4": 294}
BALANCE = {"coin": "USDT", "walletBalance": "7", "transferBalance": "7", "bonus": ""}
CHAIN = {"chainType": "TRC20", "confirmation": "100", "withdrawFee": "1", "depositMin": "0", "withdrawMin": "5", "chain": "TRX"}


@pytest.mark.parametrize(
    ("path", "call", "body"),
    [
        ("/v5/order/create", lambda r: r.create_order(ORDER), BTC | {"qty": "0.01", "price": "60000", "orderLinkId": "c-1"}),
        ("/v5/order/amend", lambda r: r.amend_order(Amend(symbol="BTCUSDT", order_link_id="c-1", qty="0.02")), BTC | {"qty": "0.02"}),
        ("/v5/order/cancel-all", lambda r: r.cancel_all(order_filter="Order"), LINEAR | {"settleCoin": "USDT", "orderFilter": "Order"}),
        ("/v5/order/cancel-all", lambda r: r.cancel_all("BTCUSDT", only_stops=True), BTC | {"stopOrderType": "Stop"}),
        ("/v5/position/set-leverage", lambda r: r.set_leverage("BTCUSDT", 500, 1_000), BTC | {"buyLeverage": "5", "sellLeverage": "10"}),
        ("/v5/position/switch-mode", lambda r: r.set_position_mode(PositionMode.HEDGE, "BTCUSDT"), BTC | {"mode": 3}),
        ("/v5/position/switch-mode", lambda r: r.set_position_mode(PositionMode.HEDGE, coin="USDT"), LINEAR | {"coin": "USDT", "mode": 3}),
        (
            "/v5/position/trading-stop",
            lambda r: r.trading_stop(TradingStop(symbol="BTCUSDT", mode=StopMode.PARTIAL, stop_loss="1.5", size="2")),
            BTC | {"tpslMode": "Partial", "stopLoss": "1.5", "slSize": "2", "slOrderType": "Market", "slTriggerBy": "MarkPrice"},
        ),
        ("/v5/position/add-margin", lambda r: r.add_margin("BTCUSDT", "-10"), BTC | {"margin": "-10", "positionIdx": 0}),
        (
            "/v5/position/set-auto-add-margin",
            lambda r: r.set_auto_add_margin("BTCUSDT", on=True, position=PositionIdx.SHORT),
            BTC | {"autoAddMargin": 1, "positionIdx": 2},
        ),
        ("/v5/position/confirm-pending-mmr", lambda r: r.confirm_pending_mmr("BTCUSDT"), BTC),
        ("/v5/account/set-margin-mode", lambda r: r.set_margin_mode(MarginMode.ISOLATED), {"setMarginMode": "ISOLATED_MARGIN"}),
    ],
)  # fmt: skip
def test_a_write_has_the_documented_body_and_is_taken(path: str, call: Call, body: dict[str, Any]) -> None:
    venue = FakeVenue()
    venue.on(path, ok({"orderId": "o-1"}))
    assert isinstance(converse(venue, call), Taken)
    (seen,) = venue.asked(path)
    assert seen.data.items() >= body.items()


@pytest.mark.parametrize(
    ("path", "answer", "call", "query", "read"),
    [
        (
            "/v5/position/symbol-info", rows({"symbol": "BTCUSDT", "leverage": "10", "positionIdx": 0}),
            lambda r: r.symbol_info("BTCUSDT"), BTC, lambda found: (found[0].leverage, found[0].position_idx) == ("10", 0),
        ),
        (
            "/v5/account/user-setting-config", ok({"lpaSpot": False, "lpaPerp": True, "deltaEnable": False, "smsef": 1}),
            lambda r: r.user_settings(), {}, lambda found: (found.lpa_perp, found.lpa_spot) == (True, False),
        ),
        (
            "/v5/account/instruments-info", rows(INSTRUMENT), lambda r: r.account_instruments(), LINEAR | {"limit": "200"},
            lambda found: found[0].symbol == "BTCUSDT",
        ),
        (
            "/v5/account/withdrawal", ok({"availableWithdrawal": "12.5", "availableWithdrawalMap": {"USDT": "12.5"}}),
            lambda r: r.transferable("USDT"), {"coinName": "USDT"}, lambda found: found.available_withdrawal_map == {"USDT": "12.5"},
        ),
        (
            "/v5/asset/transfer/query-account-coins-balance",
            ok({"accountType": "FUND", "memberId": "1", "balance": [BALANCE]}),
            lambda r: r.coin_balances("FUND", "USDT"), {"accountType": "FUND", "coin": "USDT"},
            lambda found: (found.account_type, found.balance[0].wallet_balance) == ("FUND", "7"),
        ),
        (
            "/v5/asset/coin/query-info", ok({"rows": [{"name": "Tether", "coin": "USDT", "remainAmount": "9", "chains": [CHAIN]}]}),
            lambda r: r.coins("USDT"), {"coin": "USDT"}, lambda found: (found[0].coin, found[0].chains[0].withdraw_fee) == ("USDT", "1"),
        ),
        (
            "/v5/asset/withdraw/withdrawable-amount",
            ok({"limitAmountUsd": "999", "withdrawableAmount": {"FUND": {"coin": "USDT", "withdrawableAmount": "3"}}}),
            lambda r: r.withdrawable("USDT"), {"coin": "USDT"}, lambda got: got.withdrawable_amount["FUND"]["withdrawableAmount"] == "3",
        ),
        (
            "/v5/market/account-ratio",
            rows(*({"symbol": "BTCUSDT", "buyRatio": "0.52", "sellRatio": "0.48", "timestamp": str(at)} for at in (2, 1))),
            lambda r: r.account_ratio("BTCUSDT", "1h"), BTC | {"period": "1h"}, lambda found: [row.timestamp_ms for row in found] == [1, 2],
        ),
    ],
)  # fmt: skip
def test_a_read_asks_as_documented_and_reads_the_documented_answer(
    path: str, answer: Any, call: Call, query: dict[str, str], read: Any
) -> None:
    venue = FakeVenue()
    venue.on(path, answer)
    assert read(converse(venue, call))
    (seen,) = venue.asked(path)
    assert dict(parse_qsl(seen.query)).items() >= query.items()


def test_a_pre_check_tells_the_margin_rates_or_the_refusal() -> None:
    venue = FakeVenue()
    venue.on("/v5/order/pre-check", ok(RATES), no(110007, "ab not enough for new order"))

    async def twice(rest: Any) -> Any:
        return await rest.pre_check(ORDER), await rest.pre_check(ORDER)

    good, bad = converse(venue, twice)
    assert (good.pre_imr_e4, good.post_mmr_e4) == (30, 294)
    assert bad == Refused("110007", "ab not enough for new order")


def test_what_the_venue_does_not_do_is_not_sent() -> None:
    venue = FakeVenue()
    waiting = Create(symbol="BTCUSDT", side=Direction.BUY, qty="1", order_link_id="c", trigger=Trigger(price="1", rises=True))

    async def talk(rest: Any) -> None:
        for call in (
            lambda: rest.pre_check(waiting),
            lambda: rest.amend_batch([Amend(symbol="BTCUSDT", order_link_id="c", trigger_price="2")]),
            lambda: rest.cancel_all(order_filter="Everything"),
            lambda: rest.account_ratio("BTCUSDT", "2h"),
            lambda: rest.set_leverage("BTCUSDT", 0),
        ):
            with pytest.raises(InvalidInput):
                await call()

    converse(venue, talk)
    assert [seen.path for seen in venue.seen if seen.path != "/v5/market/time"] == []


def test_batches_take_typed_requests_and_answer_each() -> None:
    venue = FakeVenue()
    ids = {"list": [{"orderId": "1", "orderLinkId": "c-1"}, {"orderId": "", "orderLinkId": "c-2"}]}
    ext = {"list": [{"code": 0, "msg": "OK"}, {"code": 110007, "msg": "ab not enough"}]}
    venue.on("/v5/order/create-batch", ok(ids, ext=ext))
    venue.on("/v5/order/amend-batch", ok({"list": [{"orderId": "1"}]}, ext={"list": [{"code": 110001, "msg": "gone"}]}))

    async def talk(rest: Any) -> Any:
        made = await rest.create_batch([ORDER, Create(symbol="BTCUSDT", side=Direction.SELL, qty="2", order_link_id="c-2")])
        return made, await rest.amend_batch([Amend(symbol="BTCUSDT", order_id="1", price="2")])

    assert converse(venue, talk) == ([Taken("1"), Refused("110007", "ab not enough")], [Refused("110001", "gone")])
    assert [item["orderLinkId"] for item in venue.asked("/v5/order/create-batch")[0].data["request"]] == ["c-1", "c-2"]


def test_margin_is_added_once_even_where_nobody_answers() -> None:
    venue = FakeVenue()
    venue.on("/v5/position/add-margin", no(10016, "Request timeout"))
    assert isinstance(converse(venue, lambda r: r.add_margin("BTCUSDT", "10")), Unanswered)
    assert len(venue.asked("/v5/position/add-margin")) == 1


def test_a_pre_check_that_cannot_be_read_says_so() -> None:
    venue = FakeVenue()
    venue.on("/v5/order/pre-check", ok({"preImrE4": "many"}))
    with pytest.raises(UnreadablePayload, match="pre-check"):
        converse(venue, lambda r: r.pre_check(ORDER))


def test_a_fatal_answer_is_news_for_a_person_whichever_way_it_came() -> None:
    from kedge.venues.bybit.troubles import Troubles

    told: list[Any] = []
    venue = FakeVenue()
    venue.on("/v5/order/create", no(10005, "Permission denied"))
    venue.on("/v5/account/info", no(33004, "expired"))

    async def talk(rest: Any) -> None:
        rest.caller.troubles = Troubles(told.append)
        answers = await asyncio.gather(*(rest.create_order(ORDER) for _ in range(3)))
        assert {answer.code for answer in answers} == {"10005"}
        assert all("Orders and Positions" in answer.reason for answer in answers)
        with pytest.raises(Exception, match="33004"):
            await rest.account_info()

    converse(venue, talk)
    assert [(one.code, bool(one.fix)) for one in told] == [("10005", True), ("33004", True)]
