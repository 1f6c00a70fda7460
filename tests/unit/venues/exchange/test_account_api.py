"""Account endpoints: the wallet, fees and the log against the venue's own books, and the settings of a unified cross account."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from kedge.domain.units import E8, NS_PER_DAY

from ....builders import AAA, HOUR, T0
from .trading_desk import A, B, Desk, refused, rows

LOG = "/v5/account/transaction-log"


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_wallet_is_the_venues(desk: Desk) -> None:
    desk.buy("15")
    (found,) = rows(desk.get("/v5/account/wallet-balance", accountType="UNIFIED"))
    row = desk.venue.wallet("777001")
    assert Decimal(found["totalEquity"]) == Decimal(row.equity_e8).scaleb(-8)
    assert Decimal(found["coin"][0]["walletBalance"]) == Decimal(row.wallet_e8).scaleb(-8)
    assert found["accountIMRate"] == f"{round(row.position_initial_e8 / row.equity_e8, 4)}"


def test_the_wallet_of_other_coins_is_empty(desk: Desk) -> None:
    (found,) = rows(desk.get("/v5/account/wallet-balance", accountType="UNIFIED", coin="BTC,ETH"))
    assert found["coin"] == []
    (found,) = rows(desk.get("/v5/account/wallet-balance", accountType="UNIFIED", coin="BTC,USDT"))
    assert [coin["coin"] for coin in found["coin"]] == ["USDT"]


@pytest.mark.parametrize("kind", ["", "CONTRACT"])
def test_only_unified_wallets_exist(desk: Desk, kind: str) -> None:
    assert "accountType" in refused(desk.get("/v5/account/wallet-balance", accountType=kind))[1]


def test_the_account_is_unified_and_cross(desk: Desk) -> None:
    found = desk.get("/v5/account/info")["result"]
    assert (found["marginMode"], found["unifiedMarginStatus"], found["dcpStatus"], found["timeWindow"]) == ("REGULAR_MARGIN", 5, "OFF", 0)


def test_fees_are_the_instruments(desk: Desk) -> None:
    (found,) = rows(desk.get("/v5/account/fee-rate", symbol=A))
    assert found == {"symbol": A, "takerFeeRate": "0.00055", "makerFeeRate": "0.0002"}
    assert [row["symbol"] for row in rows(desk.get("/v5/account/fee-rate", category="linear"))] == [A, B]
    assert [row["symbol"] for row in rows(desk.get("/v5/account/fee-rate", baseCoin="BBB"))] == [B]
    assert rows(desk.get("/v5/account/fee-rate", category="spot")) == []


def test_the_log_adds_up_to_the_wallet(desk: Desk) -> None:
    desk.buy("0.5")
    desk.venue.set_funding_rate(AAA, 10_000)
    desk.wait(8 * HOUR)
    desk.order(side="Sell", orderType="Market", qty="0.2", reduceOnly=True)
    desk.venue.transfer("777001", -5 * E8, desk.clock.now_ns)
    found = rows(desk.get(LOG))
    assert [row["type"] for row in found] == ["TRANSFER_OUT", "TRADE", "SETTLEMENT", "TRADE"]
    assert found[0]["cashBalance"] == rows(desk.get("/v5/account/wallet-balance", accountType="UNIFIED"))[0]["totalWalletBalance"]
    for row in found:
        parts = (Decimal(row["cashFlow"]), Decimal(row["funding"] or 0), -Decimal(row["fee"]))
        assert Decimal(row["change"]) == sum(parts)
    assert sum(Decimal(row["change"]) for row in found) == Decimal(found[0]["cashBalance"]) - 10_000
    assert (found[2]["funding"], found[2]["size"], found[2]["side"]) == ("-0.005", "0.500", "Buy")
    assert (found[0]["symbol"], found[0]["side"], found[0]["qty"], found[0]["category"]) == ("", "None", "", "")
    assert found[1]["size"] == "0.300"


@pytest.mark.parametrize(
    ("params", "types"),
    [
        ({"type": "TRADE"}, ["TRADE"]),
        ({"type": "BONUS"}, []),
        ({"currency": "USDT"}, ["TRANSFER_IN", "TRADE"]),
        ({"currency": "BTC"}, []),
        ({"category": "linear"}, ["TRADE"]),
        ({"category": "spot"}, []),
        ({"baseCoin": "AAA"}, ["TRADE"]),
        ({"baseCoin": "BBB"}, []),
        ({"transSubType": "X"}, []),
        ({"accountType": "UNIFIED", "startTime": T0 // 10**6}, ["TRANSFER_IN", "TRADE"]),
        ({"startTime": T0 // 10**6 - 9, "endTime": T0 // 10**6 - 1}, []),
    ],
)
def test_the_log_filters(desk: Desk, params: dict[str, Any], types: list[str]) -> None:
    desk.buy("0.5")
    desk.venue.transfer("777001", E8, T0)
    assert [row["type"] for row in rows(desk.get(LOG, **params))] == types


def test_the_log_is_a_day_long_by_default_and_a_week_at_most(desk: Desk) -> None:
    desk.buy("0.5")
    desk.wait(NS_PER_DAY + 1_000_000)
    assert rows(desk.get(LOG, type="TRADE")) == []
    since = T0 // 10**6
    assert len(rows(desk.get(LOG, startTime=since, type="TRADE"))) == 1
    assert len(rows(desk.get(LOG, startTime=since, endTime=since + 7 * 86_400_000, type="TRADE"))) == 1
    assert refused(desk.get(LOG, startTime=since, endTime=since + 8 * 86_400_000))[0] == 181010
    assert refused(desk.get(LOG, type="GIFT"))[0] == 10001
    assert refused(desk.get(LOG, accountType="FUND"))[0] == 10001


def test_the_log_pages(desk: Desk) -> None:
    for _ in range(5):
        desk.buy("0.1")
    first = desk.get(LOG, limit="3")
    rest = desk.get(LOG, limit="3", cursor=first["result"]["nextPageCursor"])
    ids = [row["id"] for found in (first, rest) for row in rows(found)]
    assert (len(ids), len(set(ids)), rest["result"]["nextPageCursor"]) == (5, 5, "")


def test_cross_is_the_only_margin_mode(desk: Desk) -> None:
    path = "/v5/account/set-margin-mode"
    assert desk.post(path, setMarginMode="REGULAR_MARGIN", leverage="5")["result"] == {"reasons": []}
    refusal = desk.post(path, setMarginMode="ISOLATED_MARGIN")
    assert (refusal["retCode"], refusal["result"]["reasons"][0]["reasonCode"]) == (3400045, "3400045")
    assert refused(desk.post(path, setMarginMode="x"))[0] == 10001


def test_what_may_leave_is_neither_bound_nor_unrealised(desk: Desk) -> None:
    desk.buy("15")
    desk.price(1_100)
    row = desk.venue.wallet("777001")
    assert row.unrealised_e8 > 0
    found = desk.get("/v5/account/withdrawal", coinName="USDT,BTC")["result"]
    assert Decimal(found["availableWithdrawal"]).scaleb(8) == row.available_e8 - row.unrealised_e8
    assert found["availableWithdrawalMap"]["BTC"] == "0"
    assert "coinName" in refused(desk.get("/v5/account/withdrawal"))[1]


def test_limit_prices_are_moved_as_the_venue_is_set(desk: Desk) -> None:
    path = "/v5/account/set-limit-px-action"
    assert desk.get("/v5/account/user-setting-config")["result"]["lpaPerp"] is True
    assert desk.post(path, category="linear", modifyEnable=True)["result"] == {}
    assert refused(desk.post(path, category="linear", modifyEnable=False))[0] == 10001
    assert refused(desk.post(path, category="spot", modifyEnable=True))[0] == 10001
    assert Desk(clamps_prices=False).get("/v5/account/user-setting-config")["result"]["lpaPerp"] is False


def test_nothing_is_borrowed_and_nobody_is_in_a_group(desk: Desk) -> None:
    (coin,) = rows(desk.get("/v5/account/collateral-info"))
    assert (coin["currency"], coin["borrowable"], coin["collateralRatio"]) == ("USDT", False, "1")
    assert rows(desk.get("/v5/account/collateral-info", currency="BTC")) == []
    assert rows(desk.get("/v5/account/borrow-history")) == []
    assert desk.get("/v5/account/smp-group")["result"] == {"smpGroup": 0}


def test_instruments_are_listed_for_the_account_too(desk: Desk) -> None:
    assert [row["symbol"] for row in rows(desk.get("/v5/account/instruments-info", category="linear"))] == [A, B]
