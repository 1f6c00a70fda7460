"""Records by hand: an order with its decision, prediction and fill, each a default that a test may override."""

from __future__ import annotations

from typing import Any

from kedge.domain.events import BarClosed, Event, OrderFilled
from kedge.domain.orders import ApprovedOrder, FillCause, Liquidity, OrderIntent, Side
from kedge.domain.outputs import Decided, OrderRefused, OrderSent, Output, Predicted
from kedge.domain.record import Step
from kedge.domain.units import E8, float_hex

from ...builders import AAA, MINUTE, T0, bar, order

MODEL = "e" * 64
FEATURES = "f" * 64


def step(seq: int, event: Event | None = None, *outputs: Output) -> Step:
    return Step(seq=seq, source="test", event=event or bar(seq), outputs=outputs)


def decided(decision_id: str = "run.1", **changes: Any) -> Decided:
    given: dict[str, Any] = {
        "strategy": "model",
        "instrument": AAA,
        "exposure_e8": 10_000_000,
        "target_lots": 1_000,
        "mark_ticks": 1_000,
        "equity_e8": 10_000 * E8,
        "prediction_id": "run.p1",
        "confidence_e8": 61_000_000,
        "expected_return_e8": 200_000,
        "horizon_ns": 4 * MINUTE,
        "reason": "rise likelier than the threshold",
        **changes,
    }
    return Decided(decision_id=decision_id, **given)


def predicted(prediction_id: str = "run.p1", **changes: Any) -> Predicted:
    given: dict[str, Any] = {
        "instrument": AAA,
        "model_sha256": MODEL,
        "features_sha256": FEATURES,
        "score_hex": float_hex(0.25),
        "probability_hex": float_hex(0.61),
        "probability_e8": 61_000_000,
        "expected_return_e8": 200_000,
        "horizon_ns": 4 * MINUTE,
        **changes,
    }
    return Predicted(prediction_id=prediction_id, **given)


def intent(name: str = "order-1", **changes: Any) -> OrderIntent:
    return order(name, **{"decision_id": "run.1", "strategy": "model", **changes})


def sent(one: OrderIntent | None = None, limits_version: str = "limits-v1") -> OrderSent:
    return OrderSent(approved=ApprovedOrder(order=one or intent(), limits_version=limits_version))


def refused(one: OrderIntent | None = None) -> OrderRefused:
    return OrderRefused(order=one or intent(), code="ORDER_TOO_LARGE", observed="16 %", limit="15 %", limits_version="limits-v1")


def fill(fill_id: str = "fill-1", **changes: Any) -> OrderFilled:
    given: dict[str, Any] = {
        "client_order_id": "order-1",
        "instrument": AAA,
        "side": Side.BUY,
        "qty_lots": 1_000,
        "price_ticks": 1_001,
        "fee_e8": 5_505_500,
        "liquidity": Liquidity.TAKER,
        "leaves_lots": 0,
        **changes,
    }
    return OrderFilled(T0 + MINUTE + 1, fill_id, **given)


def liquidation(fill_id: str = "fill-l") -> OrderFilled:
    return fill(fill_id, client_order_id="", side=Side.SELL, cause=FillCause.LIQUIDATION)


def last_bar() -> BarClosed:
    return bar(1, 1_000, high=1_010, low=990, open=995)
