"""Rows from columns: grids in force, settlements known at the close, the leader one interval back, and holes."""

from __future__ import annotations

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.learning.feature_rows import (
    CLOSE,
    FUNDING_RATE,
    FUNDING_TS_S,
    HIGH,
    LEADER_CLOSE,
    LOW,
    OPEN,
    ROW_SIZE,
    TS_S,
    VOLUME,
    Closes,
    Settlements,
    closes_of,
    resets_of,
    rows_of,
)
from kedge.learning.operators import ROW_CELLS
from kedge.market.grid_bars import GridBars

from ...builders import MINUTE, T0, S, instrument


def grid(*numbers: int, close: int = 1_000) -> GridBars:
    """Bars of these numbers, from 1, a minute each."""
    opened = np.array([T0 + (n - 1) * MINUTE for n in numbers], np.int64)
    closes = close + np.arange(len(numbers), dtype=np.int64)
    return GridBars(opened, opened + MINUTE, closes - 1, closes + 5, closes - 7, closes, np.full(len(numbers), 2_500, np.int64))


def settlements(*pairs: tuple[int, int]) -> Settlements:
    return Settlements(np.array([t for t, _ in pairs], np.int64), np.array([rate for _, rate in pairs], np.int64))


def test_the_cells_have_names_in_order() -> None:
    assert len(ROW_CELLS) == ROW_SIZE
    assert [ROW_CELLS[n] for n in (OPEN, HIGH, LOW, CLOSE, VOLUME, TS_S, FUNDING_RATE, FUNDING_TS_S, LEADER_CLOSE)] == list(ROW_CELLS)


def test_ticks_and_lots_cross_into_quote_currency_and_base_units() -> None:
    made = rows_of(instrument(), grid(1, 2), interval_ns=MINUTE)
    tick, lot = 10_000_000 / 10**8, 100_000 / 10**8
    assert made[1, :6].tolist() == [1_000 * tick, 1_006 * tick, 994 * tick, 1_001 * tick, 2_500 * lot, T0 / S + 120]
    assert np.isnan(made[:, [FUNDING_RATE, FUNDING_TS_S, LEADER_CLOSE]]).all()


def test_a_new_record_holds_for_bars_that_close_after_it_begins() -> None:
    old, new = instrument(), instrument(tick_e8=1_000_000, lot_e8=1_000_000, valid_from_ns=T0 + 2 * MINUTE)
    made = rows_of((old, new), grid(1, 2, 3), interval_ns=MINUTE)
    assert made[:, CLOSE] == pytest.approx([100.0, 100.1, 10.02])
    assert made[:, VOLUME] == pytest.approx([2.5, 2.5, 25.0])
    assert closes_of((old, new), grid(1, 2, 3)).close.tobytes() == np.ascontiguousarray(made[:, CLOSE]).tobytes()
    assert closes_of(old, grid(1)).ts_ns.tolist() == [T0 + MINUTE]


def test_a_settlement_at_the_close_is_known_and_one_after_it_is_not() -> None:
    told = settlements((T0 - MINUTE, 7), (T0 + 2 * MINUTE, -250), (T0 + 3 * MINUTE + 1, 900))
    made = rows_of(instrument(), grid(1, 2, 3, 4), interval_ns=MINUTE, funding=told)
    assert made[:, FUNDING_RATE] == pytest.approx([7e-8, -2.5e-6, -2.5e-6, 9e-6])
    assert made[:, FUNDING_TS_S].tolist() == [T0 / S - 60, T0 / S + 120, T0 / S + 120, T0 / S + 180]


def test_before_the_first_settlement_the_rate_is_unknown() -> None:
    made = rows_of(instrument(), grid(1, 2), interval_ns=MINUTE, funding=settlements((T0 + 2 * MINUTE, 0)))
    assert np.isnan(made[0, [FUNDING_RATE, FUNDING_TS_S]]).all()
    assert made[1, FUNDING_RATE] == 0.0
    none = rows_of(instrument(), grid(1, 2), interval_ns=MINUTE, funding=settlements())
    assert np.isnan(none[:, FUNDING_RATE]).all()


def test_the_leader_is_one_interval_back_or_unknown() -> None:
    leader = closes_of(instrument(), grid(1, 2, 4, close=5_000))
    made = rows_of(instrument(), grid(1, 2, 3, 4, 5, 6), interval_ns=MINUTE, leader=leader)
    assert np.isnan(made[[0, 3, 5], LEADER_CLOSE]).all()
    assert made[[1, 2, 4], LEADER_CLOSE] == pytest.approx([500.0, 500.1, 500.2])
    none = rows_of(instrument(), grid(1), interval_ns=MINUTE, leader=Closes(np.zeros(0, np.int64), np.zeros(0)))
    assert np.isnan(none[:, LEADER_CLOSE]).all()


def test_the_leader_is_led_by_itself() -> None:
    bars = grid(1, 2, 3)
    made = rows_of(instrument(), bars, interval_ns=MINUTE, leader=closes_of(instrument(), bars))
    assert made[1:, LEADER_CLOSE].tolist() == made[:-1, CLOSE].tolist()


def test_holes_up_to_the_carried_bars_are_bridged() -> None:
    bars = grid(1, 2, 6, 11)
    assert resets_of(bars, interval_ns=MINUTE).tolist() == [False, False, False, True]
    assert resets_of(bars, interval_ns=MINUTE, gap_bars_carried=2).tolist() == [False, False, True, True]
    assert resets_of(grid(), interval_ns=MINUTE).tolist() == []


def test_no_bars_make_no_rows() -> None:
    assert rows_of(instrument(), grid(), interval_ns=MINUTE).shape == (0, ROW_SIZE)


def test_what_does_not_ascend_or_is_missing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="bars do not ascend"):
        rows_of(instrument(), grid(2, 1), interval_ns=MINUTE)
    with pytest.raises(InvalidInput, match="settlements do not ascend"):
        rows_of(instrument(), grid(1), interval_ns=MINUTE, funding=settlements((5, 1), (5, 1)))
    with pytest.raises(InvalidInput, match="closes of the leader"):
        rows_of(instrument(), grid(1), interval_ns=MINUTE, leader=Closes(np.array([2, 1]), np.ones(2)))
    with pytest.raises(InvalidInput, match="records do not ascend"):
        rows_of((instrument(), instrument()), grid(1), interval_ns=MINUTE)
    with pytest.raises(InvalidInput, match="no instrument record"):
        rows_of((), grid(1), interval_ns=MINUTE)
