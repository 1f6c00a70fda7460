"""Executions: why each happened, and that nothing that moved the position is dropped."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.venues.bybit.test_mapping import RECORDS, execution

from kedge.domain.events import OrderFilled
from kedge.domain.orders import FillCause, Liquidity
from kedge.venues.bybit.mapping_fills import KINDS_OF_EXECUTION, MADE_BY_VENUE, POSITION_STOPS, execution_news


def fill(**changed: Any) -> OrderFilled:
    found = execution_news(execution(**changed), RECORDS)
    assert isinstance(found, OrderFilled)
    return found


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"execType": "BustTrade"}, FillCause.LIQUIDATION),
        ({"execType": "AdlTrade"}, FillCause.ADL),
        ({"createType": "CreateByLiq"}, FillCause.LIQUIDATION),
        ({"createType": "CreateByTakeOver_PassThrough"}, FillCause.LIQUIDATION),
        ({"createType": "CreateByAdl_PassThrough"}, FillCause.ADL),
        ({"createType": "CreateByTrailingStop", "stopOrderType": "TrailingStop"}, FillCause.STOP),
        *(({"stopOrderType": word}, FillCause.STOP) for word in sorted(POSITION_STOPS)),
        *(({"createType": word}, cause) for word, cause in MADE_BY_VENUE.items()),
    ],
)
def test_what_the_venue_does_by_itself_says_why_and_carries_no_id(changed: dict[str, Any], cause: FillCause) -> None:
    found = fill(leavesQty="", isMaker=None, **changed)
    assert (found.cause, found.client_order_id, found.leaves_lots, found.liquidity) == (cause, "", 0, Liquidity.TAKER)


@pytest.mark.parametrize("changed", [{"stopOrderType": "Stop", "createType": "CreateByStopOrder"}, {"stopOrderType": "UNKNOWN"}, {}])
def test_orders_that_we_sent_trade_under_our_id(changed: dict[str, Any]) -> None:
    assert (fill(**changed).cause, fill(**changed).client_order_id) == (FillCause.TRADE, "b-1")


@pytest.mark.parametrize("kind", [*(word for word in KINDS_OF_EXECUTION if word not in ("Trade", "BustTrade", "AdlTrade")), "Mystery"])
def test_what_others_do_on_the_account_moves_position_and_money_under_no_id_of_ours(kind: str) -> None:
    found = fill(execType=kind, leavesQty="")
    assert (found.cause, found.client_order_id) == (FillCause.TRADE, "")
    assert (found.qty_lots, found.price_ticks, found.fee_e8) == (10, 610_200, 33_561_000)


def test_a_row_of_an_unknown_kind_without_an_order_is_no_fill_and_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert execution_news(execution(execType="CorporateAction", orderType="UNKNOWN"), RECORDS) is None
    assert "unknown kind CorporateAction" in caplog.text
