"""Keys and assets: what a key may do, what moved in and out, what could. Nothing can be deposited or withdrawn here.

An account is one unified wallet in the quote currency; transfers are those the exchange itself made into and out of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from kedge.domain.units import NS_PER_DAY, NS_PER_MS, NS_PER_S
from kedge.simulation.venue_types import LogRow, LogType
from kedge.venues.exchange.api_keys import ApiKey, ApiKeys
from kedge.venues.exchange.codes import Code
from kedge.venues.exchange.routes import ApiError, Call, Result, Routes
from kedge.venues.exchange.routes_params import RefusedCall, limit, text, whole
from kedge.venues.exchange.texts import e8_text

UNIFIED: Final = "UNIFIED"
FUND: Final = "FUND"

_PERMISSION_GROUPS: Final = (
    "ContractTrade", "Spot", "Wallet", "Options", "Derivatives", "CopyTrading", "BlockTrade", "Exchange", "NFT", "Affiliate", "Earn",
    "FiatP2P", "FiatBybitPay", "FiatConvertBroker", "FiatGlobalPay", "FiatBitPay", "BitCard", "ByXPost",
)  # fmt: skip
_TRANSFERS: Final = frozenset({LogType.TRANSFER_IN, LogType.TRANSFER_OUT})
_TRANSFERS_USUAL: Final = 20
_TRANSFERS_MOST: Final = 50
_RANGE_DAYS: Final = 7
_UNBOUND_DAYS: Final = 90
_BOUND: Final = -2
"""`deadlineDay` of a key bound to addresses, which has no end."""


def user_routes(keys: ApiKeys) -> Routes:
    """The table of user and asset endpoints."""
    routes = Routes()
    routes.get("/v5/user/query-api", group="user.query-api", message="")(lambda call: query_api(call, keys))
    routes.get("/v5/asset/coin/query-info", group="asset.coin-info", message="success")(coin_info)
    routes.get("/v5/asset/deposit/query-record", group="asset.deposit", message="success")(no_rows)
    routes.get("/v5/asset/deposit/query-internal-record", group="asset.deposit-internal", message="success")(no_rows)
    routes.get("/v5/asset/withdraw/query-record", group="asset.withdraw", message="success")(no_rows)
    routes.get("/v5/asset/withdraw/withdrawable-amount", group="asset.withdraw", message="success")(withdrawable)
    routes.get("/v5/asset/transfer/query-inter-transfer-list", group="asset.transfer-list", message="success")(transfers)
    routes.get("/v5/asset/transfer/query-account-coins-balance", group="asset.coins-balance", message="success")(coins_balance)
    routes.get("/v5/asset/transfer/query-account-coin-balance", group="asset.coins-balance", message="success")(coin_balance)
    return routes


def query_api(call: Call, keys: ApiKeys) -> Result:
    """GET /v5/user/query-api: the key about itself, without its secret."""
    key = keys.find(call.api_key)
    if key is None:
        return ApiError(Code.API_KEY)
    number = [entry.key for entry in keys].index(key.key) + 1
    user_id = int(key.account) if key.account.isascii() and key.account.isdigit() else 0
    return {
        "id": str(number),
        "note": key.note,
        "apiKey": key.key,
        "readOnly": 1 if key.read_only else 0,
        "secret": "",
        "permissions": permission_map(key),
        "ips": list(key.ips) or ["*"],
        "type": 1,
        "deadlineDay": _deadline_days(key, call.wall_ns),
        "expiredAt": _iso(key.expires_ns),
        "createdAt": _iso(key.created_ns),
        "unified": 0,
        "uta": 1,
        "userID": user_id,
        "inviterID": 0,
        "vipLevel": "No VIP",
        "mktMakerLevel": "0",
        "affiliateID": 0,
        "rsaPublicKey": "",
        "isMaster": True,
        "parentUid": "0",
        "kycLevel": "LEVEL_DEFAULT",
        "kycRegion": "",
        "userIDInt64": str(user_id),
        "inviterIDInt64": "0",
        "affiliateIDInt64": "0",
    }


def permission_map(key: ApiKey) -> dict[str, list[str]]:
    """The key's permissions by group, groups without any included."""
    found: dict[str, list[str]] = {group: [] for group in _PERMISSION_GROUPS}
    for permission in sorted(key.permissions):
        group, _, name = permission.value.partition(".")
        found[group].append(name)
    return found


def coin_info(call: Call) -> Result:
    """GET /v5/asset/coin/query-info: the one coin there is; it has no chains, since none leads here."""
    wanted, coin = text(call.params, "coin"), call.hall.coin
    rows = [{"name": coin, "coin": coin, "remainAmount": "0", "chains": []}]
    return {"rows": rows if wanted in ("", coin) else []}


def no_rows(call: Call) -> Result:
    """Deposits and withdrawals: there are none."""
    limit(call.params, _TRANSFERS_MOST, _TRANSFERS_MOST)
    return {"rows": [], "nextPageCursor": ""}


def withdrawable(call: Call) -> Result:
    """GET /v5/asset/withdraw/withdrawable-amount: nothing can leave."""
    coin = text(call.params, "coin")
    if not coin:
        raise RefusedCall(ApiError.parameter("params error: coin is required"))
    nothing = {"coin": coin, "withdrawableAmount": "0", "availableBalance": "0"}
    return {"limitAmountUsd": "0", "withdrawableAmount": {"FUND": nothing, "UTA": dict(nothing)}}


def transfers(call: Call) -> Result:
    """GET /v5/asset/transfer/query-inter-transfer-list: newest first; times within 7 days of each other."""
    params = call.params
    start, end = _window(params)
    wanted_id, coin, status = text(params, "transferId"), text(params, "coin"), text(params, "status", "SUCCESS")

    def is_wanted(row: LogRow) -> bool:
        return (
            row.type in _TRANSFERS
            and (start is None or row.ts_ns >= start)
            and (end is None or row.ts_ns <= end)
            and wanted_id in ("", _transfer_id(row))
        )

    if coin not in ("", call.hall.coin) or status != "SUCCESS":
        return {"list": [], "nextPageCursor": ""}
    size = limit(params, _TRANSFERS_USUAL, _TRANSFERS_MOST)
    page = call.hall.venue.transaction_log(call.account, whole(params, "cursor"), size, is_wanted)
    cursor = "" if page.next_before is None else str(page.next_before)
    return {"list": [_transfer(row, call.hall.coin) for row in page.rows], "nextPageCursor": cursor}


def coins_balance(call: Call) -> Result:
    """GET /v5/asset/transfer/query-account-coins-balance."""
    kind, account = _account_type(call.params), call.account
    wanted = [coin for coin in text(call.params, "coin").split(",") if coin]
    if kind == UNIFIED and not wanted:
        raise RefusedCall(ApiError.parameter("params error: coin is required for UNIFIED"))
    return {"accountType": kind, "memberId": account, "balance": [_balance(call, kind, coin) for coin in wanted]}


def coin_balance(call: Call) -> Result:
    """GET /v5/asset/transfer/query-account-coin-balance: one coin of one account."""
    kind, coin = _account_type(call.params), text(call.params, "coin")
    if not coin:
        raise RefusedCall(ApiError.parameter("params error: coin is required"))
    balance = _balance(call, kind, coin) | {"transferSafeAmount": "", "ltvTransferSafeAmount": ""}
    return {"accountType": kind, "bizType": 1, "accountId": call.account, "memberId": call.account, "balance": balance}


def _account_type(params: Mapping[str, Any]) -> str:
    kind = text(params, "accountType")
    if kind not in (UNIFIED, FUND):
        raise RefusedCall(ApiError.parameter("params error: accountType invalid"))
    return kind


def _balance(call: Call, kind: str, coin: str) -> dict[str, Any]:
    """Everything stands in the unified wallet; the funding one and other coins are empty."""
    if kind != UNIFIED or coin != call.hall.coin:
        return {"coin": coin, "walletBalance": "0", "transferBalance": "0", "bonus": ""}
    row = call.hall.venue.wallet(call.account)
    free_e8 = max(0, min(row.available_e8, row.available_e8 - row.unrealised_e8))
    return {"coin": coin, "walletBalance": e8_text(row.wallet_e8), "transferBalance": e8_text(free_e8), "bonus": ""}


def _transfer_id(row: LogRow) -> str:
    return f"selfTransfer_{row.account}-{row.number}"


def _transfer(row: LogRow, coin: str) -> dict[str, str]:
    is_in = row.type is LogType.TRANSFER_IN
    return {
        "transferId": _transfer_id(row),
        "coin": coin,
        "amount": e8_text(abs(row.change_e8)),
        "fromAccountType": FUND if is_in else UNIFIED,
        "toAccountType": UNIFIED if is_in else FUND,
        "timestamp": str(row.ts_ns // NS_PER_MS),
        "status": "SUCCESS",
    }


def _window(params: Mapping[str, Any]) -> tuple[int | None, int | None]:
    start, end = whole(params, "startTime"), whole(params, "endTime")
    start_ns, end_ns = None if start is None else start * NS_PER_MS, None if end is None else end * NS_PER_MS
    if start_ns is not None and end_ns is not None and not 0 <= end_ns - start_ns <= _RANGE_DAYS * NS_PER_DAY:
        raise RefusedCall(ApiError.parameter("params error: endTime must be within 7 days after startTime"))
    return start_ns, end_ns


def _deadline_days(key: ApiKey, wall_ns: int) -> int:
    """Days that are left to a key bound to no address."""
    if key.ips:
        return _BOUND
    if key.expires_ns:
        return max(0, (key.expires_ns - wall_ns) // NS_PER_DAY)
    return _UNBOUND_DAYS


def _iso(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
