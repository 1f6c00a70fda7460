"""Deposits, withdrawals, transfers and coins over REST: what account and transaction monitoring reads. Nothing here moves money."""

from __future__ import annotations

from kedge.venues.bybit import rest_endpoints as ends
from kedge.venues.bybit.codec import DepositData, InternalDepositData, TransferData, WithdrawalData, decode
from kedge.venues.bybit.codec_account import CoinBalances, CoinQuery, CoinRow, Transferable, Withdrawable
from kedge.venues.bybit.limits import Priority
from kedge.venues.bybit.rest_calls import Caller
from kedge.venues.bybit.rest_pages import DAY_MS, query_text, windowed


class RestAssets:
    """Asset endpoints; spans in milliseconds, both ends included, lists oldest first."""

    caller: Caller

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

    async def coin_balances(self, account_type: str, coin: str) -> CoinBalances:
        """Balances of one of the owner's accounts, `UNIFIED` or `FUND`, in a coin or up to ten with commas."""
        query = query_text(accountType=account_type, coin=coin)
        envelope = await self.caller.read(ends.COIN_BALANCES, query, priority=Priority.IDLE)
        return decode(envelope.result, CoinBalances, ends.COIN_BALANCES.path)

    async def coins(self, coin: str | None = None) -> list[CoinRow]:
        """Coins with their chains, fees and smallest amounts."""
        envelope = await self.caller.read(ends.COIN_INFO, query_text(coin=coin), priority=Priority.IDLE)
        return list(decode(envelope.result, CoinQuery, ends.COIN_INFO.path).rows)

    async def withdrawable(self, coin: str) -> Withdrawable:
        """What could be withdrawn of a coin; a key that may do it is refused at the start."""
        envelope = await self.caller.read(ends.WITHDRAWABLE, query_text(coin=coin), priority=Priority.IDLE)
        return decode(envelope.result, Withdrawable, ends.WITHDRAWABLE.path)

    async def transferable(self, coins: str) -> Transferable:
        """What could be transferred out of the unified account, by coin; several with commas."""
        envelope = await self.caller.read(ends.TRANSFERABLE, query_text(coinName=coins), priority=Priority.IDLE)
        return decode(envelope.result, Transferable, ends.TRANSFERABLE.path)
