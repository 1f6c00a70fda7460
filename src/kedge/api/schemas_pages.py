"""The API's lists, newest first, and what is traded."""

from __future__ import annotations

from pydantic import Field

from kedge.api.schemas_base import Count, Cursor, DecimalText, Document, Time
from kedge.api.schemas_overview import RunInfo
from kedge.api.schemas_rows import Candle, Decision, Fill, Order, Position, Prediction


class OrderPage(Document):
    """Orders, newest first."""

    run_id: str
    items: list[Order]
    next_cursor: Cursor | None


class FillPage(Document):
    """Fills, newest first."""

    run_id: str
    items: list[Fill]
    next_cursor: Cursor | None


class DecisionPage(Document):
    """Decisions, newest first."""

    run_id: str
    items: list[Decision]
    next_cursor: Cursor | None


class PredictionPage(Document):
    """Predictions, newest first."""

    run_id: str
    items: list[Prediction]
    next_cursor: Cursor | None


class CandlePage(Document):
    """Bars, newest first: `cursor` pages to the past."""

    run_id: str
    instrument: str
    interval_s: float
    items: list[Candle]
    next_cursor: Cursor | None


class InstrumentRow(Document):
    """What is traded, on which grid; `price_places` and `qty_places` are decimals to show."""

    instrument: str
    symbol: str
    base: str
    quote: str
    tick: DecimalText
    lot: DecimalText
    price_places: Count
    qty_places: Count
    taker_fee: DecimalText = Field(description="A fraction.")
    maker_fee: DecimalText
    last: DecimalText | None
    last_at: Time | None


class InstrumentList(Document):
    """The run's instruments, ordered by id."""

    run_id: str
    interval_s: float
    items: list[InstrumentRow]


class PositionList(Document):
    """Open positions, ordered by instrument."""

    run_id: str
    as_of: Time | None
    items: list[Position]


class RunPage(Document):
    """Runs of this state folder, newest first."""

    items: list[RunInfo]
    next_cursor: Cursor | None
