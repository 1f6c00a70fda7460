"""Rows of one order after the other: amendments and triggers that no single row tells."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.venues.bybit.test_mapping import RECORDS
from tests.unit.venues.bybit.wire_examples import ORDER

from kedge.domain.events import OrderAccepted, OrderAmended, OrderCanceled, OrderTriggered, OrderWaits
from kedge.domain.units import NS_PER_MS
from kedge.venues.bybit import order_rows
from kedge.venues.bybit.codec import OrderData
from kedge.venues.bybit.mapping import UnknownSymbol
from kedge.venues.bybit.order_rows import OrderReader

ID = "bot-000124"


def row(updated_ms: int, **changed: Any) -> OrderData:
    wire = ORDER | {"updatedTime": str(updated_ms), **changed}
    return msgspec.json.decode(msgspec.json.encode(wire), type=OrderData, strict=False)


def told(*rows: OrderData) -> list[list[Any]]:
    reader = OrderReader(RECORDS)
    return [reader.news(one) for one in rows]


def test_an_amendment_is_confirmed_by_the_next_row_of_the_order() -> None:
    first, second, third = told(row(1), row(2, qty="0.008", price="60000.2"), row(3, orderStatus="PartiallyFilled", qty="0.007"))
    assert [type(one) for one in first] == [OrderAccepted]
    assert second[1:] == [OrderAmended(2 * NS_PER_MS, ID, 8, 600_002)]
    assert third == [OrderAmended(3 * NS_PER_MS, ID, 7, 600_001)]


def test_the_same_number_in_another_spelling_is_no_amendment() -> None:
    assert [type(one) for one in told(row(1, price="60000.1"), row(2, price="60000.10", qty="0.0100"))[1]] == [OrderAccepted]


def test_the_bound_of_a_market_order_is_no_limit_that_was_amended() -> None:
    assert (
        told(row(1, orderType="Market", price="61000"), row(2, orderType="Market", price="61001", orderStatus="PartiallyFilled"))[1] == []
    )


def test_a_late_row_amends_nothing_and_the_newer_one_stays_the_measure() -> None:
    found = told(row(1), row(5, price="60000.2"), row(3, price="60000.1"), row(6, price="60000.2"))
    assert [OrderAmended in map(type, one) for one in found] == [False, True, False, False]
    assert [type(one) for one in found[2]] == [OrderAccepted]
    assert told(row(5), row(3, orderStatus="PartiallyFilled"))[1] == []


def test_a_conditional_order_waits_is_amended_and_triggered() -> None:
    waits = {"orderStatus": "Untriggered", "stopOrderType": "Stop", "triggerPrice": "59000"}
    first, second, third, fourth = told(
        row(1, **waits), row(2, **(waits | {"triggerPrice": "59500"})), row(3, triggerPrice="59500"), row(4, triggerPrice="59500")
    )
    assert first == [OrderWaits(1 * NS_PER_MS, ID, ORDER["orderId"])]
    assert second == [OrderWaits(2 * NS_PER_MS, ID, ORDER["orderId"]), OrderAmended(2 * NS_PER_MS, ID, 10, 600_001, 595_000)]
    assert third == [OrderTriggered(3 * NS_PER_MS, ID), OrderAccepted(3 * NS_PER_MS, ID, ORDER["orderId"])]
    assert [type(one) for one in fourth] == [OrderAccepted]


@pytest.mark.parametrize("status", ["Filled", "PartiallyFilled", "New"])
def test_an_order_that_waited_and_trades_was_triggered_though_nobody_said_so(status: str) -> None:
    news = told(row(1, orderStatus="Untriggered"), row(2, orderStatus=status))[1]
    assert news[0] == OrderTriggered(2 * NS_PER_MS, ID)


def test_the_venues_own_word_of_a_trigger_is_told_once() -> None:
    found = told(row(1, orderStatus="Untriggered"), row(2, orderStatus="Triggered"), row(3))
    assert [[type(one) for one in news] for news in found] == [[OrderWaits], [OrderTriggered], [OrderAccepted]]


def test_a_conditional_order_that_is_taken_back_was_never_triggered() -> None:
    assert [type(one) for one in told(row(1, orderStatus="Untriggered"), row(2, orderStatus="Deactivated"))[1]] == [OrderCanceled]


def test_what_a_closed_order_was_is_forgotten() -> None:
    found = told(row(1), row(2, orderStatus="Cancelled"), row(3, price="1"))
    assert [[type(one) for one in news] for news in found] == [[OrderAccepted], [OrderCanceled], [OrderAccepted]]


@pytest.mark.parametrize("changed", [{"orderLinkId": ""}, {"category": "spot"}, {"orderLinkId": "", "orderStatus": "AWordOfTomorrow"}])
def test_orders_of_others_tell_nothing(changed: dict[str, Any]) -> None:
    assert told(row(1, **changed), row(2, price="1", **changed)) == [[], []]


def test_a_change_of_an_order_whose_grid_is_not_known_is_asked_for_and_read_again() -> None:
    records = dict(RECORDS)
    reader = OrderReader(records)
    reader.news(row(1))
    record = records.pop("BTCUSDT")
    with pytest.raises(UnknownSymbol):
        reader.news(row(2, qty="0.009"))
    records["BTCUSDT"] = record
    assert OrderAmended(2 * NS_PER_MS, ID, 9, 600_001) in reader.news(row(2, qty="0.009"))


def test_the_oldest_orders_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_rows, "KEPT_MAX", 2)
    found = told(*(row(1, orderId=name) for name in "abc"), *(row(2, orderId=name, qty="0.009") for name in "cba"))
    assert [OrderAmended in map(type, news) for news in found[3:]] == [True, True, False]


def test_a_trigger_that_is_no_longer_shown_once_it_came_is_no_amendment() -> None:
    waits = {"orderStatus": "Untriggered", "stopOrderType": "Stop", "triggerPrice": "59500"}
    found = told(row(1, **waits), row(2, triggerPrice=""), row(3, triggerPrice="0.00", qty="0.009"))
    assert [type(one) for one in found[1]] == [OrderTriggered, OrderAccepted]
    assert found[2][1:] == [OrderAmended(3 * NS_PER_MS, ID, 9, 600_001)]


def test_an_order_that_is_over_says_how_much_of_it_traded_where_its_symbol_is_known() -> None:
    ((partly,),) = told(row(1, orderStatus="PartiallyFilledCanceled", cumExecQty="0.004"))
    assert isinstance(partly, OrderCanceled)
    assert partly.cum_lots == 4
    ((strange,),) = told(row(1, orderStatus="Cancelled", cumExecQty="0.004", symbol="XYZUSDT"))
    assert isinstance(strange, OrderCanceled)
    assert strange.cum_lots is None
