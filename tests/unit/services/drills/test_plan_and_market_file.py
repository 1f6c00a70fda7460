"""Plans of drills, and the file of prices that an exchange is handed."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from tests.unit.services.drills.crashes import BTC, crash, instruments

from kedge.domain.errors import InvalidInput
from kedge.ops.settings import GuardTriggers
from kedge.services.drills.crash import Bar, Timing, market_of
from kedge.services.drills.market_file import MarketPath, PathBar, read_market, write_market
from kedge.services.drills.plan import DEFAULTS, DRAWDOWN, KINDS, VAR99, DrillPlan, gross_for, moved, price_text, qty_of


def plan(kind: str = DRAWDOWN, **changed: object) -> DrillPlan:
    return DrillPlan(crash(), Timing(), kind=kind)._replace(**changed)


@pytest.mark.parametrize("kind", KINDS)
def test_a_drill_moves_every_other_measure_out_of_the_way_and_nothing_else(kind: str) -> None:
    changes = {change.key.rpartition(".")[2]: change for change in moved(kind)}
    configured = GuardTriggers(**{name: change.drill for name, change in changes.items()})
    usual = GuardTriggers()
    for name, change in changes.items():
        assert Decimal(str(getattr(usual, name))) == Decimal(change.default)
        assert Decimal(str(getattr(configured, name))) == Decimal(change.drill) == 0
    operation = {"heartbeat_cancel_s", "heartbeat_halt_s", "stop_missing_s", "books_differ_s", "clock_halt_ms", "rejects_per_minute"}
    assert not operation & changes.keys()
    acts = {name for name in GuardTriggers.model_fields if name.endswith(("_frac", "_reduce", "_flatten", "_sigmas"))} - changes.keys()
    assert acts == {DRAWDOWN: {"drawdown_flatten_frac"}, VAR99: {"var99_flatten_frac"}}.get(kind, acts)
    assert bool(changes) is (kind != DEFAULTS)


def test_a_kind_that_there_is_not_is_refused() -> None:
    with pytest.raises(InvalidInput, match="drawdown, var99, defaults"):
        moved("panic")


def test_positions_lose_more_than_the_limit_in_the_fall() -> None:
    gross = gross_for(plan())
    assert gross * Decimal("0.3") == pytest.approx(Decimal("0.13"), rel=Decimal("0.05"))
    assert gross_for(plan(gross_frac=Decimal("0.7"))) == Decimal("0.7")
    assert gross_for(plan(VAR99)) == gross_for(plan(DEFAULTS)) == Decimal("0.1")


def test_a_crash_that_is_too_mild_is_refused() -> None:
    for low in (0.99, 1.0):
        mild = DrillPlan(crash(bars=(Bar(1.0, 1.0, low, 1.0),)), Timing())
        with pytest.raises(InvalidInput, match="deeper"):
            gross_for(mild)


def test_quantities_and_prices_lie_on_the_grid_rounded_down() -> None:
    spec = instruments()[BTC]
    assert qty_of(spec, Decimal(10_000), Decimal("49_999")) == "0.200"
    with pytest.raises(InvalidInput, match="smallest order"):
        qty_of(spec, Decimal(1), Decimal(50_000))
    assert Decimal(price_text(spec, Decimal("123.456"))) == Decimal("123.4")
    assert Decimal(price_text(spec, Decimal("0.001"))) == spec.tick_size


def a_market() -> MarketPath:
    return market_of(crash(symbols=(BTC,)), instruments(), Timing())


def test_a_market_file_comes_back_as_it_was_and_gives_events(tmp_path: Path) -> None:
    market = a_market()
    assert read_market(write_market(tmp_path / "m.json", market)) == market
    bar = market.played[0].event("x:BTCUSDT")
    assert (bar.ts_ns, bar.open_ts_ns, bar.instrument) == (market.played[0].ts_ns, market.played[0].open_ts_ns, "x:BTCUSDT")
    assert bar.low_ticks <= bar.open_ticks <= bar.high_ticks


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_market(tmp_path / "nowhere.json")
    (tmp_path / "torn.json").write_text("{")
    with pytest.raises(InvalidInput, match="no market path"):
        read_market(tmp_path / "torn.json")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"schema": "other"}, "schema is 'other'"),
        ({"played": ()}, "no bar to play"),
        ({"symbols": ()}, "no bar to play"),
        ({"symbols": ("ETHUSDT",)}, "which it does not list"),
        ({"start_ts_ns": 1 << 62}, "before the market begins"),
        ({"start_ts_ns": 0}, "past ends after"),
        ({"played": (PathBar(BTC, 1 << 61, 1 << 61, 1, 1, 1, 1, 1),)}, "span no time"),
        ({"played": (PathBar(BTC, 1 << 61, (1 << 61) + 9, 1, 1, 1, 1, 1), PathBar(BTC, (1 << 61) + 5, 1 << 62, 1, 1, 1, 1, 1))}, "overlap"),
    ],
)
def test_what_cannot_be_played_in_its_order_is_refused(changed: dict[str, object], why: str, tmp_path: Path) -> None:
    wrong = msgspec.structs.replace(a_market(), **changed)
    with pytest.raises(InvalidInput) as refused:
        read_market(write_market(tmp_path / "m.json", wrong))
    assert why in refused.value.why
