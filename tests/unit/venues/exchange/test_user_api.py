"""Keys about themselves, transfers and balances; deposits and withdrawals that never were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.venues.exchange.http_examples import ACCOUNT, KEY, START_NS, WALL_NS, Exchange, StillClock, feed, make_hall, with_exchange

from kedge.domain.units import E8, NS_PER_DAY, NS_PER_MS
from kedge.venues.exchange.api_keys import TRADING, ApiKey, ApiKeys
from kedge.venues.exchange.codes import Code
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.routes import Call, Permission
from kedge.venues.exchange.user_api import query_api

TRANSFERS = "/v5/asset/transfer/query-inter-transfer-list"
BALANCES = "/v5/asset/transfer/query-account-coins-balance"
BALANCE = "/v5/asset/transfer/query-account-coin-balance"


def transferred(*dollars: int) -> Any:
    """A setup that moves these amounts in or out, a millisecond apart."""

    def setup(hall: Hall, clock: StillClock) -> None:
        feed(hall, clock, 60_000)
        for amount in dollars:
            clock.venue += NS_PER_MS
            hall.venue.transfer(ACCOUNT, amount * E8, clock.venue)

    return setup


def described(key: ApiKey, *, wall_ns: int = WALL_NS) -> dict[str, Any]:
    hall, _ = make_hall()
    answer = query_api(Call(hall, key.account, {}, START_NS, wall_ns, key.key), ApiKeys([key]))
    assert isinstance(answer, dict)
    return answer


def test_a_key_describes_itself_without_its_secret() -> None:
    async def body(exchange: Exchange) -> None:
        envelope = await exchange.get("/v5/user/query-api", signed=True)
        result = envelope["result"]
        assert envelope["retMsg"] == ""
        assert (result["apiKey"], result["secret"], result["readOnly"], result["uta"], result["userID"]) == ("KEY", "", 0, 1, 777001)
        assert result["permissions"]["ContractTrade"] == ["Order", "Position"]
        assert result["permissions"]["Wallet"] == []
        assert result["note"] == "trader"
        assert result["createdAt"] == "2027-01-15T08:00:00Z"
        assert KEY.secret not in json.dumps(envelope)

    with_exchange(body)


def test_permissions_and_reading_only_are_told_as_they_are() -> None:
    told = described(
        ApiKey(key="K", secret="S", account="main", permissions=TRADING | {Permission.WITHDRAW, Permission.WALLET}, read_only=True)
    )
    assert told["readOnly"] == 1
    assert told["permissions"]["Wallet"] == ["AccountTransfer", "Withdraw"]
    assert told["userID"] == 0


@pytest.mark.parametrize(
    ("ips", "expires_ns", "addresses", "days"),
    [
        (("10.0.0.1",), 0, ["10.0.0.1"], -2),
        ((), 0, ["*"], 90),
        ((), WALL_NS + 3 * NS_PER_DAY + 1, ["*"], 3),
        ((), WALL_NS - NS_PER_DAY, ["*"], 0),
    ],
)
def test_unbound_keys_tell_how_many_days_are_left(ips: tuple[str, ...], expires_ns: int, addresses: list[str], days: int) -> None:
    told = described(ApiKey(key="K", secret="S", account="1", ips=ips, expires_ns=expires_ns))
    assert (told["ips"], told["deadlineDay"]) == (addresses, days)


def test_a_key_that_was_removed_meanwhile_is_invalid() -> None:
    hall, _ = make_hall()
    answer = query_api(Call(hall, ACCOUNT, {}, START_NS, WALL_NS, "GONE"), ApiKeys())
    assert getattr(answer, "code", None) == Code.API_KEY


def test_nothing_of_an_account_is_told_without_a_signature() -> None:
    async def body(exchange: Exchange) -> None:
        for path in ("/v5/user/query-api", "/v5/asset/coin/query-info", TRANSFERS, BALANCES, BALANCE):
            assert (await exchange.get(path))["retCode"] == Code.PARAMETER

    with_exchange(body)


def test_there_is_one_coin_and_no_way_in_or_out() -> None:
    async def body(exchange: Exchange) -> None:
        coins = await exchange.result("/v5/asset/coin/query-info", signed=True)
        assert coins == {"rows": [{"name": "USDT", "coin": "USDT", "remainAmount": "0", "chains": []}]}
        assert await exchange.result("/v5/asset/coin/query-info", "coin=BTC", signed=True) == {"rows": []}
        for path in ("deposit/query-record", "deposit/query-internal-record", "withdraw/query-record"):
            assert await exchange.result(f"/v5/asset/{path}", "limit=50", signed=True) == {"rows": [], "nextPageCursor": ""}
        amount = await exchange.result("/v5/asset/withdraw/withdrawable-amount", "coin=USDT", signed=True)
        assert amount["withdrawableAmount"]["UTA"] == {"coin": "USDT", "withdrawableAmount": "0", "availableBalance": "0"}
        assert (await exchange.refusal("/v5/asset/withdraw/withdrawable-amount", signed=True))[0] == Code.PARAMETER

    with_exchange(body)


def test_transfers_are_the_exchanges_own_newest_first() -> None:
    async def body(exchange: Exchange) -> None:
        result = await exchange.result(TRANSFERS, signed=True)
        assert [(row["amount"], row["fromAccountType"], row["toAccountType"]) for row in result["list"]] == [
            ("250", "UNIFIED", "FUND"),
            ("1000", "FUND", "UNIFIED"),
        ]
        assert {row["status"] for row in result["list"]} == {"SUCCESS"}
        assert [int(row["timestamp"]) for row in result["list"]] == [START_NS // NS_PER_MS + 2, START_NS // NS_PER_MS + 1]
        only = await exchange.result(TRANSFERS, f"transferId={result['list'][1]['transferId']}", signed=True)
        assert only["list"] == result["list"][1:]

    with_exchange(body, setup=transferred(1000, -250))


def test_transfers_are_paged_and_bounded_by_time() -> None:
    first_ms = START_NS // NS_PER_MS + 1

    async def body(exchange: Exchange) -> None:
        async def amounts(query: str) -> tuple[list[str], str]:
            result = await exchange.result(TRANSFERS, query, signed=True)
            return [row["amount"] for row in result["list"]], result["nextPageCursor"]

        rows, cursor = await amounts("limit=2")
        assert rows == ["3", "2"]
        assert await amounts(f"limit=2&cursor={cursor}") == (["1"], "")
        assert await amounts(f"startTime={first_ms}&endTime={first_ms}") == (["1"], "")
        assert await amounts("coin=BTC") == ([], "")
        assert await amounts("status=PENDING") == ([], "")
        assert await amounts("coin=USDT&status=SUCCESS&limit=1000") == (["3", "2", "1"], "")

    with_exchange(body, setup=transferred(1, 2, 3))


def test_a_range_past_seven_days_or_backwards_is_refused() -> None:
    async def body(exchange: Exchange) -> None:
        for query in (f"startTime=0&endTime={7 * 86_400_000 + 1}", "startTime=2&endTime=1"):
            assert (await exchange.refusal(TRANSFERS, query, signed=True))[0] == Code.PARAMETER

    with_exchange(body)


def test_the_unified_wallet_holds_everything() -> None:
    async def body(exchange: Exchange) -> None:
        result = await exchange.result(BALANCES, "accountType=UNIFIED&coin=USDT,BTC", signed=True)
        assert result["memberId"] == ACCOUNT
        assert result["balance"] == [
            {"coin": "USDT", "walletBalance": "10500", "transferBalance": "10500", "bonus": ""},
            {"coin": "BTC", "walletBalance": "0", "transferBalance": "0", "bonus": ""},
        ]
        funding = await exchange.result(BALANCE, "accountType=FUND&coin=USDT", signed=True)
        assert funding["balance"]["walletBalance"] == "0"
        unified = await exchange.result(BALANCE, "accountType=UNIFIED&coin=USDT", signed=True)
        assert unified["balance"]["walletBalance"] == "10500"

    with_exchange(body, setup=transferred(500))


@pytest.mark.parametrize(
    ("path", "query"), [(BALANCES, "accountType=SPOT"), (BALANCES, "accountType=UNIFIED"), (BALANCE, "accountType=FUND"), (BALANCE, "")]
)
def test_balances_want_a_known_account_and_a_coin(path: str, query: str) -> None:
    async def body(exchange: Exchange) -> None:
        assert (await exchange.refusal(path, query, signed=True))[0] == Code.PARAMETER

    with_exchange(body)


def test_the_recorded_key_has_no_member_that_ours_lacks(data_folder: Path) -> None:
    recorded = json.loads((data_folder / "fixtures" / "bybit-v5" / "nautilus" / "http_get_user_query_api.json").read_text())["result"]
    ours = described(KEY)
    assert {name: type(value) for name, value in recorded.items()} == {name: type(ours.get(name)) for name in recorded}
    assert recorded["permissions"].keys() == ours["permissions"].keys()
