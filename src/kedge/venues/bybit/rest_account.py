"""Positions, wallet, ledger, account modes, the key itself, and transfers over REST."""

from __future__ import annotations

from kedge.domain.venue import Answer
from kedge.venues.bybit import rest_endpoints as ends
from kedge.venues.bybit.codec import (
    AccountInfo,
    ClosedPnlData,
    DcpInfo,
    DepositData,
    FeeRateData,
    InternalDepositData,
    KeyInfo,
    LogData,
    Page,
    PositionData,
    TransferData,
    UnreadablePayload,
    WalletData,
    WithdrawalData,
    decode,
    encode,
)
from kedge.venues.bybit.codec_account import DcpInfos
from kedge.venues.bybit.limits import Priority
from kedge.venues.bybit.rest_calls import Caller
from kedge.venues.bybit.rest_market import CATEGORY
from kedge.venues.bybit.rest_pages import DAY_MS, all_pages, query_text, windowed
from kedge.venues.bybit.rest_trade import SETTLE_COIN

ONE_WAY, HEDGE = 0, 3


class RestAccount:
    """Position, account, user and asset endpoints; spans in milliseconds, both ends included, lists oldest first."""

    caller: Caller

    async def positions(self, symbol: str | None = None, *, settle_coin: str = SETTLE_COIN) -> list[PositionData]:
        """Positions: of a symbol even where flat, else all that are open."""
        scope = {"symbol": symbol} if symbol else {"settleCoin": settle_coin}
        return await all_pages(self.caller, ends.POSITIONS, query_text(category=CATEGORY, **scope, limit=200), PositionData)

    async def closed_pnl(self, start_ms: int, end_ms: int, symbol: str | None = None) -> list[ClosedPnlData]:
        """Results of closing orders of a span."""
        query = query_text(category=CATEGORY, symbol=symbol, limit=100)
        return await windowed(
            self.caller,
            ends.CLOSED_PNL,
            query,
            ClosedPnlData,
            (start_ms, end_ms),
            lambda row: f"{row.order_id} {row.updated_ms}",
            priority=Priority.IDLE,
        )

    async def set_leverage(self, symbol: str, leverage_e2: int) -> Answer:
        """Set the leverage of both sides; "not modified" is success."""
        text = f"{leverage_e2 // 100}.{leverage_e2 % 100:02d}".rstrip("0").rstrip(".")
        body = {"category": CATEGORY, "symbol": symbol, "buyLeverage": text, "sellLeverage": text}
        return (await self.caller.write(ends.SET_LEVERAGE, encode(body))).answer()

    async def set_one_way(self, symbol: str | None = None, *, coin: str = SETTLE_COIN) -> Answer:
        """Switch a symbol, or all of a coin, to one-way mode; "not modified" is success."""
        scope = {"symbol": symbol} if symbol else {"coin": coin}
        return (await self.caller.write(ends.SWITCH_MODE, encode({"category": CATEGORY, **scope, "mode": ONE_WAY}))).answer()

    async def set_trading_stop(self, symbol: str, stop_loss: str) -> Answer:
        """Put a stop for the whole position, triggered by the mark price; `stop_loss` as price text, "0" removes it."""
        body = {
            "category": CATEGORY,
            "symbol": symbol,
            "tpslMode": "Full",
            "positionIdx": 0,
            "stopLoss": stop_loss,
            "slTriggerBy": "MarkPrice",
        }
        return (await self.caller.write(ends.TRADING_STOP, encode(body), priority=Priority.EXIT)).answer()

    async def wallet(self) -> WalletData:
        """The unified account's money.

        Raises
        ------
        UnreadablePayload
            The venue lists no account.
        """
        envelope = await self.caller.read(ends.WALLET, query_text(accountType="UNIFIED"))
        rows = decode(envelope.result, Page[WalletData], ends.WALLET.path).list
        if not rows:
            raise UnreadablePayload(
                f"{ends.WALLET.path} lists no account", why="the unified account is missing", fix="check the account type"
            )
        return rows[0]

    async def account_info(self) -> AccountInfo:
        """Margin mode and kind of the account."""
        return decode((await self.caller.read(ends.ACCOUNT_INFO)).result, AccountInfo, ends.ACCOUNT_INFO.path)

    async def set_margin_mode(self, mode: str) -> Answer:
        """Set `REGULAR_MARGIN` (cross), `ISOLATED_MARGIN` or `PORTFOLIO_MARGIN` for the account."""
        return (await self.caller.write(ends.SET_MARGIN_MODE, encode({"setMarginMode": mode}))).answer()

    async def set_price_action(self, *, clamp: bool) -> Answer:
        """Whether the venue moves a limit price beyond its bound to the bound, or refuses the order."""
        return (await self.caller.write(ends.SET_PRICE_ACTION, encode({"category": CATEGORY, "modifyEnable": clamp}))).answer()

    async def fee_rates(self, symbol: str | None = None) -> list[FeeRateData]:
        """This account's fees of a symbol or of all."""
        return await all_pages(self.caller, ends.FEE_RATE, query_text(category=CATEGORY, symbol=symbol), FeeRateData)

    async def transaction_log(self, start_ms: int, end_ms: int, *, priority: Priority = Priority.CHECK) -> list[LogData]:
        """Every change of the wallet in a span, of all categories and coins, oldest first, each once."""
        query = query_text(accountType="UNIFIED", limit=50)
        span = (start_ms, end_ms)
        rows = await windowed(self.caller, ends.TRANSACTION_LOG, query, LogData, span, lambda row: row.id, priority=priority)
        return sorted(rows, key=lambda row: row.transaction_ms)

    async def dcp_info(self) -> list[DcpInfo]:
        """Disconnect protection as configured; empty where it is not."""
        return list(decode((await self.caller.read(ends.DCP_INFO)).result, DcpInfos, ends.DCP_INFO.path).dcp_infos)

    async def key_info(self) -> KeyInfo:
        """What the key says of itself."""
        return decode((await self.caller.read(ends.KEY_INFO)).result, KeyInfo, ends.KEY_INFO.path)

    async def transfers(self, start_ms: int, end_ms: int) -> list[TransferData]:
        """Transfers between own accounts."""
        query, span = query_text(limit=50), (start_ms, end_ms)
        return await windowed(self.caller, ends.TRANSFERS, query, TransferData, span, lambda row: row.transfer_id, priority=Priority.IDLE)

    async def deposits(self, start_ms: int, end_ms: int) -> list[DepositData]:
        """Deposits over a chain."""
        return await windowed(
            self.caller,
            ends.DEPOSITS,
            query_text(limit=50),
            DepositData,
            (start_ms, end_ms),
            lambda row: row.id or f"{row.tx_id} {row.coin} {row.amount}",
            priority=Priority.IDLE,
            longest_ms=30 * DAY_MS,
            rows_key=True,
        )

    async def internal_deposits(self, start_ms: int, end_ms: int) -> list[InternalDepositData]:
        """Deposits from other members, off chain."""
        return await windowed(
            self.caller,
            ends.INTERNAL_DEPOSITS,
            query_text(limit=50),
            InternalDepositData,
            (start_ms, end_ms),
            lambda row: row.id,
            priority=Priority.IDLE,
            longest_ms=30 * DAY_MS,
            rows_key=True,
        )

    async def withdrawals(self, start_ms: int, end_ms: int) -> list[WithdrawalData]:
        """Withdrawals on and off chain; a master key only."""
        return await windowed(
            self.caller,
            ends.WITHDRAWALS,
            query_text(withdrawType=2, limit=50),
            WithdrawalData,
            (start_ms, end_ms),
            lambda row: row.withdraw_id,
            priority=Priority.IDLE,
            longest_ms=30 * DAY_MS,
            rows_key=True,
        )
