"""The venue's positions, wallets and ledger rows into the port's nouns. Rules as in `mapping`: positions are negative when short,
`LedgerEntry.funding_e8` > 0 was received, `fee_e8` > 0 was paid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kedge.domain.instrument import Instrument
from kedge.domain.orders import Side
from kedge.domain.units import E8
from kedge.domain.venue import LedgerEntry, LedgerKind, VenuePosition, VenueWallet
from kedge.venues.bybit.codec import (
    LogData,
    PositionData,
    UnreadablePayload,
    WalletData,
    is_blank,
    money_e8,
    ns_from_ms,
    optional_money_e8,
    qty_lots,
    unset_price_ticks,
)
from kedge.venues.bybit.instruments import instrument_id_of
from kedge.venues.bybit.mapping import SIDES, needed, record_of, word_of

LEDGER_KINDS: Final = {
    "TRADE": LedgerKind.TRADE,
    "SETTLEMENT": LedgerKind.FUNDING,
    "LIQUIDATION": LedgerKind.LIQUIDATION,
    "ADL": LedgerKind.ADL,
    "DELIVERY": LedgerKind.DELIVERY,
    "TRANSFER_IN": LedgerKind.TRANSFER,
    "TRANSFER_OUT": LedgerKind.TRANSFER,
    "CURRENCY_BUY": LedgerKind.CONVERSION,
    "CURRENCY_SELL": LedgerKind.CONVERSION,
    "BONUS": LedgerKind.BONUS,
    "BONUS_RECOLLECT": LedgerKind.BONUS,
    "AIRDROP": LedgerKind.BONUS,
    "INTEREST": LedgerKind.INTEREST,
    "FEE_REFUND": LedgerKind.REFUND,
}
_ENTRY_SLACK_E8: Final = 100
"""How far, per whole unit of base, a cost may lie from the average entry as printed: the text of an average is rounded."""


def venue_position(row: PositionData, records: Mapping[str, Instrument]) -> VenuePosition:
    """One position. Its cost is the venue's position value where that is the entry's, else average entry times size."""
    instrument = record_of(row.symbol, records)
    lots = qty_lots(row.size, instrument, "size")
    sign = 0 if lots == 0 else 1 if word_of(SIDES, row.side, f"side of {row.symbol}") is Side.BUY else -1
    return VenuePosition(
        instrument=instrument.instrument_id,
        position_idx=row.position_idx,
        lots=sign * lots,
        cost_e8=sign * _cost_e8(row, instrument, lots) if lots else 0,
        mark_e8=optional_money_e8(row.mark_price, "markPrice"),
        leverage_e2=None if is_blank(row.leverage) else money_e8(row.leverage or "", "leverage") // (E8 // 100),
        stop_loss_ticks=unset_price_ticks(row.stop_loss, instrument, "stopLoss"),
        ts_ns=ns_from_ms(row.updated_ms),
        only_reduces=bool(row.is_reduce_only),
    )


def _cost_e8(row: PositionData, instrument: Instrument, lots: int) -> int:
    entry_e8 = money_e8(needed(row.entry_text, f"average entry of {row.symbol}"), "average entry")
    size_e8 = lots * instrument.lot_e8
    cost_e8 = (entry_e8 * size_e8 + E8 // 2) // E8
    value_e8 = optional_money_e8(row.position_value, "positionValue")
    slack_e8 = _ENTRY_SLACK_E8 * size_e8 // E8 + 1
    return value_e8 if value_e8 is not None and abs(value_e8 - cost_e8) <= slack_e8 else cost_e8


def venue_wallet(row: WalletData, coin: str, ts_ns: int) -> VenueWallet:
    """The account's money in one coin.

    Raises
    ------
    UnreadablePayload
        The wallet does not list the coin: that is unknown, not zero.
    """
    money = row.coin_named(coin)
    if money is None:
        raise UnreadablePayload(
            f"the wallet lists no {coin}",
            why="the venue leaves out coins the account never held",
            fix=f"transfer {coin} into the unified account",
        )
    return VenueWallet(
        wallet_e8=money_e8(money.wallet_balance, "walletBalance"),
        equity_e8=optional_money_e8(money.equity, "equity"),
        available_e8=optional_money_e8(row.total_available_balance, "totalAvailableBalance"),
        ts_ns=ts_ns,
    )


def ledger_entry(row: LogData) -> LedgerEntry:
    """One change of the wallet; figures the venue leaves blank on rows they do not apply to are 0."""
    return LedgerEntry(
        entry_id=row.id,
        ts_ns=ns_from_ms(row.transaction_ms),
        kind=LEDGER_KINDS.get(row.type, LedgerKind.OTHER),
        word=f"{row.type}/{row.trans_sub_type}" if row.trans_sub_type else row.type,
        instrument=instrument_id_of(row.symbol) if row.symbol else "",
        change_e8=money_e8(row.change, "change"),
        cash_flow_e8=optional_money_e8(row.cash_flow, "cashFlow") or 0,
        funding_e8=optional_money_e8(row.funding, "funding") or 0,
        fee_e8=optional_money_e8(row.fee, "fee") or 0,
        balance_e8=optional_money_e8(row.cash_balance, "cashBalance"),
        fill_id=row.trade_id,
    )
