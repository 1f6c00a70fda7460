"""Risk of a followed run: every measure against its levels, VaR and ES by method, stress, and what is kept between two questions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.units import E8
from kedge.kernel.account import DRAWDOWN_E8, EQUITY
from kedge.risk.limits_table import TABLE
from kedge.risk.stress import SCENARIOS
from kedge.risk.var.backtests import Colour
from kedge.risk.var.measure import VarEs
from kedge.risk.var.record import BacktestRecord, Judged
from kedge.services.replica import Replica
from kedge.services.risk_desk import RiskDesk, sight_of
from kedge.services.risk_inputs import Holding, Inputs, history, inputs_of
from kedge.services.risk_methods import components, simulated, var_view
from kedge.services.risk_stress import covariance_of, stress_view
from kedge.services.risk_values import guard_values
from kedge.services.risk_views import brakes_of, standing, used

from ...builders import AAA, BBB, instrument
from .guard_words import reading, said, status
from .replica_runs import closed, model_run, opened, read_all

FRESH = {"as_of": "2023-11-14T00:40:00Z", "age_s": 1.0, "state": "fresh", "why": ""}


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    """A run with open positions."""
    model_run(tmp_path / "journal.sqlite", bars=40)
    found = read_all(opened(tmp_path / "journal.sqlite", tmp_path / "replica.sqlite"))
    assert any(slot.position_lots for slot in found.state.by_index)
    yield found
    closed(found)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[RiskDesk]:
    made = RiskDesk(tmp_path, standings=dict, monotonic_s=lambda: 0.0)
    yield made
    made.close()


def told(desk: RiskDesk, replica: Replica | None, **freshness: Any) -> dict[str, Any]:
    return desk.status(replica, {**FRESH, **freshness}, datetime.now(UTC))


def row(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in found["measures"] if one["name"] == name)


def test_every_row_of_the_table_is_told_with_its_levels_and_what_is_left(desk: RiskDesk, replica: Replica) -> None:
    found = told(desk, replica)
    assert [one["name"] for one in found["measures"]] == [one.measure for one in TABLE]
    account = replica.state.account_view
    drawdown = row(found, "drawdown")
    assert Decimal(drawdown["value"]) * E8 == account[DRAWDOWN_E8]
    assert (drawdown["soft"], drawdown["hard"], drawdown["state"], drawdown["stale"]) == ("0.05000000", "0.06500000", "ok", False)
    assert [mark["level"] for mark in drawdown["brake"]] == [BrakeLevel.HALTED, BrakeLevel.FLATTENING]
    assert Decimal(drawdown["headroom"]) == Decimal("0.05") - Decimal(drawdown["value"])
    assert drawdown["headroom_to"] == "soft"
    assert Decimal(found["equity"]) * E8 == account[EQUITY]
    assert row(found, "var99")["readings"][0]["why"] == "prior"
    assert (found["guard"]["state"], found["run_id"]) == ("absent", replica.started.run_id)
    assert row(found, "trade_risk")["state"] == "none"
    held = {slot.instrument: slot for slot in replica.state.by_index if slot.position_lots}
    assert {one["instrument"] for one in found["concentration"]} == set(held)
    assert sum(Decimal(one["gross_share"]) for one in found["concentration"]) == pytest.approx(Decimal(1), abs=Decimal("1e-7"))
    worst = max(Decimal(one["equity_share"]) for one in found["concentration"])
    assert Decimal(row(found, "position_notional")["value"]) == worst


def test_the_worse_of_two_fresh_readings_counts_and_a_stale_one_does_not(tmp_path: Path, desk: RiskDesk, replica: Replica) -> None:
    worse = status(
        readings=[reading(Trigger.DRAWDOWN, 7_000_000, 9_000_000), reading(Trigger.DRAWDOWN, 7_000_000, 12_000_000, BrakeLevel.FLATTENING)]
    )
    said(tmp_path, worse)
    drawdown = row(told(desk, replica), "drawdown")
    assert (drawdown["value"], drawdown["state"], drawdown["headroom_to"]) == ("0.07000000", "hard", "brake")
    assert [(mark["value"], mark["level"]) for mark in drawdown["brake"]] == [("0.09000000", "halted"), ("0.12000000", "flattening")]
    assert [one["source"] for one in drawdown["readings"]] == ["trader", "guard"]
    said(tmp_path, worse, age_s=60)
    drawdown = row(told(desk, replica), "drawdown")
    assert (drawdown["state"], drawdown["readings"][1]["state"], drawdown["stale"]) == ("ok", "stale", False)
    drawdown = row(told(desk, replica, state="stale", age_s=400.0, why="no new bar"), "drawdown")
    assert (drawdown["value"], drawdown["stale"]) == ("0.07000000", True)
    assert drawdown["readings"][0]["why"] == "no new bar"


def test_without_a_run_the_guard_alone_is_told_and_without_either_nothing(tmp_path: Path, desk: RiskDesk) -> None:
    assert told(desk, None)["measures"] == []
    said(
        tmp_path,
        status(readings=[reading(Trigger.VAR99, 6_000_000, 5_000_000, BrakeLevel.FLATTENING)], equity_e8=5 * E8, es975_e8=6_500_000),
    )
    found = told(desk, None)
    assert (found["run_id"], found["equity"], row(found, "var99")["state"]) == (None, "5.00000000", "brake")
    assert row(found, "es975")["value"] == "0.06500000"
    assert row(found, "gross_leverage")["state"] == "unknown"


@pytest.mark.parametrize(
    ("freshness", "state", "why"),
    [
        ({"state": "fresh", "age_s": 2.0}, "fresh", ""),
        ({"state": "fresh", "age_s": 90.0}, "late", ""),
        ({"state": "late", "age_s": 2.0}, "late", ""),
        ({"state": "ended", "age_s": 1.0}, "stale", "the run has ended"),
        ({"state": "unknown", "age_s": None}, "stale", "no bar has come yet"),
    ],
)
def test_the_books_are_as_old_as_their_newest_bar(freshness: dict[str, Any], state: str, why: str) -> None:
    found = sight_of({**FRESH, **freshness})
    assert (found.state, found.why) == (state, why)


@pytest.mark.parametrize(
    ("value", "is_reversed", "expected"),
    [
        (1, False, ("ok", 4, "soft")),
        (5, False, ("soft", 3, "hard")),
        (8, False, ("hard", 2, "brake")),
        (11, False, ("brake", 9, "brake")),
        (20, False, ("brake", None, None)),
        (None, False, ("unknown", None, None)),
    ],
)
def test_at_a_level_is_on_it_and_headroom_goes_to_the_next_one(value: int | None, is_reversed: bool, expected: tuple[Any, ...]) -> None:
    brake = ((10, BrakeLevel.HALTED), (20, BrakeLevel.FLATTENING))
    assert standing(value, 5, 8, brake, is_reversed=is_reversed) == expected


def test_of_a_distance_less_is_worse() -> None:
    brake = ((15, BrakeLevel.FLATTENING),)
    assert standing(40, 30, 20, brake, is_reversed=True) == ("ok", 10, "soft")
    assert standing(18, 30, 20, brake, is_reversed=True) == ("hard", 3, "brake")
    assert standing(15, 30, 20, brake, is_reversed=True) == ("brake", None, None)
    assert (used(40, 20, is_reversed=True), used(10, 20, is_reversed=False)) == ("0.50000000", "0.50000000")
    assert (used(0, 20, is_reversed=True), used(None, 20, is_reversed=False), used(5, None, is_reversed=False)) == (None, None, None)


def test_of_several_positions_the_guards_worst_is_taken() -> None:
    nearest = reading(Trigger.LIQUIDATION_DISTANCE, 40_000_000, 15_000_000, instrument="b")
    further = reading(Trigger.LIQUIDATION_DISTANCE, 60_000_000, 15_000_000, instrument="a")
    found = guard_values(status(readings=[further, nearest, reading(Trigger.CLOCK, 20, 500, unit="ms")]))
    assert {name: (one.e8, one.instrument) for name, one in found.items()} == {"liquidation_distance": (40_000_000, "b")}
    assert brakes_of((further, reading(Trigger.CLOCK, 20, 500, unit="ms"))) == {}


def test_var_is_told_by_every_method_with_its_backtest_and_kept_while_the_books_are_the_same(tmp_path: Path, replica: Replica) -> None:
    record = BacktestRecord(
        Judged(day=day, method="prior", var_e8=100, es_e8=120, es_var_e8=90, realised_e8=-500 if day % 10 == 0 else 5)
        for day in range(1, 61)
    )
    judged = record.standing("prior")
    assert judged is not None
    desk = RiskDesk(tmp_path, standings=lambda: {"prior": judged}, monotonic_s=lambda: 0.0)

    async def both() -> tuple[dict[str, Any], dict[str, Any]]:
        return await desk.var(replica), await desk.var(replica)

    try:
        first, again = asyncio.run(both())
    finally:
        desk.close()
    assert again is first
    chosen = next(one for one in first["methods"] if one["chosen"])
    assert (chosen["method"], chosen["colour"], chosen["exceptions"], chosen["days"]) == (first["method"], str(Colour.RED), 6, 60)
    assert Decimal(chosen["var99_money"]) == pytest.approx(Decimal(chosen["var99"]) * Decimal(first["equity"]), rel=Decimal("1e-6"))
    assert "prior:AAAUSDT" in chosen["flags"]
    unusable = next(one for one in first["methods"] if one["method"] == "fhs-garch-t")
    assert (unusable["var99"], unusable["flags"]) == (None, ["not used: no instrument has 400 days"])
    assert {one["method"] for one in first["methods"]} >= {"historical", "parametric-t", "monte-carlo-t"}


def test_stress_walks_every_scenario_the_worst_first_and_finds_the_smallest_shock(desk: RiskDesk, replica: Replica) -> None:
    found = asyncio.run(desk.stress(replica))
    dated = [one for one in found["scenarios"] if one["since"] is not None]
    assert {one["scenario"] for one in dated} == set(SCENARIOS)
    losses = [Decimal(one["loss"]) for one in dated]
    assert losses == sorted(losses, reverse=True)
    assert all(one["since"] <= one["until"] and one["source"] for one in dated)
    assert "funding" in {one["scenario"] for one in found["scenarios"]}, "instant shocks stand beside the dated crises"
    assert [one["target"] for one in found["reverse"]] == ["a loss of 10 % of equity", "liquidation"]
    assert all(one["shocks"] or one["why"] for one in found["reverse"])


def inputs(*holdings: Holding, equity: int = 100_000) -> Inputs:
    return Inputs(run_id="r", ts_ns=0, seq=0, quote="USDT", wallet_e8=equity * E8, equity_e8=equity * E8, holdings=holdings)


def walked(name: str, base: str, days: int, seed: int, lots: int = 1_000, skip: int = -1) -> Holding:
    rng = np.random.default_rng(seed)
    prices = 1_000 * np.exp(np.cumsum(rng.normal(0, 0.03, days)))
    closes = tuple((19_000 + day, int(price * E8)) for day, price in enumerate(prices) if day != skip)
    return Holding(spec=instrument(name, base=base), lots=lots, cost_e8=lots * 1_000_000_00, mark_ticks=10_000, closes=closes)


def test_with_history_the_chosen_method_is_filtered_and_the_parts_add_up_to_the_shortfall() -> None:
    given = inputs(walked(AAA, "BTC", 700, 1), walked(BBB, "ETH", 700, 2, lots=-500))
    found = var_view(given, None, {})
    assert found["method"] == "fhs-ewma"
    rows = {one["method"]: one for one in found["methods"]}
    assert rows["fhs-garch-t"]["var99"] is None
    assert float(rows["monte-carlo-t"]["var99"]) == pytest.approx(float(rows["parametric-t"]["var99"]), rel=0.8)
    assert all(Decimal(one["es975"]) >= Decimal(one["var99"]) * Decimal("0.8") for one in rows.values() if one["var99"])
    past = history(given.held)
    parts = components(past, np.array([0.01, -0.005]), [AAA, BBB])
    assert set(parts) == {AAA, BBB}
    assert sum(map(float, found["components"].values())) == pytest.approx(float(rows["historical"]["es975"]), abs=1e-7)
    assert isinstance(simulated(past, np.array([0.01, -0.005])), VarEs)


def test_a_day_that_is_not_known_is_no_return_and_no_days_are_no_history() -> None:
    past = history((walked(AAA, "BTC", 10, 1, skip=4), walked(BBB, "ETH", 10, 2)))
    assert past.shape == (9, 2)
    assert [bool(flag) for flag in np.isnan(past[:, 0])] == [day in (3, 4) for day in range(9)]
    assert not np.isnan(past[:, 1]).any()
    assert history((msgspec.structs.replace(walked(AAA, "BTC", 10, 1), closes=()),)).shape == (0, 1)


def test_nothing_is_made_up_for_a_flat_or_a_broken_account() -> None:
    flat, broke = inputs(walked(AAA, "BTC", 10, 1, lots=0)), inputs(walked(AAA, "BTC", 10, 1), equity=-1)
    for view in (lambda given: var_view(given, None, {}), stress_view):
        assert "no open position" in view(flat)["why"]
        assert "equity is not positive" in view(broke)["why"]


def test_covariance_is_of_history_where_there_is_enough_and_stated_else() -> None:
    assets, cov, is_stated = covariance_of(inputs(walked(AAA, "BTC", 200, 1), walked(BBB, "ETH", 200, 2)))
    assert (assets, cov.shape, is_stated) == (["BTC", "ETH"], (2, 2), False)
    assert np.sqrt(cov[0, 0]) == pytest.approx(0.03, rel=0.2)
    assets, cov, is_stated = covariance_of(inputs(walked(AAA, "BTC", 5, 1), walked(BBB, "ETH", 5, 2)))
    assert (cov[0, 0], cov[0, 1], is_stated) == (pytest.approx(0.0025), pytest.approx(0.00225), True)


def test_inputs_are_a_copy_of_the_books(replica: Replica) -> None:
    found = inputs_of(replica)
    assert found.equity_e8 == replica.state.account_view[EQUITY]
    assert [one.lots for one in found.holdings] == [slot.position_lots for slot in replica.state.by_index]
    assert found.book().wallet_e8 == found.wallet_e8
    assert len(found.book().positions) == len(found.held)
