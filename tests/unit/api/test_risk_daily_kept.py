"""The server keeps the daily backtest of the run that it follows, and publishes its lights."""

from __future__ import annotations

from pathlib import Path

from kedge.services.risk_colours import read_colours, risk_folder
from kedge.services.risk_daily import read_record, record_name
from kedge.services.risk_daily_record import REFERENCE

from ...builders import AAA, BBB, bar
from ..services.replica_runs import Live
from .served import Client, served

HALF_A_DAY = 12 * 3_600 * 1_000_000_000
DAYS = 90


def test_a_followed_run_has_its_days_forecast_judged_and_published(tmp_path: Path) -> None:
    with Live(tmp_path / "runs" / "paper-1" / "journal.sqlite") as live:
        prices = [1_000 + (n * 37) % 90 for n in range(2 * DAYS)]
        live.step(*(bar(n + 1, price, name, span=HALF_A_DAY) for n, price in enumerate(prices) for name in (AAA, BBB)))

    async def then(client: Client) -> None:
        state = client.server.app.state
        await client.until(lambda: state.daily is not None and state.daily.standings())

    served(tmp_path, then)
    record = read_record(tmp_path, record_name(live.started))
    assert record.book(REFERENCE).standing("parametric-t") is not None
    assert record.seen(REFERENCE).open is not None
    assert read_colours(tmp_path) == record.colours() != {}
    assert risk_folder(tmp_path).stat().st_mode & 0o077 == 0
