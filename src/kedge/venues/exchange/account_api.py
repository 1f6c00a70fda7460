"""Account endpoints: wallet, fees, the transaction log, and settings, of which a unified account in cross margin has one choice each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kedge.domain.units import NS_PER_DAY
from kedge.simulation.venue_types import LogRow, LogType
from kedge.venues.exchange.fields import Params, chosen, flag, is_linear, word, wrong
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.market_api_instruments import instruments_info
from kedge.venues.exchange.paging import before, cursor, window
from kedge.venues.exchange.routes import POSITIONS, ApiError, Call, Result, Routes
from kedge.venues.exchange.routes_params import limit, text
from kedge.venues.exchange.rows import EMPTY_PAGE
from kedge.venues.exchange.rows_account import log_rest, wallet_rest
from kedge.venues.exchange.texts import e8_text

ACCOUNT_ROUTES: Final = Routes()
ACCOUNT_ROUTES.get("/v5/account/instruments-info", group="account.instruments-info")(instruments_info)

MARGIN_MODE_FAILED: Final = 3400045
CROSS: Final = "REGULAR_MARGIN"
UNIFIED: Final = {"UNIFIED": "UNIFIED"}

_LOG_TYPES: Final = {"": None, **{kind.value: kind for kind in LogType}}
_OTHER_LOG_TYPES: Final = frozenset(
    {"ADL", "DELIVERY", "INTEREST", "BONUS", "FEE_REFUND", "AIRDROP", "CURRENCY_BUY", "CURRENCY_SELL", "BORROW", "REPAY"}
)
"""Types that clients may ask for and this venue never writes."""


@ACCOUNT_ROUTES.get("/v5/account/wallet-balance", group="account.wallet-balance")
def wallet_balance(call: Call) -> Result:
    """The wallet with its one coin, or without when other coins were asked for."""
    word(call.params, "accountType", UNIFIED)
    coins, hall = text(call.params, "coin"), call.hall
    shown = not coins or hall.coin in coins.split(",")
    return b'{"list":[%b]}' % wallet_rest(hall.venue.wallet(call.account), hall.coin, shown)


@ACCOUNT_ROUTES.get("/v5/account/info", group="account.info")
def info(call: Call) -> Result:
    """What kind of account this is."""
    seconds = call.hall.disconnect_windows_s.get(call.account)
    return {
        "marginMode": CROSS,
        "updatedTime": "",
        "unifiedMarginStatus": 5,
        "dcpStatus": "OFF" if seconds is None else "ON",
        "timeWindow": seconds or 0,
        "smpGroup": 0,
        "isMasterTrader": False,
        "spotHedgingStatus": "OFF",
    }


@ACCOUNT_ROUTES.get("/v5/account/fee-rate", group="account.fee-rate")
def fee_rate(call: Call) -> Result:
    """Fees of a symbol, of a coin's symbols, or of all."""
    hall = call.hall
    if not is_linear(call.params, default="linear"):
        return {"list": []}
    specs = (hall.by_id[name] for name in chosen(call.params, hall, needed=False))
    return {
        "list": [
            {"symbol": spec.venue_symbol, "takerFeeRate": e8_text(spec.taker_fee_e8), "makerFeeRate": e8_text(spec.maker_fee_e8)}
            for spec in specs
        ]
    }


@ACCOUNT_ROUTES.get("/v5/account/transaction-log", group="account.transaction-log")
def transaction_log(call: Call) -> Result:
    """Every change of the wallet, newest first; the last day when no time is sent."""
    params, hall = call.params, call.hall
    if text(params, "accountType"):
        word(params, "accountType", UNIFIED)
    wanted = _log_filter(call)
    found = hall.venue.transaction_log(call.account, before(params), limit(params, 20, 50), wanted)
    items = (log_rest(row, hall.grids.get(row.instrument), hall.coin) for row in found.rows)
    return b'{"nextPageCursor":"%b","list":[%b]}' % (cursor(found.next_before).encode(), b",".join(items))


@ACCOUNT_ROUTES.post("/v5/account/set-margin-mode", group="account.set-margin-mode", permissions=POSITIONS)
def set_margin_mode(call: Call) -> Result:
    """Cross margin is the only mode."""
    mode = word(call.params, "setMarginMode", {name: name for name in (CROSS, "ISOLATED_MARGIN", "PORTFOLIO_MARGIN")})
    if mode == CROSS:
        return {"reasons": []}
    reasons = [{"reasonCode": str(MARGIN_MODE_FAILED), "reasonMsg": f"{mode} is not available: accounts of this venue use {CROSS}"}]
    return ApiError(MARGIN_MODE_FAILED, "Set margin mode failed", {"reasons": reasons})


@ACCOUNT_ROUTES.get("/v5/account/collateral-info", group="account.collateral-info")
def collateral_info(call: Call) -> Result:
    """The one coin, counted whole; nothing can be borrowed."""
    currency = text(call.params, "currency")
    return {"list": [_collateral(call.hall.coin)] if currency in ("", call.hall.coin) else []}


@ACCOUNT_ROUTES.get("/v5/account/borrow-history")
def borrow_history(call: Call) -> Result:
    """Nothing can be borrowed."""
    return EMPTY_PAGE


@ACCOUNT_ROUTES.get("/v5/account/withdrawal", group="account.withdrawal")
def withdrawal(call: Call) -> Result:
    """How much of each named coin may leave the account: what nothing binds and unrealised profit does not lend."""
    hall = call.hall
    names = [name for name in text(call.params, "coinName").split(",") if name]
    if not names:
        raise wrong("coinName", "one or more coins")
    row = hall.venue.wallet(call.account)
    free = max(0, min(row.available_e8, row.available_e8 - row.unrealised_e8))
    amounts = {name: e8_text(free) if name == hall.coin else "0" for name in names}
    return {"availableWithdrawal": amounts[names[0]], "availableWithdrawalMap": amounts}


@ACCOUNT_ROUTES.get("/v5/account/query-dcp-info", group="account.query-dcp-info")
def query_dcp_info(call: Call) -> Result:
    """What disconnection is provided for."""
    seconds = call.hall.disconnect_windows_s.get(call.account)
    return {"dcpInfos": [] if seconds is None else [{"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": str(seconds)}]}


@ACCOUNT_ROUTES.get("/v5/account/smp-group", group="account.smp-group")
def smp_group(call: Call) -> Result:
    """Accounts are in no group: only their own orders count as self-trades."""
    return {"smpGroup": 0}


@ACCOUNT_ROUTES.get("/v5/account/user-setting-config", group="account.user-setting-config")
def user_setting_config(call: Call) -> Result:
    """Whether limit prices beyond the price limit are moved to it."""
    return {"lpaSpot": False, "lpaPerp": _clamps(call.hall), "deltaEnable": False, "smsef": "", "fmsef": ""}


@ACCOUNT_ROUTES.post("/v5/account/set-limit-px-action", group="account.set-limit-px-action", permissions=POSITIONS)
def set_limit_px_action(call: Call) -> Result:
    """The venue treats all accounts alike, so only the choice in force can be made."""
    if not is_linear(call.params):
        raise wrong("category", "linear")
    if flag(call.params, "modifyEnable") is not _clamps(call.hall):
        raise wrong("modifyEnable", "the venue's own choice, which holds for all accounts")
    return {}


def _clamps(hall: Hall) -> bool:
    return hall.venue.settings.clamps_prices


def _log_filter(call: Call) -> Callable[[LogRow], bool]:
    params, hall = call.params, call.hall
    span = window(params, call.now_ns, NS_PER_DAY)
    nothing = not is_linear(params, default="linear") or text(params, "currency") not in ("", hall.coin)
    kind = _log_type(params)
    sub, base, linear_only = text(params, "transSubType"), text(params, "baseCoin"), bool(params.get("category"))
    names = frozenset(chosen({"baseCoin": base}, hall, needed=False))

    def wanted(row: LogRow) -> bool:
        return (
            not nothing
            and span.holds(row.ts_ns)
            and (kind is None or row.type == kind)
            and (not sub or row.sub_type == sub)
            and (row.instrument in names if base or linear_only else True)
        )

    return wanted


def _log_type(params: Params) -> str | None:
    given = text(params, "type")
    return given if given in _OTHER_LOG_TYPES else word(params, "type", _LOG_TYPES)


def _collateral(coin: str) -> dict[str, Any]:
    return {
        "currency": coin,
        "hourlyBorrowRate": "0",
        "maxBorrowingAmount": "0",
        "freeBorrowingLimit": "0",
        "freeBorrowAmount": "0",
        "borrowAmount": "0",
        "otherBorrowAmount": "0",
        "availableToBorrow": "0",
        "borrowable": False,
        "borrowUsageRate": "0",
        "marginCollateral": True,
        "collateralSwitch": True,
        "collateralRatio": "1",
        "freeBorrowingAmount": "",
    }
