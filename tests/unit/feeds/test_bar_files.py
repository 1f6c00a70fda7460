from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as pa_feather
import pyarrow.parquet as pa_parquet
import pytest

from kedge.domain.errors import InvalidInput, NotFound
from kedge.feeds.bar_files import BarFile, guess_symbol, read_bars
from kedge.feeds.mapping import ColumnMapping, parse_mapping
from kedge.feeds.tables import file_sha256
from kedge.market.findings import Rule, by_code
from kedge.market.validation import validate

T0 = 1_700_006_400_000
ROWS = [[T0 + n * 60_000, 10.0 + n, 11.5 + n, 9.25 + n, 10.5 + n, 0.001 * n] for n in range(8)]
NAMES = ["ts", "open", "high", "low", "close", "volume"]
CSV = ",".join(NAMES) + "\n" + "\n".join(",".join(str(cell) for cell in row) for row in ROWS) + "\n"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def arrow() -> pa.Table:
    return pa.table({name: [row[at] for row in ROWS] for at, name in enumerate(NAMES)})


def assert_rows(got: BarFile) -> None:
    columns = list(zip(*(column.tolist() for column in got.raw.table.columns), strict=True))
    assert [list(row) for row in columns] == ROWS
    assert got.raw.table.interval_ms == 60_000
    assert not got.raw.missing.any()


def csv_file(folder: Path) -> Path:
    return write(folder, "x.csv", CSV)


def gz_file(folder: Path) -> Path:
    path = folder / "x.csv.gz"
    path.write_bytes(gzip.compress(CSV.encode()))
    return path


def parquet_file(folder: Path) -> Path:
    pa_parquet.write_table(arrow(), folder / "x.parquet")
    return folder / "x.parquet"


def feather_file(folder: Path) -> Path:
    pa_feather.write_feather(
        arrow().rename_columns(["date", *NAMES[1:]]).set_column(0, "date", arrow()["ts"].cast(pa.timestamp("ms", "UTC"))),
        folder / "x.feather",
    )
    return folder / "x.feather"


def json_file(folder: Path) -> Path:
    return write(folder, "BTC_USDT-1m.json", json.dumps(ROWS))


def binance_dump(folder: Path) -> Path:
    lines = [",".join(map(str, [row[0] * 1_000, *row[1:], row[0] * 1_000 + 59_999_999, 5.0, 3, 1.0, 2.0, 0])) for row in ROWS]
    return write(folder, "BTCUSDT-1m-2025-01.csv", "\n".join(lines))


def bybit_kline(folder: Path) -> Path:
    return write(folder, "kline.csv", "\n".join(",".join(map(str, [*row, 7.5])) for row in reversed(ROWS)))


@pytest.mark.parametrize("make", [csv_file, gz_file, parquet_file, feather_file, json_file, binance_dump])
def test_every_format_gives_the_same_rows(make, tmp_path: Path):
    assert_rows(read_bars(make(tmp_path)))


def test_a_file_is_named_by_its_name_and_hash_never_its_folder(tmp_path: Path):
    path = csv_file(tmp_path)
    got = read_bars(path)
    assert (got.label, got.sha256) == ("x.csv", file_sha256(path))
    assert str(tmp_path) not in repr(got.raw.table)


def test_rows_stay_in_the_files_order(tmp_path: Path):
    assert read_bars(bybit_kline(tmp_path)).raw.table.ts_ms.tolist() == [row[0] for row in reversed(ROWS)]


@pytest.mark.parametrize(
    ("line", "items"),
    [
        ("{d},BTCUSDT,{o},{h},{l},{c},{v},99", ["header=no", "ts=1", "symbol=2", "open=3", "high=4", "low=5", "close=6", "volume=7"]),
        ("{c};{o}", None),
    ],
)
def test_positions_name_columns_of_a_file_without_names(line: str, items: list[str] | None, tmp_path: Path):
    lines = [line.format(d=row[0], o=row[1], h=row[2], l=row[3], c=row[4], v=row[5]) for row in ROWS]
    path = write(tmp_path, "odd.csv", "\n".join(lines))
    if items is None:
        with pytest.raises(InvalidInput, match="2 columns without names"):
            read_bars(path)
    else:
        assert_rows(read_bars(path, mapping=parse_mapping(items)))


def test_cryptodatadownload_with_address_line_and_two_volumes(tmp_path: Path):
    head = "https://www.example.com\nunix,date,symbol,open,high,low,close,Volume BTC,Volume USDT\n"
    body = "\n".join(f"{row[0]},2023-11-15 00:00:00,BTC/USDT,{row[1]},{row[2]},{row[3]},{row[4]},{row[5]},77" for row in ROWS)
    got = read_bars(write(tmp_path, "x.csv", head + body))
    assert_rows(got)
    assert got.raw.table.symbol == "BTCUSDT"


def test_two_volumes_that_both_fit_are_asked_about(tmp_path: Path):
    lines = [",".join([*NAMES[:5], "Volume A", "Volume B"]), *(",".join(map(str, [*row, 1])) for row in ROWS)]
    path = write(tmp_path, "x.csv", "\n".join(lines))
    with pytest.raises(InvalidInput, match="several columns may be the volume"):
        read_bars(path)
    assert_rows(read_bars(path, mapping=parse_mapping(["volume=Volume A"])))


def test_semicolons_separate_too(tmp_path: Path):
    assert_rows(read_bars(write(tmp_path, "x.csv", CSV.replace(",", ";"))))


def test_a_missing_column_lists_what_is_there_and_the_option(tmp_path: Path):
    path = write(tmp_path, "x.csv", CSV.replace("close", "closing", 1))
    with pytest.raises(InvalidInput) as caught:
        read_bars(path)
    assert "no column for close" in caught.value.what
    assert "closing" in caught.value.why
    assert "--map close=COLUMN" in caught.value.fix
    assert_rows(read_bars(path, mapping=ColumnMapping({"close": "closing"})))
    with pytest.raises(InvalidInput, match="no such column"):
        read_bars(path, mapping=ColumnMapping({"close": "nothing"}))


def test_a_wrong_interval_is_refused(tmp_path: Path):
    with pytest.raises(InvalidInput, match="--interval 1m"):
        read_bars(csv_file(tmp_path), interval_ms=300_000)


def mixed(folder: Path) -> Path:
    lines = [f"{','.join(map(str, row))},{name}" for row in ROWS for name in ("BTC/USDT", "ETHUSDT")]
    return write(folder, "x.csv", ",".join(NAMES) + ",symbol\n" + "\n".join(lines))


def test_several_instruments_are_refused_until_one_is_named(tmp_path: Path):
    with pytest.raises(InvalidInput, match="BTC/USDT, ETHUSDT") as caught:
        read_bars(mixed(tmp_path))
    assert "--symbol" in caught.value.fix
    got = read_bars(mixed(tmp_path), symbol="ETHUSDT")
    assert_rows(got)
    assert got.raw.row_number.tolist() == list(range(2, 17, 2))
    assert by_code(validate(got.raw).findings)["OTHER_INSTRUMENTS"].count == 8
    with pytest.raises(InvalidInput, match="no rows of XRPUSDT"):
        read_bars(mixed(tmp_path), symbol="XRPUSDT")


def test_unreadable_cells_torn_rows_and_blank_symbols_reach_quarantine_with_their_text(tmp_path: Path):
    lines = [",".join([*map(str, row), "BTCUSDT"]) for row in ROWS]
    lines[1] = lines[1].replace("11.0", "eleven", 1)
    lines[2] = lines[2].replace(",12.0,", ",,", 1)
    lines[3] = "torn,row"
    lines[4] = lines[4].replace("BTCUSDT", "")
    lines[5] = lines[5].replace(str(ROWS[5][0]), "soon", 1)
    result = validate(read_bars(write(tmp_path, "x.csv", ",".join(NAMES) + ",symbol\n" + "\n".join(lines))).raw)
    assert [(row.row_number, row.first_code) for row in result.quarantine] == [
        (2, Rule.NOT_FINITE),
        (3, Rule.MISSING_FIELD),
        (4, Rule.MISSING_FIELD),
        (5, Rule.MIXED_INSTRUMENTS),
        (6, Rule.NOT_FINITE),
    ]
    assert [row.values[:2] for row in result.quarantine] == [
        (str(ROWS[1][0]), "eleven"),
        (str(ROWS[2][0]), ""),
        ("torn,row",),
        (str(ROWS[4][0]), "14.0"),
        ("soon", "15.0"),
    ]
    assert (result.rows, len(result.accepted)) == (8, 3)


def test_json_rows_that_are_no_rows_are_kept_as_text(tmp_path: Path):
    rows = [*ROWS[:3], [1, 2], "text", [ROWS[3][0], None, "x", 1, 2, 3], *ROWS[4:]]
    result = validate(read_bars(write(tmp_path, "x.json", json.dumps(rows))).raw)
    assert [(row.row_number, row.codes) for row in result.quarantine] == [
        (4, (Rule.MISSING_FIELD,)),
        (5, (Rule.MISSING_FIELD,)),
        (6, (Rule.MISSING_FIELD, Rule.NOT_FINITE)),
    ]


def test_a_confirm_column_that_does_not_say_yes_is_an_open_bar(tmp_path: Path):
    lines = [",".join([*map(str, row), "false" if row is ROWS[-1] else "true"]) for row in ROWS]
    result = validate(read_bars(write(tmp_path, "x.csv", ",".join(NAMES) + ",confirm\n" + "\n".join(lines))).raw)
    assert [(row.row_number, row.codes) for row in result.quarantine] == [(8, (Rule.UNCONFIRMED,))]


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("x.csv", b"", "is empty"),
        ("x.csv", b"\n", "has no rows"),
        ("x.csv", b"ts,open,high,low,close,volume\n", "has no rows"),
        ("x.csv", b"a,a\n1,2\n", "two columns have one name"),
        ("x.json", b"[]", "has no rows"),
        ("x.json", b"{}", "no list of rows"),
        ("x.json", b"[[1,2", "cannot be read"),
        ("x.parquet", b"PAR1 not at all", "cannot be read"),
        ("x.feather", b"ARROW1 not at all", "cannot be read"),
        ("x.csv.gz", b"not gzip", "cannot be read"),
        ("x.xlsx", b"PK", "format '.xlsx'"),
        ("x", b"1,2", "without suffix"),
    ],
)
def test_damaged_and_foreign_files_are_refused_with_their_name(name: str, content: bytes, match: str, tmp_path: Path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=match) as caught:
        read_bars(path)
    assert name in caught.value.what


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path):
    with pytest.raises(NotFound, match="no file"):
        read_bars(tmp_path / "none.csv")
    with pytest.raises(NotFound):
        read_bars(tmp_path)


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("bybit-linear-BTCUSDT-5m.parquet", "BTCUSDT"),
        ("coinm-BTCUSD_PERP-1m.csv", "BTCUSD_PERP"),
        ("ftx-BTC_PERP-1m.csv", "BTC_PERP"),
        ("bars.csv.gz", "bars"),
    ],
)
def test_a_symbol_is_guessed_from_the_name(name: str, symbol: str):
    assert guess_symbol(name) == symbol


@pytest.mark.parametrize("item", ["close", "close=", "colour=3", "unit=minutes", "header=perhaps"])
def test_a_mapping_that_means_nothing_is_refused(item: str):
    with pytest.raises(InvalidInput, match="--map"):
        parse_mapping([item])
