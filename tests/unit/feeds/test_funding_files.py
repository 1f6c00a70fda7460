from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest

from kedge.domain.errors import InvalidInput
from kedge.feeds.funding_files import is_funding, read_funding
from kedge.market.findings import Rule, by_code

T0 = 1_700_006_400_000
EIGHT = 8 * 3_600_000


def test_parquet_and_csv_give_the_same_exact_rates(tmp_path: Path):
    rates = [0.00034729, -0.00012345, 0.0001]
    pa_parquet.write_table(pa.table({"ts": [T0 + n * EIGHT for n in range(3)], "rate": rates}), tmp_path / "x.parquet")
    (tmp_path / "x.csv").write_text(
        "Symbol,Date,Funding Rate\n" + "".join(f"BTC-USDT,2023-11-15 {8 * n:02}:00:00,{rate}\n" for n, rate in enumerate(rates))
    )
    one, two = (read_funding(tmp_path / name).funding for name in ("x.parquet", "x.csv"))
    assert one.accepted.rate_e8.tolist() == two.accepted.rate_e8.tolist() == [34_729, -12_345, 10_000]
    assert one.accepted.ts_ms.tolist() == two.accepted.ts_ms.tolist()
    assert two.accepted.symbol == "BTCUSDT"


def test_local_times_are_suspected_until_the_zone_is_given(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_text("date,rate\n" + "".join(f"2023-11-{15 + n // 3} {3 + 8 * (n % 3):02}:00:00,0.0001\n" for n in range(9)))
    assert by_code(read_funding(path).funding.findings)["TIMEZONE_SUSPECT"].data == {"offset_hours": 3}
    assert read_funding(path, tz="UTC+3").funding.findings == ()


def test_bad_rows_are_quarantined_with_their_text(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_text(f"ts,rate\n{T0},0.0001\n{T0 + EIGHT},n/a\n{T0 + 2 * EIGHT},\n")
    quarantine = read_funding(path).funding.quarantine
    assert [(row.row_number, row.first_code, row.values[1]) for row in quarantine] == [
        (2, Rule.NOT_FINITE, "n/a"),
        (3, Rule.MISSING_FIELD, ""),
    ]


def test_funding_and_bars_are_told_apart(tmp_path: Path):
    (tmp_path / "f.csv").write_text("ts,funding_rate\n1,2\n")
    (tmp_path / "b.csv").write_text("ts,open,high,low,close,volume\n1,2,3,4,5,6\n")
    assert is_funding(tmp_path / "f.csv")
    assert not is_funding(tmp_path / "b.csv")
    with pytest.raises(InvalidInput, match="no column for rate"):
        read_funding(tmp_path / "b.csv")
