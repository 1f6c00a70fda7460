"""Margins of whole books and the walk to liquidation, against fractions and a walk of every tick."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import event, given
from hypothesis import strategies as st

from kedge.domain.units import E8
from kedge.kernel.margin import book_maintenance_e8, isolated_liquidation_e8, liquidation_ticks, maintenance_margin_e8

N_TIERS = 4
LIMIT = 2**62


@st.composite
def tables(draw: st.DrawFn, rate_max_e8: int = E8) -> list[list[int]]:
    """Marginal brackets by the venue's recurrence, limits rising, rates not falling."""
    limits = sorted(draw(st.lists(st.integers(1, 10**9), min_size=N_TIERS - 1, max_size=N_TIERS - 1, unique=True)))
    rates = sorted(draw(st.lists(st.integers(0, rate_max_e8), min_size=N_TIERS, max_size=N_TIERS)))
    rows, deduction = [], 0
    for n, (limit, rate) in enumerate(zip([*limits, LIMIT], rates, strict=True)):
        deduction += limits[n - 1] * (rate - rates[n - 1]) // E8 if n else 0
        rows.append([limit, rate, deduction])
    return rows


@st.composite
def books(draw: st.DrawFn) -> dict[str, Any]:
    """A book of one to three slots, positions from dust to large, from whose terms nothing is left out."""
    n = draw(st.integers(1, 3))

    def column(values: st.SearchStrategy[int]) -> np.ndarray:
        return np.array(draw(st.lists(values, min_size=n, max_size=n)), dtype=np.int64)

    lots = column(st.integers(-500, 500))
    marks, tick_values = column(st.integers(1, 300)), column(st.sampled_from([1, 3, 100, 10_000]))
    entries = column(st.integers(1, 300))
    steep = draw(st.booleans())
    return {
        "lots": lots,
        "costs": lots * entries * tick_values,
        "marks": marks,
        "tick_values": tick_values,
        "leverages_e2": column(st.integers(100, 10_000)),
        "taker_fees_e8": column(st.integers(-10_000, 1_000_000)),
        "tiers3d": np.array([draw(tables(E8 if steep else E8 // 4)) for _ in range(n)], dtype=np.int64),
        "tier_counts": column(st.integers(1, N_TIERS)),
    }


def maintenance_exact(lots: int, mark: int, value: int, leverage: int, fee: int, tiers: list[list[int]]) -> Fraction:
    worth = Fraction(abs(lots) * mark * value)
    tier = next((row for row in tiers if worth <= row[0]), tiers[-1])
    share = 1 - Fraction(100, leverage) if lots > 0 else 1 + Fraction(100, leverage)
    return worth * tier[1] / E8 - tier[2] + worth * share * fee / E8


@given(books())
def test_margin_of_a_book_is_the_sum_of_fractions_rounded_up(book: dict[str, Any]) -> None:
    terms = [book[name] for name in ("lots", "marks", "tick_values", "leverages_e2", "taker_fees_e8", "tiers3d", "tier_counts")]
    total = book_maintenance_e8(*terms)
    assert total == book_maintenance_e8.py_func(*terms)  # type: ignore[attr-defined]
    exact = Fraction(0)
    for slot, count in enumerate(book["tier_counts"].tolist()):
        row = [int(book[name][slot]) for name in ("lots", "marks", "tick_values", "leverages_e2", "taker_fees_e8")]
        exact += maintenance_exact(*row, book["tiers3d"][slot][:count].tolist())
    # A rebate rounds towards less of it from a base already rounded up, so it may lose a part of one unit.
    assert -len(book["lots"]) < total - exact < 3 * len(book["lots"])


def bankrupt(book: dict[str, Any], slot: int, mark: int, wallet: int) -> bool:
    moved = book["marks"].copy()
    moved[slot] = mark
    equity = wallet + int((book["lots"] * moved * book["tick_values"] - book["costs"]).sum())
    return bool(equity <= book_maintenance_e8(book["lots"], moved, *(book[k] for k in list(book)[3:])))


@given(books(), st.integers(1, 300), st.integers(1, 300), st.data())
def test_liquidation_is_the_first_tick_of_a_walk_over_all_of_them(book: dict[str, Any], start: int, stop: int, data: st.DataObject) -> None:
    slot = data.draw(st.integers(0, len(book["lots"]) - 1))
    scale = int(np.abs(book["costs"]).max()) + 1
    wallet = data.draw(st.integers(-scale // 4, scale))
    found = liquidation_ticks(slot, start, stop, wallet, *book.values())
    walk = range(start, stop + 1) if start <= stop else range(start, stop - 1, -1)
    assert found == next((mark for mark in walk if bankrupt(book, slot, mark, wallet)), 0)
    event(f"found: {'never' if not found else 'at once' if found == start else 'on the way'}")


@given(books(), st.integers(1, 300), st.integers(1, 300), st.integers(0, 10**6))
def test_liquidation_is_the_same_in_both_forms(book: dict[str, Any], start: int, stop: int, wallet: int) -> None:
    terms = (0, start, stop, wallet, *book.values())
    assert liquidation_ticks(*terms) == liquidation_ticks.py_func(*terms)  # type: ignore[attr-defined]


@given(
    st.integers(1_000, 10_000_000), st.integers(-100_000, 100_000).filter(bool), st.integers(100, 10_000), st.integers(0, 10**12),
    tables(E8 // 2),
)  # fmt: skip
def test_isolated_price_is_where_margin_meets_equity(
    entry_ticks: int, lots: int, leverage: int, extra: int, table: list[list[int]]
) -> None:
    tick_e8, value = 1_000_000, 1_000
    tiers = np.array(table, dtype=np.int64)
    side = 1 if lots > 0 else -1
    price = int(isolated_liquidation_e8(entry_ticks * tick_e8, lots, leverage, extra, tick_e8, value, tiers))
    assert price == isolated_liquidation_e8.py_func(entry_ticks * tick_e8, lots, leverage, extra, tick_e8, value, tiers)  # type: ignore[attr-defined]

    def short_of_margin(ticks: int) -> Fraction:
        worth, cost = ticks * abs(lots) * value, entry_ticks * abs(lots) * value
        equity = Fraction(cost * 100, leverage) + extra + side * (worth - cost)
        return equity - maintenance_exact(lots, ticks, value, leverage, 0, table)

    noise = 3 + N_TIERS
    beyond, before = (math.floor, math.ceil) if side > 0 else (math.ceil, math.floor)
    if price:
        assert short_of_margin(before(Fraction(price, tick_e8)) + side) >= -noise
    if beyond(Fraction(price, tick_e8)) - side > 0:
        assert short_of_margin(beyond(Fraction(price, tick_e8)) - side) <= noise


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(100, 10_000), st.booleans(), st.integers(0, 100_000), tables(E8 // 2))
def test_more_value_never_needs_less_margin(a: int, b: int, leverage: int, long: bool, fee: int, table: list[list[int]]) -> None:
    tiers = np.array(table, dtype=np.int64)
    less, more = (maintenance_margin_e8(value, leverage, int(long), fee, tiers) for value in sorted((a, b)))
    assert less <= more + N_TIERS  # one unit per tier: deductions are floored
