"""The API's rows: orders, fills, decisions, predictions, bars, positions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kedge.api.schemas_base import Count, DecimalText, Document, Seq, Sha256, Time


class Order(Document):
    """One order, as far as its story has come. Ages: `updated_at` and `sent_at` are venue time."""

    seq: Seq
    updated_seq: Seq
    sent_at: Time
    updated_at: Time
    client_order_id: str
    venue_order_id: str | None
    decision_id: str
    prediction_id: str | None
    instrument: str
    side: Literal["buy", "sell"]
    kind: Literal["market", "limit"]
    time_in_force: str
    qty: DecimalText = Field(description="The whole quantity that the venue confirmed last; `sent_qty` until an amend came through.")
    filled: DecimalText
    leaves: DecimalText
    limit_price: DecimalText | None = Field(description="The limit that the venue confirmed last; null at the market.")
    sent_qty: DecimalText
    sent_limit_price: DecimalText | None
    asked_qty: DecimalText | None = Field(description="What a change under way asks for; null where it asks for nothing.")
    asked_limit_price: DecimalText | None
    amends: Count = Field(description="How often its quantity or limit became another.")
    trigger_price: DecimalText | None = Field(description="Of a conditional order: the mark at which it may trade.")
    trigger_when: Literal["rises", "falls"] | None = Field(description="Which way the mark has to reach it.")
    average_price: DecimalText | None = Field(description="Of what is filled, rounded half-even to one digit more than the tick.")
    reduce_only: bool
    status: str = Field(
        description="pending_new, waiting, open, pending_amend, pending_cancel, unknown, filled, canceled, rejected or absent"
    )
    is_open: bool
    code: str | None = Field(description="Why it was rejected, or a change of it refused, last.")
    reason: str | None
    slice_no: Count
    attempt: Count
    limits_version: str


class Fill(Document):
    """One trade that happened. What the venue did by itself (liquidation, ADL, a stop that fired) and what was taken over has no order."""

    seq: Seq
    at: Time
    fill_id: str
    client_order_id: str | None
    decision_id: str | None
    prediction_id: str | None
    instrument: str
    side: Literal["buy", "sell"]
    qty: DecimalText
    price: DecimalText
    notional: DecimalText = Field(description="Price x quantity, never negative: `side` says which way.")
    fee: DecimalText
    realised: DecimalText = Field(description="Profit that this fill realised, before its fee.")
    liquidity: Literal["maker", "taker"]
    cause: Literal["trade", "liquidation", "adl", "stop", "adopted"]
    slippage: DecimalText | None = Field(
        description="Cost against the price that its decision saw, positive when paid; null where no decision ordered it."
    )
    slippage_bps: DecimalText | None = Field(description="The same in 1/10000 of what it was worth at that price.")
    slippage_against: Literal["mid", "mark"] | None = Field(description="Which price that was.")
    position_after: DecimalText
    equity_after: DecimalText


class Decision(Document):
    """One thing decided, or refused, with its code and figures.

    `stage` says where: `signal` (a strategy wanted a new target), `limits` (the gate refused an order), `venue` (what the venue said of
    one that is more than its row shows: refused, not changed, waiting, triggered, not answered), `stop` (of a position: wanted, shown,
    gone, unconfirmed), `quotes` (best prices were lost), `books` (ours and the venue's differ; `observed` is ours, `limit` theirs) or
    `risk` (trading was reduced, halted or resumed). `reason` says it in words.
    """

    seq: Seq
    index: Count = Field(description="Its place among the record's decisions.")
    at: Time
    stage: Literal["signal", "limits", "venue", "stop", "quotes", "books", "risk"]
    vetoed: bool
    code: str = Field(examples=["OK", "CONFIDENCE_LOW"])
    observed: str | None
    limit: str | None
    instrument: str | None
    decision_id: str | None
    prediction_id: str | None
    client_order_id: str | None
    strategy: str | None
    exposure: DecimalText | None = Field(description="Wanted signed notional / equity.")
    allowed: DecimalText | None = Field(description="Signed notional / equity that sizing left of it; null where nothing was cut or sized.")
    bound_by: str | None = Field(description="The cap that decided `allowed`.", examples=["trade-risk"])
    target_qty: DecimalText | None
    mark: DecimalText | None
    mid: DecimalText | None = Field(description="Of the quote at hand, exact; null where there was none.")
    confidence: DecimalText | None
    probability: DecimalText | None
    expected_return: DecimalText | None
    horizon_s: float | None
    reason: str | None


class Prediction(Document):
    """What a model said at one bar. The `*_hex` are the exact bits (float64, big-endian)."""

    seq: Seq
    at: Time
    prediction_id: str
    instrument: str
    model_sha256: Sha256
    features_sha256: Sha256
    score: float | None
    score_hex: str
    probability: DecimalText
    probability_hex: str
    expected_return: DecimalText
    horizon_s: float


class Candle(Document):
    """A confirmed bar; volume in the base currency."""

    seq: Seq
    open_at: Time
    close_at: Time
    instrument: str
    open: DecimalText
    high: DecimalText
    low: DecimalText
    close: DecimalText
    volume: DecimalText


class Position(Document):
    """One open position."""

    instrument: str
    side: Literal["long", "short"]
    qty: DecimalText = Field(description="Signed.")
    entry: DecimalText = Field(description="Cost / quantity, rounded half-even to one digit more than the tick.")
    mark: DecimalText | None
    mark_at: Time | None
    notional: DecimalText = Field(description="Signed, at the mark.")
    unrealised: DecimalText
    unrealised_frac: DecimalText | None = Field(description="Of the cost.")
    equity_share: DecimalText | None = Field(description="Notional / equity, signed.")
    stop_wanted: DecimalText | None = Field(description="Where its stop should lie at the venue, by the mark; null where none is wanted.")
    stop_placed: DecimalText | None = Field(description="Where the venue has shown it; null where it shows none.")
    stop_state: Literal["off", "missing", "moving", "placed", "unconfirmed"] = Field(
        description="`off`: this run wants none; `moving`: another one lies there; `unconfirmed`: too late, the position is being closed."
    )
    stop_distance: DecimalText | None = Field(description="From the mark to the stop, as a fraction of the mark; never negative.")
