"""Every REST endpoint we call: path, limit group, what it does, and whether it is signed. The venue's figures for linear contracts.

Rules: shares are the trader's (the guard owns the rest of create and cancel); market endpoints have no limit per account, only
the address's; figures are corrected by the venue's headers while running.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, NamedTuple

from kedge.domain.units import NS_PER_S
from kedge.venues.bybit.codes import Operation
from kedge.venues.bybit.limits import GroupLimit

MAINNET: Final = "https://api.bybit.com"
TESTNET: Final = "https://api-testnet.bybit.com"
DEMO: Final = "https://api-demo.bybit.com"


class Endpoint(NamedTuple):
    """One endpoint; `repeat_safe` where carrying it out twice is the same as once."""

    path: str
    operation: Operation = Operation.READ
    signed: bool = True
    repeat_safe: bool = True

    @property
    def group(self) -> str:
        """The limit group, such as `order.create`."""
        return self.path.removeprefix("/v5/").replace("/", ".")


def _market(name: str) -> Endpoint:
    return Endpoint(f"/v5/market/{name}", signed=False)


TIME: Final = _market("time")
KLINE: Final = _market("kline")
MARK_KLINE: Final = _market("mark-price-kline")
INDEX_KLINE: Final = _market("index-price-kline")
PREMIUM_KLINE: Final = _market("premium-index-price-kline")
INSTRUMENTS: Final = _market("instruments-info")
ORDERBOOK: Final = _market("orderbook")
TICKERS: Final = _market("tickers")
FUNDING_HISTORY: Final = _market("funding/history")
RECENT_TRADES: Final = _market("recent-trade")
OPEN_INTEREST: Final = _market("open-interest")
RISK_LIMIT: Final = _market("risk-limit")
ACCOUNT_RATIO: Final = _market("account-ratio")
PRICE_LIMIT: Final = _market("price-limit")
SYSTEM_STATUS: Final = Endpoint("/v5/system/status", signed=False)

CREATE: Final = Endpoint("/v5/order/create", Operation.CREATE, repeat_safe=False)
AMEND: Final = Endpoint("/v5/order/amend", Operation.AMEND, repeat_safe=False)
CANCEL: Final = Endpoint("/v5/order/cancel", Operation.CANCEL)
CANCEL_ALL: Final = Endpoint("/v5/order/cancel-all", Operation.CANCEL)
CREATE_BATCH: Final = Endpoint("/v5/order/create-batch", Operation.CREATE, repeat_safe=False)
AMEND_BATCH: Final = Endpoint("/v5/order/amend-batch", Operation.AMEND, repeat_safe=False)
CANCEL_BATCH: Final = Endpoint("/v5/order/cancel-batch", Operation.CANCEL)
REALTIME: Final = Endpoint("/v5/order/realtime")
HISTORY: Final = Endpoint("/v5/order/history")
EXECUTIONS: Final = Endpoint("/v5/execution/list")
PRE_CHECK: Final = Endpoint("/v5/order/pre-check", Operation.SET)
SET_DCP: Final = Endpoint("/v5/order/disconnected-cancel-all", Operation.SET)

POSITIONS: Final = Endpoint("/v5/position/list")
CLOSED_PNL: Final = Endpoint("/v5/position/closed-pnl")
SYMBOL_INFO: Final = Endpoint("/v5/position/symbol-info")
ADD_MARGIN: Final = Endpoint("/v5/position/add-margin", Operation.SET, repeat_safe=False)
AUTO_ADD_MARGIN: Final = Endpoint("/v5/position/set-auto-add-margin", Operation.SET)
CONFIRM_MMR: Final = Endpoint("/v5/position/confirm-pending-mmr", Operation.SET)
SET_LEVERAGE: Final = Endpoint("/v5/position/set-leverage", Operation.SET)
SWITCH_MODE: Final = Endpoint("/v5/position/switch-mode", Operation.SET)
TRADING_STOP: Final = Endpoint("/v5/position/trading-stop", Operation.SET)

WALLET: Final = Endpoint("/v5/account/wallet-balance")
ACCOUNT_INFO: Final = Endpoint("/v5/account/info")
FEE_RATE: Final = Endpoint("/v5/account/fee-rate")
TRANSACTION_LOG: Final = Endpoint("/v5/account/transaction-log")
DCP_INFO: Final = Endpoint("/v5/account/query-dcp-info")
SET_MARGIN_MODE: Final = Endpoint("/v5/account/set-margin-mode", Operation.SET)
SET_PRICE_ACTION: Final = Endpoint("/v5/account/set-limit-px-action", Operation.SET)

USER_SETTINGS: Final = Endpoint("/v5/account/user-setting-config")
ACCOUNT_INSTRUMENTS: Final = Endpoint("/v5/account/instruments-info")
TRANSFERABLE: Final = Endpoint("/v5/account/withdrawal")

KEY_INFO: Final = Endpoint("/v5/user/query-api")
TRANSFERS: Final = Endpoint("/v5/asset/transfer/query-inter-transfer-list")
DEPOSITS: Final = Endpoint("/v5/asset/deposit/query-record")
INTERNAL_DEPOSITS: Final = Endpoint("/v5/asset/deposit/query-internal-record")
WITHDRAWALS: Final = Endpoint("/v5/asset/withdraw/query-record")
COIN_BALANCES: Final = Endpoint("/v5/asset/transfer/query-account-coins-balance")
COIN_INFO: Final = Endpoint("/v5/asset/coin/query-info")
WITHDRAWABLE: Final = Endpoint("/v5/asset/withdraw/withdrawable-amount")

_MINUTE_NS: Final = 60 * NS_PER_S


TRADER_ADDRESS_LIMIT: Final = 400
"""The trader's share of the 600 HTTP requests that the venue takes from one address in 5 s."""

GUARD_ADDRESS_LIMIT: Final = 200
"""The guard's share of them, for both may run on one host."""


def _share(limit: int, window_ns: int = NS_PER_S) -> GroupLimit:
    return GroupLimit(limit, limit * 8 // 10, 0, window_ns)


TRADER_LIMITS: Final = MappingProxyType(
    {
        CREATE.group: GroupLimit(10, 7, exit_room=2),
        AMEND.group: GroupLimit(10, 10),
        CANCEL.group: GroupLimit(10, 6, exit_room=1),
        CREATE_BATCH.group: GroupLimit(10, 7, exit_room=2),
        AMEND_BATCH.group: GroupLimit(10, 10),
        CANCEL_BATCH.group: GroupLimit(10, 6, exit_room=1),
        CANCEL_ALL.group: GroupLimit(10, 6, exit_room=1),
        SET_DCP.group: _share(5),
        TRADING_STOP.group: GroupLimit(10, 7, exit_room=2),
        SET_LEVERAGE.group: _share(10),
        SWITCH_MODE.group: _share(10),
        SET_MARGIN_MODE.group: _share(5),
        SET_PRICE_ACTION.group: _share(10),
        ADD_MARGIN.group: _share(10),
        AUTO_ADD_MARGIN.group: _share(10),
        CONFIRM_MMR.group: _share(10),
        PRE_CHECK.group: _share(10),
        ACCOUNT_INSTRUMENTS.group: _share(10),
        COIN_BALANCES.group: _share(5),
        COIN_INFO.group: _share(5),
        KEY_INFO.group: _share(10),
        FEE_RATE.group: GroupLimit(5, 3),
        DCP_INFO.group: _share(5),
        TRANSACTION_LOG.group: GroupLimit(25, 13),
        TRANSFERS.group: _share(60, _MINUTE_NS),
        DEPOSITS.group: _share(100, _MINUTE_NS),
        INTERNAL_DEPOSITS.group: _share(300),
        WITHDRAWALS.group: _share(300, _MINUTE_NS),
        **{e.group: GroupLimit(50, 35) for e in (REALTIME, EXECUTIONS)},
        **{e.group: GroupLimit(50, 25) for e in (POSITIONS, WALLET)},
        **{e.group: _share(50) for e in (HISTORY, CLOSED_PNL, ACCOUNT_INFO, USER_SETTINGS, TRANSFERABLE)},
    }
)
"""The trader's shares: create 7, cancel 6 and amend 10 of 10 a second, four fifths of the reads, and less of those that the guard repeats,
whose plan uses hardly more than half of its own shares. Exits create and cancel, they never amend: no room is kept there."""

GUARD_LIMITS: Final = MappingProxyType(
    {
        name: GroupLimit(rule.limit, max(1, rule.limit - rule.own), 0, rule.window_ns)
        for name, rule in TRADER_LIMITS.items()
        if rule.own < rule.limit
    }
)
"""The guard's shares: what the trader's leave, create 3 and cancel 4 of 10 a second, half of positions and wallet, a fifth of the reads
and more. It never amends."""
