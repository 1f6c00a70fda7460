"""The daily backtest over real closes of BTC and ETH, with real GARCH fits: the same methods and the same lights as the study's."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.risk_study_series import CRYPTO, DAY_MS, HOUR_MS, days_of, read_closes

from kedge.domain.units import E8, NS_PER_DAY
from kedge.risk.var.backtests import Colour
from kedge.services.risk_daily import DailyRisk
from kedge.services.risk_daily_record import ACCOUNT, REFERENCE
from kedge.services.risk_inputs import Holding, Inputs

from ...builders import AAA, BBB, instrument


@pytest.mark.slow
def test_250_days_of_btc_and_eth_are_judged_by_every_method_and_none_of_the_chain_is_red(data_folder: Path, tmp_path: Path) -> None:
    found = [days_of(read_closes(data_folder / CRYPTO[name], HOUR_MS)) for name in ("BTC", "ETH")]
    today = int(found[0].end_ms[-1]) // DAY_MS

    def inputs(lots: int) -> Inputs:
        holdings = []
        for name, days in zip((AAA, BBB), found, strict=True):
            pairs = zip((days.end_ms // DAY_MS - 1).tolist(), (days.close * E8).astype(int).tolist(), strict=True)
            holdings.append(
                Holding(spec=instrument(name), lots=lots, cost_e8=0, mark_ticks=1_000, closes=tuple(pairs)[-1_001:]),
            )
        return Inputs(
            run_id="paper-1", ts_ns=today * NS_PER_DAY, seq=1, quote="USDT", wallet_e8=1_000 * E8, equity_e8=1_000 * E8,
            holdings=tuple(holdings),
        )  # fmt: skip

    risk = DailyRisk(tmp_path, wall_ns=lambda: 7)
    assert risk.look("account-main.log", inputs(3)) == 2 * 250 + 2
    standings = risk.standings()
    assert {"fhs-ewma", "historical", "parametric-t", "age-weighted"} <= set(standings)
    assert standings["fhs-ewma"].days == 250
    assert standings["fhs-ewma"].colour in (Colour.GREEN, Colour.YELLOW)
    opened = risk.record.seen(ACCOUNT).open
    assert opened is not None
    assert opened.main in ("fhs-garch-t", "fhs-ewma")
    assert risk.record.seen(REFERENCE).open is not None
    risk.close()
