"""The caps together: the smallest binds and is named, what cannot be judged refuses, and no configuration loosens past its ceiling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.errors import InvalidConfig, InvalidInput
from kedge.risk.sizing_caps import Cap, Sized, SizingCaps, Wanted, size
from kedge.risk.sizing_refused import SizingRefused

LOOSE = Wanted(signal_frac=0.1, stop_frac=0.02, gap_frac=0.01, cost_frac=0.001, unit_es_975=0.05)


@pytest.mark.parametrize(
    ("change", "bound_by", "frac"),
    [
        ({}, Cap.SIGNAL, 0.1),
        ({"kelly_frac": 0.05}, Cap.KELLY, 0.05),
        ({"vol_target_frac": 0.04}, Cap.VOL_TARGET, 0.04),
        ({"signal_frac": 2.0, "gap_frac": 0.379}, Cap.TRADE_RISK, 0.05),
        ({"signal_frac": 0.6}, Cap.BOOK_ES, 0.5),
        ({"signal_frac": 0.6, "book_es_975_frac": 0.02}, Cap.BOOK_ES, 0.1),
        ({"signal_frac": 9.0, "stop_frac": 0.001, "gap_frac": 0.0, "unit_es_975": 0.001}, Cap.LEVERAGE, 1.5),
        ({"signal_frac": 0.0}, Cap.SIGNAL, 0.0),
        ({"kelly_frac": 0.0}, Cap.KELLY, 0.0),
    ],
)
def test_the_smallest_binds_and_is_named(change: dict[str, float], bound_by: Cap, frac: float) -> None:
    found = size(LOOSE._replace(**change), SizingCaps())
    assert isinstance(found, Sized)
    assert found.bound_by is bound_by
    assert found.notional_frac == pytest.approx(frac)
    assert dict(found.allowed)[bound_by] == pytest.approx(frac)


def test_a_short_is_sized_like_a_long() -> None:
    found = size(LOOSE._replace(signal_frac=-0.6), SizingCaps())
    assert isinstance(found, Sized)
    assert found.notional_frac == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("change", "code"),
    [({"stop_frac": 0.0}, "NO_STOP"), ({"unit_es_975": -0.01}, "ES_NOT_POSITIVE"), ({"book_es_975_frac": 0.025}, "ES_SPENT")],
)
def test_a_cap_that_cannot_be_judged_refuses(change: dict[str, float], code: str) -> None:
    refused = size(LOOSE._replace(**change), SizingCaps())
    assert isinstance(refused, SizingRefused)
    assert refused.code == code


@pytest.mark.parametrize(
    "change",
    [
        {"book_es_975_frac": 0.1001},
        {"book_es_975_frac": 0.0},
        {"trade_risk_frac": 0.0201},
        {"kelly_multiple_max": 0.26},
        {"leverage_max": float("nan")},
    ],
)
def test_a_cap_past_its_ceiling_is_refused_when_it_is_made(change: dict[str, float]) -> None:
    with pytest.raises(InvalidConfig, match=next(iter(change))):
        SizingCaps(**change)
    assert SizingCaps(book_es_975_frac=0.10).book_es_975_frac == 0.10


@pytest.mark.parametrize("change", [{"signal_frac": float("nan")}, {"gap_frac": -0.1}, {"kelly_frac": -0.1}, {"unit_es_975": float("inf")}])
def test_what_is_not_known_is_refused_by_name(change: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(change))):
        size(LOOSE._replace(**change), SizingCaps())


@given(
    st.builds(
        Wanted,
        signal_frac=st.floats(-5, 5),
        stop_frac=st.floats(1e-4, 0.5),
        gap_frac=st.floats(0, 0.3),
        cost_frac=st.floats(0, 0.01),
        unit_es_975=st.floats(1e-3, 0.5),
        book_es_975_frac=st.floats(0, 0.024),
        kelly_frac=st.none() | st.floats(0, 3),
        vol_target_frac=st.none() | st.floats(0, 3),
    )
)
def test_no_size_passes_any_cap(wanted: Wanted) -> None:
    caps = SizingCaps()
    found = size(wanted, caps)
    assert isinstance(found, Sized)
    held = abs(found.notional_frac)
    assert held <= abs(wanted.signal_frac)
    assert held * (wanted.stop_frac + wanted.gap_frac + wanted.cost_frac) <= caps.trade_risk_frac * (1 + 1e-12)
    assert held * wanted.unit_es_975 + wanted.book_es_975_frac <= caps.book_es_975_frac * (1 + 1e-12)
    assert held <= caps.leverage_max
    assert held <= min(one for one in (wanted.kelly_frac, wanted.vol_target_frac, 99.0) if one is not None)
    assert found.notional_frac * wanted.signal_frac >= 0.0
