"""Wallet, ledger, account modes and the key itself over REST; positions are in `rest_position`, deposits and transfers in `rest_assets`."""

from __future__ import annotations

from kedge.domain.venue import Answer
from kedge.venues.bybit import rest_endpoints as ends
from kedge.venues.bybit.codec import (
    AccountInfo,
    DcpInfo,
    FeeRateData,
    InstrumentData,
    KeyInfo,
    LogData,
    Page,
    UnreadablePayload,
    WalletData,
    decode,
    encode,
)
from kedge.venues.bybit.codec_account import DcpInfos, UserSettings
from kedge.venues.bybit.limits import Priority
from kedge.venues.bybit.requests_position import MarginMode
from kedge.venues.bybit.rest_calls import Caller
from kedge.venues.bybit.rest_market import CATEGORY
from kedge.venues.bybit.rest_pages import all_pages, query_text, windowed


class RestAccount:
    """Account and user endpoints; spans in milliseconds, both ends included, lists oldest first."""

    caller: Caller

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

    async def set_margin_mode(self, mode: MarginMode) -> Answer:
        """Set the margin mode of the whole account; "not modified" is success, and a refusal carries the venue's reasons."""
        return (await self.caller.write(ends.SET_MARGIN_MODE, encode({"setMarginMode": mode.value}))).answer()

    async def set_price_action(self, *, clamp: bool) -> Answer:
        """Whether the venue moves a limit price beyond its bound to the bound, or refuses the order."""
        return (await self.caller.write(ends.SET_PRICE_ACTION, encode({"category": CATEGORY, "modifyEnable": clamp}))).answer()

    async def user_settings(self) -> UserSettings:
        """Whether limit prices out of bounds are clamped, and the like."""
        return decode((await self.caller.read(ends.USER_SETTINGS)).result, UserSettings, ends.USER_SETTINGS.path)

    async def account_instruments(self, symbol: str | None = None) -> list[InstrumentData]:
        """The contracts that this account may trade, over all pages."""
        return await all_pages(
            self.caller, ends.ACCOUNT_INSTRUMENTS, query_text(category=CATEGORY, symbol=symbol, limit=200), InstrumentData
        )

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
        """What the key says of itself. An answer that cannot be read is not shown: it carries the key."""
        envelope = await self.caller.read(ends.KEY_INFO)
        try:
            return decode(envelope.result, KeyInfo, ends.KEY_INFO.path)
        except UnreadablePayload as error:
            raise UnreadablePayload(error.what, why="the answer is not shown, since it holds the key", fix=error.fix) from None
