"""The venue's executions into the engine's events: fills with their cause, and settlements of funding. Rules as in `mapping`.

`fee_e8` and `paid_e8` > 0 were paid by us, `position_lots` < 0 is short. Nothing that moved the position is dropped: a block trade, a
moved position, a delivery, and a trade of a kind nobody taught this client are fills without a client id, so that the engine books the
money and then halts on them or takes them over, as it was told for what others do on the account. A row of an unknown kind that belongs
to no order is no trade; its money comes with the transaction log, and a position it may have moved shows when the books are compared.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from kedge.domain.events import FundingSettled, OrderFilled
from kedge.domain.instrument import Instrument
from kedge.domain.orders import FillCause, Liquidity, Side
from kedge.venues.bybit.codec import ExecutionData, UnreadablePayload, money_e8, ns_from_ms, price_ticks, qty_lots
from kedge.venues.bybit.mapping import CATEGORIES, SIDES, needed, record_of, word_of

_LOG: Final = logging.getLogger(__name__)

KINDS_OF_EXECUTION: Final = {
    "Trade": FillCause.TRADE,
    "BustTrade": FillCause.LIQUIDATION,
    "AdlTrade": FillCause.ADL,
    "BlockTrade": FillCause.TRADE,
    "MovePosition": FillCause.TRADE,
    "FutureSpread": FillCause.TRADE,
    "Delivery": FillCause.TRADE,
    "Settle": FillCause.TRADE,
}
"""What a kind of execution is for our books; `Funding` is a settlement and no fill."""

MADE_BY_VENUE: Final = {
    "CreateByLiq": FillCause.LIQUIDATION,
    "CreateByTakeOver_PassThrough": FillCause.LIQUIDATION,
    "CreateByAdl_PassThrough": FillCause.ADL,
    "CreateByTakeProfit": FillCause.STOP,
    "CreateByPartialTakeProfit": FillCause.STOP,
    "CreateByStopLoss": FillCause.STOP,
    "CreateByPartialStopLoss": FillCause.STOP,
    "CreateByTrailingStop": FillCause.STOP,
    "CreateByTrailingProfit": FillCause.STOP,
}
"""Who made the order of a trade, where it was the venue."""

POSITION_STOPS: Final = frozenset(
    {
        "TakeProfit",
        "StopLoss",
        "TrailingStop",
        "PartialTakeProfit",
        "PartialStopLoss",
        "tpslOrder",
        "OcoOrder",
        "MmRateClose",
        "BidirectionalTpslOrder",
    }
)
"""Stops that lie at a position. `Stop` is not among them: it is a conditional order that somebody sent."""


def cause_of(row: ExecutionData) -> FillCause | None:
    """Why an execution happened; None where the row is no trade at all."""
    cause = KINDS_OF_EXECUTION.get(row.exec_type)
    if cause is None:
        is_trade = row.order_type in ("Market", "Limit")
        words = "booked as a fill of nobody's order" if is_trade else "no fill; its money comes with the ledger"
        _LOG.warning("execution %s is of the unknown kind %s: %s", row.exec_id, row.exec_type, words, extra={"event": "unknown_execution"})
        return FillCause.TRADE if is_trade else None
    if row.exec_type != "Trade":
        return cause
    made = MADE_BY_VENUE.get(row.create_type)
    return made or (FillCause.STOP if row.stop_order_type in POSITION_STOPS else FillCause.TRADE)


def execution_news(row: ExecutionData, records: Mapping[str, Instrument]) -> OrderFilled | FundingSettled | None:
    """A fill or a settlement; None for other categories, and for a row that is neither.

    Raises
    ------
    UnreadablePayload
        A word or number that is not understood.
    """
    if row.category not in CATEGORIES:
        return None
    instrument = record_of(row.symbol, records)
    if row.exec_type == "Funding":
        return _funding(row, instrument)
    cause = cause_of(row)
    return None if cause is None else _fill(row, instrument, cause)


def _fill(row: ExecutionData, instrument: Instrument, cause: FillCause) -> OrderFilled:
    ours = cause is FillCause.TRADE and row.exec_type == "Trade"
    leaves = needed(row.leaves_qty, f"leavesQty of {row.exec_id}") if ours else row.leaves_qty or "0"
    if ours and row.is_maker is None:
        raise UnreadablePayload(
            f"isMaker is missing of {row.exec_id}", why="the role of a fill is not guessed", fix="ask the venue again by REST"
        )
    return OrderFilled(
        ns_from_ms(row.exec_ms),
        row.exec_id,
        row.order_link_id if ours else "",
        instrument.instrument_id,
        word_of(SIDES, row.side, f"side of {row.exec_id}"),
        _positive(qty_lots(row.exec_qty, instrument, "execQty"), f"execQty of {row.exec_id}"),
        _positive(price_ticks(row.exec_price, instrument, "execPrice"), f"execPrice of {row.exec_id}"),
        _fee_e8(row, instrument),
        Liquidity.MAKER if row.is_maker else Liquidity.TAKER,
        qty_lots(leaves, instrument, "leavesQty"),
        cause,
    )


def _positive(value: int, field: str) -> int:
    if value < 1:
        raise UnreadablePayload(f"{field} is {value}", why="a fill has a quantity and a price", fix="ask the venue again by REST")
    return value


def _fee_e8(row: ExecutionData, instrument: Instrument) -> int:
    if row.fee_currency not in ("", instrument.quote):
        raise UnreadablePayload(
            f"feeCurrency is {row.fee_currency!r} of {row.exec_id}",
            why=f"fees are booked in {instrument.quote}",
            fix="switch off paying fees in another coin in the account's settings",
        )
    return money_e8(row.exec_fee, "execFee")


def _funding(row: ExecutionData, instrument: Instrument) -> FundingSettled:
    lots = qty_lots(row.exec_qty, instrument, "execQty")
    side = word_of(SIDES, row.side, f"side of {row.exec_id}")
    return FundingSettled(
        ts_ns=ns_from_ms(row.exec_ms),
        instrument=instrument.instrument_id,
        rate_e8=money_e8(needed(row.fee_rate, f"feeRate of {row.exec_id}"), "feeRate"),
        mark_e8=money_e8(row.exec_price, "execPrice"),
        position_lots=lots if side is Side.BUY else -lots,
        paid_e8=_fee_e8(row, instrument),
        funding_id=row.exec_id,
    )
