"""From one folded step to rows made for reading: bars, predictions, decisions, orders and fills, with text on the instrument's grid.

Called after the engine has folded the step, so that statuses, positions and money are the engine's own. Text is made here, at the time of
the fact: a grid that changes later leaves what was written before as it was.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from kedge.domain.events import (
    BarClosed,
    OrderAccepted,
    OrderAmended,
    OrderAmendRefused,
    OrderCanceled,
    OrderFilled,
    OrderProvenAbsent,
    OrderRejected,
    OrderTriggered,
    OrderUnanswered,
    OrderWaits,
)
from kedge.domain.orders import ApprovedOrder
from kedge.domain.outputs import (
    AlertRaised,
    AmendSent,
    CancelSent,
    Decided,
    OrderRefused,
    OrderSent,
    Output,
    Predicted,
    RiskStateChanged,
    StopWanted,
)
from kedge.domain.record import Step
from kedge.engine.state import EngineState
from kedge.kernel.account import EQUITY
from kedge.services.replica_news import RISK, Line, alert_line, line_of, stop_line
from kedge.services.replica_rows import bring_up, sent_row, slippage_of
from kedge.services.replica_store import ReplicaStore, RiskChange
from kedge.services.replica_text import Grid, e8_text, span_s, time_text

ORDER_EVENTS: Final = (
    OrderAccepted, OrderWaits, OrderTriggered, OrderAmended, OrderAmendRefused, OrderRejected, OrderCanceled, OrderUnanswered,
    OrderProvenAbsent, OrderFilled,
)  # fmt: skip
SIGNAL, LIMITS = "signal", "limits"
OK: Final = "OK"
BARE: Final[dict[str, Any]] = dict.fromkeys(
    (
        "observed", "limit", "instrument", "decision_id", "prediction_id", "client_order_id", "strategy", "exposure", "allowed",
        "bound_by", "target_qty", "mark", "mid", "confidence", "probability", "expected_return", "horizon_s", "reason",
    )
)  # fmt: skip


def as_json(value: Any) -> bytes:
    """A row's document as stored and sent."""
    return msgspec.json.encode(value)


class Views:
    """Writes the rows of one run.

    Attributes
    ----------
    risk : RiskChange or None
        The last change of the risk state.
    prediction_seq : int or None
        The record of the last prediction.
    """

    def __init__(self, store: ReplicaStore, state: EngineState) -> None:
        self._store, self._state = store, state
        self._grids = {slot.instrument: Grid(slot.spec) for slot in state.by_index}
        self._part = 0
        self.risk: RiskChange | None = None
        self.prediction_seq: int | None = None

    def grid(self, instrument: str) -> Grid:
        """The grid of an instrument now."""
        grid, spec = self._grids[instrument], self._state.slots[instrument].spec
        if grid.spec is not spec:
            grid = self._grids[instrument] = Grid(spec)
        return grid

    def _known_grid(self, instrument: str) -> Grid | None:
        return self.grid(instrument) if instrument in self._grids else None

    def after(self, step: Step, realised_e8: int, booked: bool) -> None:
        """Write what a step means.

        Parameters
        ----------
        realised_e8 : int
            By how much the step moved the realised profit.
        booked : bool
            Whether it booked a fill.
        """
        event, seq, ts_ns = step.event, step.seq, self._state.ts_ns
        self._part = 0
        if type(event) is BarClosed:
            self._bar(seq, event)
        else:
            order = self._reported(seq, ts_ns, event) if isinstance(event, ORDER_EVENTS) else None
            if booked and isinstance(event, OrderFilled):
                self._fill(seq, event, realised_e8)
            self._line(seq, ts_ns, line_of(event, self._known_grid, order))
        for output in step.outputs:
            self._output(seq, ts_ns, output)

    def _output(self, seq: int, ts_ns: int, output: Output) -> None:
        if isinstance(output, Predicted):
            self._predicted(seq, ts_ns, output)
        elif isinstance(output, Decided):
            self._decided(seq, ts_ns, output)
        elif isinstance(output, OrderSent):
            self._sent(seq, ts_ns, output.approved)
        elif isinstance(output, OrderRefused):
            self._refused(seq, ts_ns, output)
        elif isinstance(output, StopWanted):
            self._line(seq, ts_ns, stop_line(output, self.grid(output.instrument)))
        elif isinstance(output, CancelSent | AmendSent):
            self._touch(seq, ts_ns, output.client_order_id, reason=output.reason)
        elif isinstance(output, RiskStateChanged):
            self._risk_changed(seq, ts_ns, output)
        elif isinstance(output, AlertRaised):
            self._line(seq, ts_ns, alert_line(output))

    # market ------------------------------------------------------------------------------------------------

    def _bar(self, seq: int, bar: BarClosed) -> None:
        grid = self.grid(bar.instrument)
        prices = (grid.price(ticks) for ticks in (bar.open_ticks, bar.high_ticks, bar.low_ticks, bar.close_ticks))
        self._store.put_bar((seq, bar.instrument, bar.ts_ns, bar.open_ts_ns, *prices, grid.qty(bar.volume_lots)))

    def _predicted(self, seq: int, ts_ns: int, one: Predicted) -> None:
        hexes = (bytes.fromhex(text) for text in (one.model_sha256, one.features_sha256, one.score_hex, one.probability_hex))
        numbers = (one.probability_e8, one.expected_return_e8, one.horizon_ns)
        self._store.put_prediction((seq, one.instrument, ts_ns, one.prediction_id, *hexes, *numbers))
        self.prediction_seq = seq

    # decisions ---------------------------------------------------------------------------------------------

    def _decision(self, seq: int, ts_ns: int, stage: str, code: str, vetoed: bool, facts: dict[str, Any]) -> None:
        body = {"seq": seq, "index": self._part, "at": time_text(ts_ns), "stage": stage, "vetoed": vetoed, "code": code, **BARE, **facts}
        names = (body["decision_id"], body["prediction_id"], body["instrument"])
        self._store.put_decision((seq, self._part, ts_ns, *names, stage, code, vetoed, as_json(body)))
        self._part += 1

    def _line(self, seq: int, ts_ns: int, line: Line | None) -> None:
        if line is not None:
            self._decision(seq, ts_ns, *line)

    def _decided(self, seq: int, ts_ns: int, one: Decided) -> None:
        grid = self.grid(one.instrument)
        facts = {
            "observed": one.observed or None,
            "limit": one.limit or None,
            "instrument": one.instrument,
            "decision_id": one.decision_id,
            "prediction_id": one.prediction_id or None,
            "strategy": one.strategy,
            "exposure": e8_text(one.exposure_e8),
            "allowed": None if one.allowed_e8 is None else e8_text(one.allowed_e8),
            "bound_by": one.bound_by or None,
            "target_qty": grid.qty(one.target_lots),
            "mark": grid.price(one.mark_ticks) if one.mark_ticks else None,
            "mid": None if one.mid2_ticks is None else grid.half(one.mid2_ticks),
            "confidence": None if one.confidence_e8 is None else e8_text(one.confidence_e8),
            "probability": self._probability(one.prediction_id),
            "expected_return": None if one.expected_return_e8 is None else e8_text(one.expected_return_e8),
            "horizon_s": None if one.horizon_ns is None else span_s(one.horizon_ns),
            "reason": one.reason or None,
        }
        self._decision(seq, ts_ns, SIGNAL, one.code, one.code != OK, facts)

    def _probability(self, prediction_id: str) -> str | None:
        found = (
            self._store.one("SELECT probability_e8 FROM predictions WHERE prediction_id = ?", (prediction_id,)) if prediction_id else None
        )
        return None if found is None else e8_text(found[0])

    def _refused(self, seq: int, ts_ns: int, one: OrderRefused) -> None:
        order = one.order
        facts = {
            "observed": one.observed or None,
            "limit": one.limit or None,
            "instrument": order.instrument,
            "decision_id": order.decision_id,
            "prediction_id": self._prediction_of(order.decision_id),
            "client_order_id": order.client_order_id,
            "strategy": order.strategy,
            "reason": f"{order.side.value} {self.grid(order.instrument).qty(order.qty_lots)}",
        }
        self._decision(seq, ts_ns, LIMITS, one.code, True, facts)

    def _risk_changed(self, seq: int, ts_ns: int, one: RiskStateChanged) -> None:
        self.risk = RiskChange(ts_ns, one.code, one.observed, one.limit)
        facts = {"observed": one.observed or None, "limit": one.limit or None, "reason": f"trading is {one.state}"}
        self._decision(seq, ts_ns, RISK, one.code, one.state != "running", facts)

    def _prediction_of(self, decision_id: str) -> str | None:
        found = self._store.one("SELECT prediction_id FROM decisions WHERE decision_id = ? LIMIT 1", (decision_id,))
        return None if found is None else found[0]

    # orders ------------------------------------------------------------------------------------------------

    def _sent(self, seq: int, ts_ns: int, approved: ApprovedOrder) -> None:
        order = approved.order
        prediction_id = self._prediction_of(order.decision_id)
        self._put_order(sent_row(approved, seq, time_text(ts_ns), self.grid(order.instrument), prediction_id), 0)

    def _put_order(self, body: dict[str, Any], ticks_lots: int) -> None:
        names = (body["client_order_id"], body["seq"], body["updated_seq"], body["instrument"], body["status"], body["is_open"])
        self._store.put_order((*names, str(ticks_lots), as_json(body)))

    def _reported(self, seq: int, ts_ns: int, event: Any) -> dict[str, Any] | None:
        code = event.code if isinstance(event, OrderRejected | OrderAmendRefused) else None
        reason = event.reason if isinstance(event, OrderRejected | OrderAmendRefused | OrderCanceled) else None
        fill = event if isinstance(event, OrderFilled) else None
        return self._touch(seq, ts_ns, event.client_order_id, fill=fill, code=code, reason=reason)

    def _touch(
        self,
        seq: int,
        ts_ns: int,
        client_order_id: str,
        *,
        fill: OrderFilled | None = None,
        code: str | None = None,
        reason: str | None = None,
    ) -> dict[str, Any] | None:
        """Bring an order's row up to what the engine holds of it; None where it is not ours."""
        held = self._state.orders.by_id.get(client_order_id)
        row = self._store.one("SELECT ticks_lots, body FROM orders WHERE client_order_id = ?", (client_order_id,))
        if held is None or row is None:
            return None
        body: dict[str, Any] = json.loads(row[1])
        ticks_lots = int(row[0])
        before = body["filled"]
        bring_up(body, held, self.grid(held.order.instrument))
        if fill is not None and body["filled"] != before:
            ticks_lots += fill.price_ticks * fill.qty_lots
            grid = self.grid(held.order.instrument)
            body["average_price"] = grid.average(ticks_lots * grid.spec.tick_value_e8, held.filled_lots)
        body.update(updated_seq=seq, updated_at=time_text(ts_ns), code=code or body["code"], reason=reason or body["reason"])
        self._put_order(body, ticks_lots)
        return body

    # fills -------------------------------------------------------------------------------------------------

    def _fill(self, seq: int, fill: OrderFilled, realised_e8: int) -> None:
        grid, slot = self.grid(fill.instrument), self._state.slots[fill.instrument]
        row = self._store.one("SELECT body FROM orders WHERE client_order_id = ?", (fill.client_order_id,))
        order: dict[str, Any] = {} if row is None else json.loads(row[0])
        body = {
            "seq": seq,
            "at": time_text(fill.ts_ns),
            "fill_id": fill.fill_id,
            "client_order_id": fill.client_order_id or None,
            "decision_id": order.get("decision_id"),
            "prediction_id": order.get("prediction_id"),
            "instrument": fill.instrument,
            "side": fill.side.value,
            "qty": grid.qty(fill.qty_lots),
            "price": grid.price(fill.price_ticks),
            "notional": e8_text(slot.spec.notional_e8(fill.price_ticks, fill.qty_lots)),
            "fee": e8_text(fill.fee_e8),
            "realised": e8_text(realised_e8),
            "liquidity": fill.liquidity.value,
            "cause": fill.cause.value,
            **slippage_of(self._state, fill),
            "position_after": grid.qty(slot.position_lots),
            "equity_after": e8_text(self._state.account_view[EQUITY]),
        }
        self._store.put_fill((seq, fill.ts_ns, fill.fill_id, fill.instrument, fill.side.value, as_json(body)))
