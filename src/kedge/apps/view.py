"""The live terminal view of a run: what it is worth, what it holds, what it decided and why not.

Pure rendering: everything shown comes from the engine's summary and the last outputs; unknown is '-', never 0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from kedge.domain.instrument import Instrument
from kedge.domain.orders import OrderIntent
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
    TimerSet,
)

DECISIONS_SHOWN = 8
ROWS_SHOWN = 8
TABLES = 3
FRAME_ROWS = 15
"""Rows that are always there: the figures' panel 4, the funnel 4, title and header of three tables 6, the cursor 1."""
MONEY = frozenset({"notional", "unrealised"})


class Recent:
    """The last outputs worth showing, newest first; stands between the loop and the gateway.

    Parameters
    ----------
    now_ns : callable
        The venue's time of the event that is being answered.
    """

    def __init__(self, send: Any, instruments: Sequence[Instrument], now_ns: Callable[[], int]) -> None:
        self._send, self._now_ns = send, now_ns
        self._specs = {i.instrument_id: i for i in instruments}
        self.rows: deque[tuple[int, str, str, str, str, str]] = deque(maxlen=DECISIONS_SHOWN)

    def send(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            row = describe(output, self._specs)
            if row is not None:
                self.rows.appendleft((self._now_ns(), *row))
        self._send(outputs)


def describe(output: Output, specs: Mapping[str, Instrument]) -> tuple[str, str, str, str, str] | None:
    """One output as (what, instrument, code, observed, limit); None for what is not worth a line."""
    if isinstance(output, Decided):
        allowed_e8 = output.exposure_e8 if output.allowed_e8 is None else output.allowed_e8
        cut = "" if allowed_e8 == output.exposure_e8 else f", cut to {allowed_e8 / 1e6:+.1f} % by {output.bound_by}"
        what = f"target {output.exposure_e8 / 1e6:+.1f} %{cut} ({output.reason})"
        return what, output.instrument, output.code, output.observed, output.limit
    if isinstance(output, OrderSent):
        return f"{_order(output.approved.order, specs)} sent", output.approved.order.instrument, "OK", "", ""
    if isinstance(output, OrderRefused):
        return f"{_order(output.order, specs)} refused", output.order.instrument, output.code, output.observed, output.limit
    if isinstance(output, RiskStateChanged):
        return f"risk state {output.state}", "", output.code, output.observed, output.limit
    if isinstance(output, CancelSent):
        return "cancel sent", "", output.reason, "", ""
    if isinstance(output, AmendSent):
        return "order moved", "", output.reason, "", ""
    if isinstance(output, StopWanted):
        stop = specs[output.instrument].price_text(output.stop_ticks) if output.stop_ticks else "none"
        return f"stop wanted: {stop}", output.instrument, output.reason, "", ""
    if isinstance(output, AlertRaised):
        return f"alert ({output.severity})", output.instrument, output.code, output.observed, output.limit
    if isinstance(output, AlertRaised):
        return f"alert ({output.severity})", output.instrument, output.code, output.observed, output.limit
    assert isinstance(output, TimerSet | Predicted)
    return None


def slippage_words(costs: Mapping[str, Any]) -> str:
    """What fills cost against the prices that their decisions saw."""
    if not costs["slippage_against"]:
        return "nothing was filled"
    both = f" ({costs['slippage_against_mid']} and {costs['slippage_against_mark']})" if " and " in costs["slippage_against"] else ""
    return f"{costs['slippage']}, {costs['slippage_bps']} bps against the {costs['slippage_against']} of the decisions{both}"


def _order(order: OrderIntent, specs: Mapping[str, Instrument]) -> str:
    spec = specs[order.instrument]
    at = f" at {spec.price_text(order.limit_ticks)}" if order.limit_ticks else ""
    at += f" once the mark {'rises' if order.trigger_rises else 'falls'} to {spec.price_text(order.trigger_ticks)}" * (
        order.trigger_ticks > 0
    )
    return f"{order.side} {spec.qty_text(order.qty_lots)} {order.kind}{at}{' to reduce' if order.reduce_only else ''}"


def render(
    summary: Mapping[str, Any],
    rows: Sequence[tuple[int, str, str, str, str, str]],
    title: str,
    note: str,
    alarms: Sequence[str] = (),
    height_rows: int = 60,
) -> RenderableType:
    """The whole view; alarms stand on top, in words. In a low terminal each table is cut, none is lost."""
    left = max(TABLES, height_rows - FRAME_ROWS - 3 * bool(alarms))
    held, open_ = (min(ROWS_SHOWN, max(1, len(summary[name])), max(1, left // TABLES)) for name in ("positions", "live_orders"))
    head = Panel(_money(summary), title=f"[bold]{title}[/bold]", subtitle=note)
    positions = _table("Positions", ("instrument", "qty", "entry", "mark", "stop", "notional", "unrealised"), summary["positions"], held)
    orders = _table("Orders", ("instrument", "side", "kind", "qty", "leaves", "limit", "status"), summary["live_orders"], open_)
    warned = [Panel(Text("\n".join(alarms)), title="ALARM", border_style="bold red")] if alarms else []
    return Group(*warned, head, positions, orders, _funnel(summary["funnel"]), _decisions(rows[: max(1, left - held - open_)]))


def _money(summary: Mapping[str, Any]) -> RenderableType:
    grid = Table.grid(padding=(0, 3))
    for _ in range(4):
        grid.add_column()
    cells = [
        ("equity", f"{_places(summary['equity'])} USDT"),
        ("drawdown", f"{percent(summary['drawdown_now'])} now, {percent(summary['drawdown'])} worst"),
        ("loss today", percent(summary["daily_loss"])),
        ("risk state", str(summary["risk_state"]) + (f" ({summary['halt_code']})" if summary["halt_code"] else "")),
        ("realised", _places(summary["realised"])),
        ("unrealised", _places(summary["unrealised"])),
        ("fees", _places(summary["fees"])),
        ("funding paid", _places(summary["funding_paid"])),
    ]
    for start in (0, 4):
        grid.add_row(*(Text.assemble((f"{name}: ", "dim"), (value, "bold")) for name, value in cells[start : start + 4]))
    return grid


def percent(frac: str | None) -> str:
    """A fraction in text as a percentage with two places; `unknown` where nobody knows it."""
    return "unknown" if frac is None else f"{float(frac):.2%}"


def _places(text: str) -> str:
    """Money text with two places, thousands separated, a sign in front of what is negative."""
    return f"{float(text):,.2f}"


def _table(title: str, columns: Sequence[str], rows: Sequence[Mapping[str, str]], shown: int) -> RenderableType:
    table = Table(title=f"{title} ({len(rows)})", title_justify="left", expand=True, box=None, header_style="bold underline")
    for column in columns:
        table.add_column(column, justify="left" if column in ("instrument", "side", "kind", "status") else "right")
    for row in rows[:shown]:
        table.add_row(*((_places(row[column]) if column in MONEY else row.get(column)) or "-" for column in columns))
    if not rows:
        table.add_row(*("-" for _ in columns))
    return table


def _funnel(funnel: Mapping[str, Any]) -> RenderableType:
    steps = " > ".join(f"{name} {funnel[name]:,}" for name in ("bars", "signals", "sized", "sent", "filled"))
    vetoes = ", ".join(f"{code} {count:,}" for code, count in funnel["vetoed"].items()) or "none"
    refused = ", ".join(f"{code} {count:,}" for code, count in funnel["refused"].items()) or "none"
    return Panel(
        f"{steps}\nvetoed: {vetoes}   refused by the venue: {refused}   gaps: {funnel['gaps']:,}", title="Funnel", title_align="left"
    )


def _decisions(rows: Sequence[tuple[int, str, str, str, str, str]]) -> RenderableType:
    table = Table(title="Last decisions", title_justify="left", expand=True, box=None, header_style="bold underline")
    for column in ("time (UTC)", "what", "instrument", "code", "observed", "limit"):
        table.add_column(column, overflow="fold")
    for ts_ns, *cells in rows:
        table.add_row(utc_text(ts_ns), *(Text(cell or "-") for cell in cells))
    return table


def utc_text(ts_ns: int) -> str:
    """UTC as `YYYY-MM-DD HH:MM:SS`."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
