"""Limits of a trader that runs as a process of its own: tightened from outside, and value at risk from the venue's own past days."""

from __future__ import annotations

import math
import time
from itertools import pairwise
from pathlib import Path

import pytest

from kedge.domain.events import DailyHistory, LimitsChanged, OrderCanceled
from kedge.domain.outputs import CancelSent, OrderRefused, OrderSent
from kedge.services.limits_store import LimitsStore

from .commands import kedge
from .trading_processes import Processes, processes

pytestmark = pytest.mark.slow

FAR = """\
sizing:
  active: false
execution:
  style: stop_entry
  trigger_bps: 900
"""
"""Entries wait for a move that does not come, so that one rests for as long as it is let."""

PLAIN = """\
sizing:
  active: false
"""

START_MS, MINUTE_MS = 1_704_067_200_000, 60_000
DAYS = 300
HOURS = DAYS * 24 + 400
SWING = 0.16


def is_same_when_replayed(at: Processes) -> bool:
    (run,) = (at.state / "runs").iterdir()
    found = kedge("replay", run.name, "--state-dir", at.state, "--json").json
    return found["equal"] is True


def bars_file(folder: Path, minutes: int, price: list[float]) -> Path:
    """Bars that open where the last one closed."""
    lines = ["ts,open,high,low,close,volume\n"]
    for n, (before, after) in enumerate(pairwise(price)):
        opened, close = round(before, 1), round(after, 1)
        start_ms = START_MS + n * minutes * MINUTE_MS
        lines.append(f"{start_ms},{opened},{max(opened, close) + 1:.1f},{min(opened, close) - 1:.1f},{close},900.5\n")
    path = folder / f"bybit-linear-BTCUSDT-{minutes}m.csv"
    path.write_text("".join(lines))
    return path


def rising(folder: Path) -> Path:
    """Minutes that rise a little each: a trend wants the same all the time, and no trigger far away is met."""
    return bars_file(folder, 1, [40_000 + n for n in range(3_000)])


def hourly(folder: Path) -> Path:
    """Hours that swing within each two days, so that a day's return is large."""
    return bars_file(folder, 60, [40_000 * math.exp(SWING * math.sin(2 * math.pi * n / 43) + 0.02 * math.sin(n)) for n in range(HOURS + 1)])


def test_a_limit_that_a_person_tightens_takes_back_what_rests_and_refuses_the_next_order(tmp_path: Path) -> None:
    with processes(tmp_path, FAR) as at:
        url = at.exchange("--market", f"replay:{rising(tmp_path)}", "--speed", 120)
        at.trade("--venue", url, "--instrument", "BTCUSDT", "--strategy", "trend", "--param", "fast=2", "--param", "slow=3")
        rested = at.until(lambda status: len(status["live_orders"]) == 1 and status["under_way"] == 0)["live_orders"][0]["client_order_id"]
        store = LimitsStore(at.state, "demo", wall_ns=time.time_ns)
        orders = {"order_notional_frac_soft": "0.03", "order_notional_frac_max": "0.04"}
        positions = {"position_notional_frac_soft": "0.04", "position_notional_frac_max": "0.05"}
        document = store.tighten(orders | positions, actor="ann", reason="a thin weekend")
        at.until(lambda status: status["funnel"]["vetoed"].get("POSITION_NOTIONAL", 0) >= 1)
        at.until(lambda status: rested not in [one["client_order_id"] for one in status["live_orders"]])
        at.stop_trader()
        steps = at.steps()
        (told,) = (n for n, step in enumerate(steps) if isinstance(step.event, LimitsChanged))
        taken = [one for one in steps[told].outputs if isinstance(one, CancelSent)]
        assert [(one.client_order_id, one.reason) for one in taken] == [(rested, "LIMITS_CHANGED")]
        assert any(isinstance(step.event, OrderCanceled) and step.event.client_order_id == rested for step in steps[told:])
        refused = [one for step in steps[told:] for one in step.outputs if isinstance(one, OrderRefused)]
        assert refused
        assert {(one.code, one.limits_version) for one in refused} == {("POSITION_NOTIONAL", document.version)}
        sent = [one.approved.limits_version for step in steps[told:] for one in step.outputs if isinstance(one, OrderSent)]
        assert set(sent) <= {document.version}
        assert is_same_when_replayed(at)


def test_value_at_risk_from_the_venues_past_days_refuses_an_order_in_a_running_trader(tmp_path: Path) -> None:
    with processes(tmp_path, PLAIN) as at:
        past = ("--history", DAYS * 24)
        url = at.exchange("--market", f"replay:{hourly(tmp_path)}", "--speed", 7_200, *past)
        params = ("--param", "fast=2", "--param", "slow=3", "--param", "exposure_frac=0.15")
        at.trade("--venue", url, "--instrument", "BTCUSDT", "--interval", "1h", "--strategy", "trend", *params)
        at.until(lambda status: status["funnel"]["vetoed"].get("VAR99", 0) >= 1)
        at.stop_trader()
        steps = at.steps()
        (history,) = (step.event for step in steps if isinstance(step.event, DailyHistory))
        assert len(history.closes_ticks) >= 250
        refused = [one for step in steps for one in step.outputs if isinstance(one, OrderRefused)]
        assert {one.code for one in refused} == {"VAR99"}
        assert "fhs-ewma" in refused[0].observed
        assert is_same_when_replayed(at)
