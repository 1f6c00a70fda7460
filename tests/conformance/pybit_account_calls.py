"""Calls of pybit's HTTP session about the account, its money and its key."""

from __future__ import annotations

from decimal import Decimal

from tests.conformance import truth
from tests.conformance.calls import Calls, Watched
from tests.conformance.loopback import WALLET, Desk
from tests.conformance.pybit_market_calls import PAIR, rows

from kedge.domain.orders import Side
from kedge.domain.units import E8

ACCOUNT = Calls("pybit HTTP, account")


@ACCOUNT.check("get_wallet_balance")
def a_wallet_is_told_field_by_field(desk: Desk, client: Watched) -> None:
    desk.place(Side.BUY, 120)
    desk.place(Side.BUY, 10, 599_000)
    held = desk.wallet()
    (told,) = rows(client.get_wallet_balance(accountType="UNIFIED"))
    assert held.order_initial_e8 > 0 < held.position_initial_e8
    truth.assert_same(told, {**truth.wallet(held), "accountType": "UNIFIED"})
    truth.assert_same(told["coin"][0], {**truth.coin(held), "availableToWithdraw": "", "collateralSwitch": True})
    (without,) = rows(client.get_wallet_balance(accountType="UNIFIED", coin="BTC"))
    assert without["coin"] == []


@ACCOUNT.check("get_fee_rates")
def fees_are_those_that_are_charged(desk: Desk, client: Watched) -> None:
    for row in rows(client.get_fee_rates(category="linear")):
        spec = desk.exchange.specs[row["symbol"]]
        truth.assert_same(row, {"takerFeeRate": truth.money(spec.taker_fee_e8), "makerFeeRate": truth.money(spec.maker_fee_e8)})


@ACCOUNT.check("get_transaction_log")
def the_log_adds_up_to_the_wallet(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    desk.place(Side.BUY, 120)
    desk.place(Side.SELL, 50)
    told = rows(client.get_transaction_log(accountType="UNIFIED", category="linear"))
    held = desk.rows("transaction_log")
    trades = [row for row in held if row.instrument]
    assert [row["type"] for row in told] == ["TRADE"] * len(trades)
    for row, log in zip(told, trades, strict=True):
        truth.assert_same(row, truth.log(log, spec))
        assert Decimal(row["change"]) == Decimal(row["cashFlow"]) + Decimal(row["funding"] or 0) - Decimal(row["fee"])
    assert Decimal(told[0]["cashBalance"]) == truth.money(desk.wallet().wallet_e8)
    assert sum(Decimal(row["change"]) for row in told) == truth.money(desk.wallet().wallet_e8) - WALLET


@ACCOUNT.check("get_account_info")
def the_account_is_unified_and_in_cross_margin(desk: Desk, client: Watched) -> None:
    told = client.get_account_info()["result"]
    truth.assert_same(told, {"marginMode": "REGULAR_MARGIN", "unifiedMarginStatus": 5, "dcpStatus": "OFF", "timeWindow": 0, "smpGroup": 0})


@ACCOUNT.check("set_margin_mode")
def cross_margin_can_be_chosen(desk: Desk, client: Watched) -> None:
    assert client.set_margin_mode(setMarginMode="REGULAR_MARGIN")["result"] == {"reasons": []}


@ACCOUNT.check("get_api_key_information")
def a_key_describes_itself_and_keeps_its_secret(desk: Desk, client: Watched) -> None:
    told = client.get_api_key_information()["result"]
    expected = {"apiKey": desk.key.key, "readOnly": 0, "secret": "", "uta": 1, "userID": int(desk.account), "isMaster": True}
    truth.assert_same(told, expected)
    assert told["permissions"]["ContractTrade"] == ["Order", "Position"]
    assert told["permissions"]["Wallet"] == []
    assert desk.key.secret not in str(told)


@ACCOUNT.check("get_internal_transfer_records")
def transfers_are_those_the_exchange_made(desk: Desk, client: Watched) -> None:
    desk.exchange.ask(lambda venue: venue.transfer(desk.account, 25 * E8, venue.now_ns))
    (told,) = rows(client.get_internal_transfer_records())
    truth.assert_same(told, {"coin": "USDT", "amount": Decimal(25), "fromAccountType": "FUND", "toAccountType": "UNIFIED"})


@ACCOUNT.check("get_coins_balance")
def balances_of_coins_are_the_wallets(desk: Desk, client: Watched) -> None:
    told = client.get_coins_balance(accountType="UNIFIED", coin="USDT,BTC")["result"]["balance"]
    assert [(row["coin"], Decimal(row["walletBalance"])) for row in told] == [("USDT", Decimal(WALLET)), ("BTC", Decimal(0))]


@ACCOUNT.check("get_coin_balance")
def what_can_be_moved_is_what_nothing_binds(desk: Desk, client: Watched) -> None:
    desk.place(Side.BUY, 120)
    held = desk.wallet()
    told = client.get_coin_balance(accountType="UNIFIED", coin="USDT")["result"]["balance"]
    free_e8 = min(held.available_e8, held.available_e8 - held.unrealised_e8)
    truth.assert_same(told, {"walletBalance": truth.money(held.wallet_e8), "transferBalance": truth.money(free_e8)})


@ACCOUNT.check("get_transferable_amount")
def what_can_leave_is_the_same(desk: Desk, client: Watched) -> None:
    told = client.get_transferable_amount(coinName="USDT")["result"]
    assert Decimal(told["availableWithdrawal"]) == truth.money(desk.wallet().available_e8)


@ACCOUNT.check("get_withdrawable_amount")
def nothing_can_be_withdrawn(desk: Desk, client: Watched) -> None:
    told = client.get_withdrawable_amount(coin="USDT")["result"]["withdrawableAmount"]
    assert told["UTA"]["withdrawableAmount"] == told["FUND"]["withdrawableAmount"] == "0"


@ACCOUNT.check("get_coin_info")
def there_is_one_coin(desk: Desk, client: Watched) -> None:
    assert [row["coin"] for row in client.get_coin_info()["result"]["rows"]] == ["USDT"]


@ACCOUNT.check("get_deposit_records")
def there_are_no_deposits(desk: Desk, client: Watched) -> None:
    assert client.get_deposit_records(coin="USDT")["result"] == {"rows": [], "nextPageCursor": ""}


@ACCOUNT.check("get_withdrawal_records")
def there_are_no_withdrawals(desk: Desk, client: Watched) -> None:
    assert client.get_withdrawal_records(coin="USDT")["result"] == {"rows": [], "nextPageCursor": ""}


@ACCOUNT.check("get_collateral_info")
def the_coin_counts_whole(desk: Desk, client: Watched) -> None:
    (told,) = rows(client.get_collateral_info(currency="USDT"))
    truth.assert_same(told, {"currency": "USDT", "collateralRatio": Decimal(1), "borrowAmount": Decimal(0), "marginCollateral": True})


@ACCOUNT.check("get_borrow_history")
def nothing_was_borrowed(desk: Desk, client: Watched) -> None:
    assert rows(client.get_borrow_history()) == []


@ACCOUNT.check("query_dcp_info")
def the_disconnected_are_not_protected_unasked(desk: Desk, client: Watched) -> None:
    assert client.query_dcp_info()["result"] == {"dcpInfos": []}


@ACCOUNT.check("get_smp_group")
def the_account_is_in_no_group(desk: Desk, client: Watched) -> None:
    assert client.get_smp_group()["result"] == {"smpGroup": 0}


@ACCOUNT.check("get_user_setting_config")
def prices_beyond_the_limit_are_moved_to_it(desk: Desk, client: Watched) -> None:
    assert client.get_user_setting_config()["result"]["lpaPerp"] is True
    order_id = client.place_order(**PAIR, side="Buy", orderType="Limit", qty="0.001", price="65000", timeInForce="PostOnly")["result"][
        "orderId"
    ]
    bounds = desk.exchange.ask(lambda venue: venue.price_limits(desk.exchange.specs["BTCUSDT"].instrument_id))
    assert bounds is not None
    assert desk.order(order_id).price_ticks == bounds.buy_max_ticks


@ACCOUNT.check("set_limit_price_action")
def the_choice_in_force_can_be_made(desk: Desk, client: Watched) -> None:
    assert client.set_limit_price_action(category="linear", modifyEnable=True)["result"] == {}


@ACCOUNT.check("get_account_instruments_info")
def an_account_sees_what_is_listed(desk: Desk, client: Watched) -> None:
    assert rows(client.get_account_instruments_info(category="linear")) == rows(client.get_instruments_info(category="linear"))
