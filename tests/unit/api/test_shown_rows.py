"""Rows with amends, triggers, stops and venue's own fills are what the API's description says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kedge.api import schemas
from kedge.domain.events import (
    BooksDiffer,
    OrderAmended,
    OrderFilled,
    OrderTriggered,
    OrderUnanswered,
    OrderWaits,
    QuoteLost,
    QuoteSampled,
    Request,
    StopPlaced,
    StopUnconfirmed,
)
from kedge.domain.orders import FillCause, Liquidity, Side
from kedge.services import replica_figures as figures
from kedge.services.replica_read import Reading, Wanted
from kedge.strategy.execution import ExecutionPolicy, Style

from ...builders import AAA, BBB, T0, bar, filled, sent
from ..services.replica_runs import Live, closed, opened, read_all

S = 1_000_000_000
ROWS: dict[str, Any] = {"orders": schemas.Order, "fills": schemas.Fill, "decisions": schemas.Decision}


def test_every_row_of_a_day_with_stops_and_triggers_is_as_described(tmp_path: Path) -> None:
    policy = ExecutionPolicy(style=Style.STOP_ENTRY)
    with Live(tmp_path / "j.sqlite", execution=policy, stop_distance_frac_e8=10_000_000) as live:
        live.step(QuoteSampled(T0 + 59 * S, AAA, 999, 1_002, 10, 10))
        live.wish.say(0.1)
        (intent,) = sent(live.step(bar(1)))
        name, lots = intent.client_order_id, intent.qty_lots
        live.step(OrderWaits(T0 + 61 * S, name, "v1"), OrderTriggered(T0 + 62 * S, name))
        live.step(OrderAmended(T0 + 63 * S, name, lots - 1, 0), OrderUnanswered(T0 + 64 * S, name, Request.CANCEL))
        live.step(filled(intent, T0 + 65 * S, 1_003, lots=lots - 1), StopPlaced(T0 + 66 * S, AAA, 1))
        replica = read_all(opened(live.path, tmp_path / "r.sqlite"))
        for row in figures.positions(replica):
            schemas.Position.model_validate(row)
        live.step(StopUnconfirmed(T0 + 70 * S, AAA, 5 * S, "refused"), QuoteLost(T0 + 71 * S, AAA, "crossed"))
        live.step(BooksDiffer(T0 + 72 * S, "FOREIGN_POSITION", BBB, "", 0, 3))
        for n, cause in enumerate((FillCause.STOP, FillCause.ADL, FillCause.LIQUIDATION, FillCause.ADOPTED)):
            live.step(OrderFilled(T0 + 80 * S, f"x{n}", "", AAA, Side.SELL, 1, 901, 0, Liquidity.TAKER, 0, cause))
        read_all(replica)
        reading = Reading(replica)
        for what, schema in ROWS.items():
            found = reading.page(what, Wanted(limit=1_000)).rows
            assert found
            for row in found:
                schema.model_validate_json(row)
        order = json.loads(reading.order(name) or b"{}")
        assert (order["amends"], order["trigger_when"], order["status"]) == (1, "rises", "filled")
        assert (order["sent_qty"], order["qty"]) == (replica.views.grid(AAA).qty(lots), replica.views.grid(AAA).qty(lots - 1))
        closed(replica)
