"""What a trader tells of itself while it runs: its status for the file and the screen, and a log line for every trade."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from kedge.apps.up_screen import alarms
from kedge.apps.view import DECISIONS_SHOWN, describe, utc_text
from kedge.domain.events import BarClosed, Event, OrderFilled
from kedge.domain.outputs import Output, Predicted
from kedge.domain.units import E8, NS_PER_S
from kedge.engine.summary import frac_text
from kedge.ops.logs import fields, model_prediction, trade_executed
from kedge.services.live import LiveTrader
from kedge.services.live_status import status as trader_status
from kedge.venues.bybit.limits import Utilisation

FEED_STALE_MIN_S: Final = 10.0
FEED_STALE_BARS: Final = 3


class Recorder:
    """Watches a trader's steps: the last decisions for people, every trade and prediction for the log, when the last bar came.

    Parameters
    ----------
    trader : LiveTrader
    user_id : str
        The account's number at the venue.
    """

    def __init__(self, trader: LiveTrader, logger: logging.Logger, user_id: str) -> None:
        self._trader, self._log, self._user_id = trader, logger, user_id
        self.rows: deque[tuple[int, str, str, str, str, str]] = deque(maxlen=DECISIONS_SHOWN)
        self.bar_s: float | None = None
        trader.watchers.append(self.saw)

    def saw(self, event: Event, outputs: Sequence[Output]) -> None:
        """One step, after it was handed on."""
        if isinstance(event, BarClosed):
            self.bar_s = time.monotonic()
        elif isinstance(event, OrderFilled):
            self._traded(event)
        if outputs:
            self._predicted(event.ts_ns, outputs)
            specs = {slot.instrument: slot.spec for slot in self._trader.engine.state.by_index}
            for output in outputs:
                row = describe(output, specs)
                if row is not None:
                    self.rows.appendleft((event.ts_ns, *row))

    def _predicted(self, ts_ns: int, outputs: Sequence[Output]) -> None:
        engine = self._trader.engine
        for output in outputs:
            if isinstance(output, Predicted):
                p_e8 = output.probability_e8
                model_prediction(
                    self._log,
                    model_id=output.model_sha256,
                    model_version=str(engine.settings.params.get("version", "")),
                    symbol=engine.state.slots[output.instrument].spec.venue_symbol,
                    prediction=frac_text(p_e8),
                    confidence=frac_text(max(p_e8, E8 - p_e8)),
                    features_hash=output.features_sha256,
                    timestamp=_utc(ts_ns),
                    prediction_id=output.prediction_id,
                    veto=output.veto,
                )

    def _traded(self, fill: OrderFilled) -> None:
        state = self._trader.engine.state
        held = state.orders.by_id.get(fill.client_order_id)
        if fill.instrument not in state.slots:
            self._log.error("trade of an instrument that is not traded", extra=fields(trade_id=fill.fill_id, instrument=fill.instrument))
            return
        spec = state.slots[fill.instrument].spec
        trade_executed(
            self._log,
            trade_id=fill.fill_id,
            symbol=spec.venue_symbol,
            side=fill.side.value,
            size=spec.qty_text(fill.qty_lots),
            price=spec.price_text(fill.price_ticks),
            timestamp=_utc(fill.ts_ns),
            user_id=self._user_id,
            decision_id=held.order.decision_id if held is not None else "",
        )

    def is_feed_stale(self, interval_s: float, now_s: float) -> bool:
        """Whether no bar has come for three bars' wall time, at least ten seconds; before the first one this is not known to be well."""
        return self.bar_s is None or now_s - self.bar_s > max(FEED_STALE_MIN_S, FEED_STALE_BARS * interval_s)


def status_of(trader: LiveTrader, recorder: Recorder, interval_s: float) -> dict[str, Any]:
    """Figures of a trader that has begun; what is known of one that has not."""
    told = trader_status(trader)
    phase, _, problem = str(told.pop("condition")).partition(": ")
    problem = problem or streams_down(told.get("streams", {}))
    known = {"phase": phase, "problem": problem, "problem_fix": "it tries again by itself; see the trader's log" if problem else ""}
    if "funnel" not in told:
        return {**told, **known}
    return {
        **told,
        **known,
        "orders": told["live_orders"],
        "feed_stale": recorder.is_feed_stale(interval_s, time.monotonic()),
        "reconciled": told["books_agree"] is True,
        "venue_time": utc_text(told["ts_ns"]),
        "alarms": alarms(),
        "recent": [list(row) for row in recorder.rows],
    }


def limits_in_use(found: Sequence[Utilisation]) -> list[dict[str, Any]]:
    """The request limits of which something is used, the fullest first; `used_frac` is of this trader's own share."""
    used = sorted((one for one in found if one.used_bps), key=lambda one: (-one.used_bps, one.group))
    return [
        {"group": one.group, "used_frac": one.used_bps / 10_000, "own": one.own, "remaining": one.remaining, "level": one.level.value}
        for one in used
    ]


def _utc(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // NS_PER_S, UTC).isoformat().replace("+00:00", "Z")


def streams_down(streams: Mapping[str, bool]) -> str:
    """What to say of streams that are not up; empty while all are."""
    down = [name for name, up in streams.items() if not up]
    return f"no {' and no '.join(down)} stream from the venue" if down else ""
