"""Real processes beside the guard: a trader that goes long by a model at its first bar, and the server."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from tests.torture.models import RISING, keep_drill_model

from kedge.apps.drill_stage import LOOK_EVERY_S, START_S, Child, Stage

MINUTE_NS = 60 * 10**9
LONG = {
    "limits": {
        "order_notional_frac_soft": "0.50",
        "order_notional_frac_max": "0.55",
        "position_notional_frac_soft": "0.55",
        "position_notional_frac_max": "0.60",
        "var99_soft_frac": "0",
        "var99_max_frac": "0",
        "es975_soft_frac": "0",
        "es975_max_frac": "0",
        "trade_risk_frac_soft": "0",
        "trade_risk_frac_max": "0",
    },
    "sizing": {"active": False},
}
"""Of the trader's own limits and caps, those that would keep it from holding what a drill needs."""


async def start_trader(stage: Stage) -> Child:
    """Start a trader that will hold half of equity in each instrument, and wait until it is ready for its first bar."""
    sha256 = keep_drill_model(stage.folder, MINUTE_NS, trees=RISING, domain=1_000.0)
    argv: list[Any] = ["trade", "--venue", stage.url, "--guard", stage.guard_url, "--interval", "1m", "--on-stop", "leave", "--json"]
    argv += ["--strategy", "model"]
    for text in (f"model={sha256}", "outside_max=3", "exposure_frac=0.5"):
        argv += ["--param", text]
    for symbol in stage.plan.symbols:
        argv += ["--instrument", symbol]
    trader = await stage.start("trader", argv)
    async with asyncio.timeout(START_S):
        while not is_ready(stage):
            assert trader.is_alive, (stage.folder / "trader.out").read_text()
            await asyncio.sleep(LOOK_EVERY_S)
    return trader


def is_ready(stage: Stage) -> bool:
    """Whether the trader has compared its books and hears the venue."""
    with suppress(OSError, ValueError):
        told = json.loads((stage.folder / "trader.json").read_bytes())
        return bool(told.get("ready")) and all(told["streams"].values())
    return False


async def start_server(stage: Stage) -> Child:
    """Start the server of the drill's state folder and wait until it answers."""
    server = await stage.start("server", ("serve", "--port", 0, "--hide-setup-link", "--json"))
    out = stage.folder / "server.out"
    async with asyncio.timeout(START_S):
        while not (out.exists() and b"\n" in out.read_bytes()):
            assert server.is_alive, out.read_text()
            await asyncio.sleep(LOOK_EVERY_S)
    return server
