from __future__ import annotations

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.market.bars import NO_TS
from kedge.market.findings import Rule, by_code
from kedge.market.funding import HOUR_MS, FundingTable, ValidatedFunding, validate_funding

EIGHT = 8 * HOUR_MS


def judge(ts_ms: list[int], rates: list[float], texts: list[tuple[str, str]] | None = None) -> ValidatedFunding:
    written = texts or [(str(ts), str(rate)) for ts, rate in zip(ts_ms, rates, strict=True)]
    return validate_funding("T", np.asarray(ts_ms, dtype=np.int64), np.asarray(rates, dtype=np.float64), tuple(written))


def test_rates_become_exact_integers():
    result = judge([0, EIGHT, 2 * EIGHT], [0.00034729, -0.002147, 0.0])
    assert result.accepted.rate_e8.tolist() == [34_729, -214_700, 0]
    assert (result.quarantine, result.findings) == ((), ())


@pytest.mark.parametrize(
    ("ts", "rate", "texts", "code"),
    [
        (EIGHT, np.nan, ("x", "-"), Rule.NOT_FINITE),
        (EIGHT, np.inf, ("x", "inf"), Rule.NOT_FINITE),
        (NO_TS, 0.0001, ("yesterday", "0.0001"), Rule.NOT_FINITE),
        (EIGHT, np.nan, ("x", " "), Rule.MISSING_FIELD),
        (EIGHT, 0.000000001, ("x", "1e-9"), Rule.OFF_TICK),
        (EIGHT, 1.5, ("x", "1.5"), Rule.OFF_TICK),
        (0, 0.0002, ("x", "0.0002"), Rule.DUPLICATE_TS),
    ],
)
def test_a_rate_that_is_not_exact_known_and_sane_is_quarantined(ts: int, rate: float, texts: tuple[str, str], code: Rule):
    result = judge([0, ts], [0.0001, rate], [("0", "0.0001"), texts])
    (row,) = result.quarantine
    assert (row.row_number, row.first_code, row.values) == (2, code, texts)
    assert result.accepted.rate_e8.tolist() == [10_000]


@pytest.mark.parametrize(("shift", "offset"), [(3, "+3"), (7, "-1"), (4, "+4")])
def test_settlements_shifted_by_whole_hours_suggest_a_zone(shift: int, offset: str):
    result = judge([n * EIGHT + shift * HOUR_MS for n in range(20)], [0.0001] * 20)
    finding = by_code(result.findings)["TIMEZONE_SUSPECT"]
    assert finding.text.endswith(f"--tz UTC{offset}")


def test_hourly_funding_is_not_suspected_and_holes_are_counted():
    assert judge([n * HOUR_MS for n in range(48)], [0.0001] * 48).findings == ()
    holed = judge([0, EIGHT, 4 * EIGHT], [0.0001] * 3)
    assert by_code(holed.findings)["MISSING_BARS"].count == 2


def test_a_table_must_ascend():
    with pytest.raises(InvalidInput, match="ascend"):
        FundingTable("T", np.array([1, 1]), np.array([0, 0]))
    with pytest.raises(InvalidInput, match="2 times and 1 rates"):
        FundingTable("T", np.array([1, 2]), np.array([0]))
