"""The live view as text: every figure in its place, '-' for what is not known, refusals with what was observed and the limit."""

from __future__ import annotations

from io import StringIO
from typing import Any

import msgspec
import pytest
from rich.console import Console

from kedge.apps.view import DECISIONS_SHOWN, ROWS_SHOWN, Recent, describe, render, slippage_words, utc_text
from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.domain.outputs import AmendSent, CancelSent, Decided, OrderRefused, OrderSent, Output, RiskStateChanged, StopWanted, TimerSet

from ...builders import AAA, T0, Wish, bar, engine, instrument, order, sent

WIDTHS = (80, 132)
SPECS = {AAA: instrument()}
SUMMARY: dict[str, Any] = {
    "equity": "100227.74000000",
    "drawdown": "0.04250000",
    "drawdown_now": "0.01000000",
    "daily_loss": "0.00500000",
    "risk_state": "running",
    "halt_code": "",
    "realised": "1254.27000000",
    "unrealised": "-33.86000000",
    "fees": "60.39000000",
    "funding_paid": "-7.10000000",
    "positions": [],
    "live_orders": [],
    "funnel": {"bars": 1200, "gaps": 3, "signals": 8, "sized": 7, "vetoed": {}, "sent": 6, "refused": {}, "filled": 5},
}
POSITION = {
    "instrument": AAA,
    "qty": "-0.249",
    "entry": "40136",
    "mark": "40000.0",
    "notional": "-9960.00000000",
    "unrealised": "33.864000",
}
ORDER = {"instrument": AAA, "side": "buy", "kind": "market", "qty": "0.25", "leaves": "0.20", "limit": "", "status": "open"}


def refusal(**changes: str) -> OrderRefused:
    given = {"code": "C-RISK-03", "observed": "0.2712", "limit": "0.2500", "limits_version": "v1", **changes}
    return OrderRefused(order=order("o1", Side.BUY, 250), **given)


def decided(**changes: Any) -> Decided:
    given: dict[str, Any] = {"decision_id": "d1", "strategy": "trend", "instrument": AAA, "exposure_e8": 10_000_000, "target_lots": 1}
    return Decided(**{**given, "mark_ticks": 1, "equity_e8": 1, "reason": "fast above slow", **changes})


def text_of(summary: dict[str, Any] | None = None, outputs: tuple[Output, ...] = (), width: int = 132) -> str:
    console = Console(record=True, width=width, file=StringIO())
    rows = [(T0, *row) for output in outputs if (row := describe(output, SPECS)) is not None]
    console.print(render({**SUMMARY, **(summary or {})}, rows, "DEMO · SYNTHETIC", "speed max"))
    return console.export_text()


def cells(text: str, word: str) -> list[str]:
    """The cells of the one line that holds `word`."""
    (line,) = [line for line in text.splitlines() if word in line]
    return line.split()


@pytest.mark.parametrize("width", WIDTHS)
def test_every_line_fits_the_terminal(width: int) -> None:
    crowd = {"positions": [POSITION] * 20, "live_orders": [ORDER] * 20}
    text = text_of(crowd, (refusal(), decided(), RiskStateChanged(state="halted", code="C-RISK-11", observed="0.08", limit="0.08")), width)
    assert max(len(line) for line in text.splitlines()) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_money_has_two_places_and_a_sign(width: int) -> None:
    text = text_of(width=width)
    assert {"100,227.74", "USDT", "1.00%", "4.25%", "0.50%", "1,254.27", "-33.86", "60.39", "-7.10"} <= set(text.split())
    assert "DEMO · SYNTHETIC" in text
    assert "speed max" in text


def test_names_and_figures_stand_together() -> None:
    text = text_of()
    for part in (
        "equity: 100,227.74 USDT",
        "drawdown: 1.00% now, 4.25% worst",
        "realised: 1,254.27",
        "unrealised: -33.86",
        "fees: 60.39",
        "funding paid: -7.10",
        "loss today: 0.50%",
    ):
        assert part in text


def test_a_halt_shows_its_code_and_a_calm_run_shows_none() -> None:
    assert "risk state: halted (C-RISK-11)" in text_of({"risk_state": "halted", "halt_code": "C-RISK-11"})
    assert "risk state: running " in text_of()


@pytest.mark.parametrize("width", WIDTHS)
def test_positions_and_orders_show_their_figures(width: int) -> None:
    text = text_of({"positions": [POSITION], "live_orders": [{**ORDER, "limit": "39999.5"}]}, width=width)
    assert cells(text, "-0.249")[-6:] == ["-0.249", "40136", "40000.0", "-", "-9,960.00", "33.86"], "no stop is known of it"
    stopped = text_of({"positions": [{**POSITION, "stop": "44149.6?"}]}, width=width)
    assert cells(stopped, "-0.249")[-3:] == ["44149.6?", "-9,960.00", "33.86"], "wanted there, and not shown yet"
    assert cells(text, "39999.5")[-6:] == ["buy", "market", "0.25", "0.20", "39999.5", "open"]


def test_what_is_not_known_is_a_dash_and_never_zero() -> None:
    text = text_of({"live_orders": [ORDER]})
    assert cells(text, " open")[-2:] == ["-", "open"]
    empty = text_of().splitlines()
    at = next(n for n, line in enumerate(empty) if line.startswith("Positions (0)"))
    assert empty[at + 2].split() == ["-"] * 7
    assert cells(text_of(outputs=(RiskStateChanged(state="running", code="RESUMED", observed="", limit=""),)), "RESUMED")[-4:] == [
        "-",
        "RESUMED",
        "-",
        "-",
    ]


def test_long_lists_are_cut_and_counted() -> None:
    rows = [{**POSITION, "instrument": f"test:N{n}USDT"} for n in range(12)]
    text = text_of({"positions": rows, "live_orders": [ORDER] * 9})
    assert "Positions (12)" in text
    assert "Orders (9)" in text
    shown = [n for n in range(12) if f"test:N{n}USDT" in text]
    assert shown == list(range(ROWS_SHOWN))


def test_the_funnel_counts_vetoes_and_refusals_by_code() -> None:
    funnel = {**SUMMARY["funnel"], "vetoed": {"C-RISK-03": 1234, "C-RISK-07": 2}, "refused": {"INSUFFICIENT_MARGIN": 4}}
    text = text_of({"funnel": funnel})
    assert "bars 1,200 > signals 8 > sized 7 > sent 6 > filled 5" in text
    assert "vetoed: C-RISK-03 1,234, C-RISK-07 2   refused by the venue: INSUFFICIENT_MARGIN 4   gaps: 3" in text
    assert "vetoed: none   refused by the venue: none   gaps: 3" in text_of()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_refusal_shows_code_observed_and_limit(width: int) -> None:
    text = text_of(outputs=(refusal(),), width=width)
    line = next(line for line in text.splitlines() if line.lstrip().startswith("2023-11-14"))
    assert line.split()[-2:] == ["0.2712", "0.2500"]
    assert "refused" in text
    if width == WIDTHS[-1]:
        assert line.split()[-3] == "C-RISK-03"


def test_text_in_brackets_is_shown_as_it_is() -> None:
    assert "[red]0.3[/red]" in text_of(outputs=(refusal(observed="[red]0.3[/red]"),))


def test_moves_stops_and_triggers_have_words_of_their_own() -> None:
    assert describe(AmendSent(client_order_id="o1", limit_ticks=9, reason="FOLLOWS"), SPECS) == ("order moved", "", "FOLLOWS", "", "")
    stop = StopWanted(instrument=AAA, stop_ticks=985, position_lots=1, reason="opened")
    assert describe(stop, SPECS) == ("stop wanted: 98.5", AAA, "opened", "", "")
    assert describe(msgspec.structs.replace(stop, stop_ticks=0), SPECS) == ("stop wanted: none", AAA, "opened", "", "")
    waits = order("o1", Side.BUY, 250, trigger_ticks=1_005, trigger_rises=True)
    falls = order("o1", Side.SELL, 250, trigger_ticks=995)
    told = [describe(msgspec.structs.replace(refusal(), order=one), SPECS) for one in (waits, falls)]
    assert [row[0] for row in told if row] == [
        "buy 0.250 market once the mark rises to 100.5 refused",
        "sell 0.250 market once the mark falls to 99.5 refused",
    ]


def test_slippage_is_told_with_what_it_is_measured_against() -> None:
    costs = {
        "slippage": "12.5",
        "slippage_bps": "1.20",
        "slippage_against": "mid",
        "slippage_against_mid": "12.5",
        "slippage_against_mark": "0",
    }
    assert slippage_words(costs) == "12.5, 1.20 bps against the mid of the decisions"
    both = {**costs, "slippage_against": "mid and mark", "slippage_against_mark": "-1"}
    assert slippage_words(both) == "12.5, 1.20 bps against the mid and mark of the decisions (12.5 and -1)"
    assert slippage_words({**costs, "slippage_against": ""}) == "nothing was filled"


def test_each_output_has_its_own_words() -> None:
    limit = order("o2", Side.SELL, 1_250, 1_005, kind=OrderKind.LIMIT, time_in_force=TimeInForce.GTC)
    reduce = order("o3", Side.SELL, 5, reduce_only=True)
    (market,) = _sent()
    assert describe(market, SPECS) == ("buy 9.803 market sent", AAA, "OK", "", "")
    assert describe(refusal(), SPECS) == ("buy 0.250 market refused", AAA, "C-RISK-03", "0.2712", "0.2500")
    assert describe(msgspec.structs.replace(refusal(), order=limit), SPECS)[0] == "sell 1.250 limit at 100.5 refused"  # type: ignore[index]
    assert describe(msgspec.structs.replace(refusal(), order=reduce), SPECS)[0] == "sell 0.005 market to reduce refused"  # type: ignore[index]
    assert describe(decided(), SPECS) == ("target +10.0 % (fast above slow)", AAA, "OK", "", "")
    cut = describe(decided(allowed_e8=8_330_000, bound_by="book-es"), SPECS)
    assert cut is not None
    assert cut[0] == "target +10.0 %, cut to +8.3 % by book-es (fast above slow)"
    assert describe(decided(allowed_e8=10_000_000, bound_by="signal"), SPECS) == describe(decided(), SPECS), "nothing was cut"
    vetoed = describe(decided(exposure_e8=-2_500_000, code="STALE", observed="3 bars", limit="1.5 bars"), SPECS)
    assert vetoed == ("target -2.5 % (fast above slow)", AAA, "STALE", "3 bars", "1.5 bars")
    halted = RiskStateChanged(state="halted", code="C-RISK-11", observed="0.0801", limit="0.08")
    assert describe(halted, SPECS) == ("risk state halted", "", "C-RISK-11", "0.0801", "0.08")
    assert describe(CancelSent(client_order_id="o1", reason="EXPIRED"), SPECS) == ("cancel sent", "", "EXPIRED", "", "")
    assert describe(TimerSet(timer_id="t", due_ts_ns=1), SPECS) is None


def _sent() -> list[OrderSent]:
    """What a real engine sends for a wish of 10 % at 1,020 ticks: 1,000 USDT at 102.0, in whole lots of 0.001."""
    outputs = engine(Wish().say(0.1)).step(bar(1, 1_020))
    assert len(sent(outputs)) == 1
    return [output for output in outputs if isinstance(output, OrderSent)]


def test_recent_keeps_the_newest_first_passes_all_on_and_stamps_the_time() -> None:
    now, passed = [0], []
    recent = Recent(passed.append, [instrument()], lambda: now[0])
    for n in range(12):
        now[0] = T0 + n
        recent.send((decided(reason=f"n{n}"), TimerSet(timer_id="t", due_ts_ns=1)))
    assert [(row[0], row[1]) for row in recent.rows] == [(T0 + n, f"target +10.0 % (n{n})") for n in range(11, 11 - DECISIONS_SHOWN, -1)]
    assert [len(outputs) for outputs in passed] == [2] * 12


def test_time_is_utc_to_the_second() -> None:
    assert utc_text(T0 + 59_999_999_999) == "2023-11-14 00:00:59"


@pytest.mark.parametrize("height", [24, 30, 60])
def test_a_low_terminal_cuts_every_table_and_loses_none(height: int) -> None:
    summary = {**SUMMARY, "positions": [POSITION] * 20, "live_orders": [ORDER] * 20}
    rows = [(T0, *row) for row in [describe(refusal(), SPECS)] * 8 if row is not None]
    console = Console(record=True, width=132, file=StringIO())
    console.print(render(summary, rows, "DEMO", "speed max", height_rows=height))
    text = console.export_text()
    assert len(text.splitlines()) < height
    for part in ("Positions (20)", "Orders (20)", "Funnel", "Last decisions", "C-RISK-03"):
        assert part in text


def test_losses_that_nobody_knows_are_said_to_be_unknown() -> None:
    text = text_of({"drawdown": None, "drawdown_now": None, "daily_loss": None})
    assert "unknown now, unknown worst" in text
    assert "loss today: unknown" in text
