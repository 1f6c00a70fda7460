"""Which instrument record a run uses: a shipped one, one given by hand, or one derived from the data; and what it says about that."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from .commands import WIDE, Answer, kedge
from .decimal_ledger import PriceFile, exact, keep_books, records_of, scaled
from .expected_fills import actual_fills, expected_fills

RECORD: dict[str, Any] = {
    "instrument_id": "desk:BTCUSDT",
    "base": "BTC",
    "quote": "USDT",
    "tick_size": "0.1",
    "lot_size": "0.001",
    "price_max": "1000000",
    "order_qty_min": "0.001",
    "order_qty_max": "20",
    "market_qty_max": "5",
    "position_max": "200",
    "notional_min": "5",
    "maker_fee": "-0.0001",
    "taker_fee": "0.00031",
    "leverage_max": "25",
    "tiers": [{"limit": "200000", "rate": "0.02", "max_leverage": "25"}, {"limit": "1000000", "rate": "0.05", "max_leverage": "10"}],
    "funding_interval_minutes": 480,
    "price_collar_bps": 300,
}


def backtest(state: Path, *arguments: object) -> Answer:
    return kedge("backtest", "run", *arguments, "--state-dir", state, "--json")


def first_record(answer: Answer) -> dict[str, Any]:
    return next(records_of(Path(answer.json["journal"])))


def cut(source: Path, folder: Path, rows: int, *, first: int = 0) -> Path:
    path = folder / source.name
    pl.read_parquet(source).slice(first, rows).write_parquet(path)
    return path


def explained(answer: Answer, path: Path) -> None:
    """The other books agree with the run to the last unit, and every fill is the one that the rules give."""
    journal = Path(answer.json["journal"])
    prices = {i["instrument_id"]: PriceFile(path) for i in first_record(answer)["instruments"]}
    books = keep_books(journal, prices)
    assert Decimal(answer.json["equity"]) == books.equity_from_cash == books.wallet + books.unrealised
    assert Decimal(answer.json["drawdown"]) == books.drawdown
    assert books.wrong_fees == []
    assert sorted(actual_fills(journal)) == sorted(expected_fills(journal, prices))


def decimals(path: Path, *columns: str) -> int:
    """The most decimals that any value of these columns is written with."""
    values = {v for name in columns for v in pl.read_parquet(path)[name].unique().to_list()}
    return max(max(0, -int(exact(value).normalize().as_tuple().exponent)) for value in values)


def test_a_record_given_by_hand_is_used_and_told(data_folder: Path, tmp_path: Path):
    path = cut(data_folder / "ohlcv" / "bybit-linear-BTCUSDT-1h.parquet", tmp_path, 2_000)
    record = tmp_path / "record.json"
    record.write_text(json.dumps(RECORD))
    for entry in ("market", "limit"):
        answer = backtest(tmp_path, "--data", path, "--instrument", record, "--entry", entry, "--param", "fast=8", "--param", "slow=30")
        assert answer.code == 0
        assert answer.json["assumptions"]["desk:BTCUSDT instrument"] == "record given with --instrument"
        (used,) = first_record(answer)["instruments"]
        assert (used["instrument_id"], used["maker_fee_e8"], used["taker_fee_e8"]) == ("desk:BTCUSDT", -10_000, 31_000)
        explained(answer, path)
    roles = {fill.role for fill in actual_fills(Path(answer.json["journal"]))}
    assert roles == {"maker", "taker"}


def test_a_record_with_a_tick_that_the_prices_are_not_on_is_refused(data_folder: Path, tmp_path: Path):
    path = cut(data_folder / "ohlcv" / "bybit-linear-BTCUSDT-1h.parquet", tmp_path, 500)
    record = tmp_path / "record.json"
    record.write_text(json.dumps({**RECORD, "tick_size": "0.5"}))
    answer = backtest(tmp_path, "--data", path, "--instrument", record)
    assert (answer.code, answer.json["code"]) == (4, "INVALID_INPUT")
    assert "off the tick" in answer.json["title"]
    assert "--instrument" in answer.json["fix"]


def test_one_record_for_two_files_is_refused(data_folder: Path, tmp_path: Path):
    record = tmp_path / "record.json"
    record.write_text(json.dumps(RECORD))
    files = [p for s in ("BTC", "ETH") for p in ("--data", cut(data_folder / "ohlcv" / f"bybit-linear-{s}USDT-1h.parquet", tmp_path, 300))]
    answer = backtest(tmp_path, *files, "--instrument", record)
    assert (answer.code, answer.json["code"]) == (4, "INVALID_INPUT")
    assert "one data file" in answer.json["fix"]


@pytest.mark.parametrize(
    ("name", "instrument", "rows"),
    [("binance-spot-LUNAUSDT-1h", "binance-spot:LUNAUSDT", 9_500), ("ftx-BTC_PERP-1m", "ftx:BTC_PERP", 45_031)],
)
def test_another_symbol_gets_the_finest_grid_and_the_assumptions_say_so(
    name: str, instrument: str, rows: int, data_folder: Path, tmp_path: Path
):
    path = cut(data_folder / "ohlcv" / f"{name}.parquet", tmp_path, rows)
    answer = backtest(tmp_path, "--strategy", "trend", "--data", path)
    assert answer.code == 0
    assert answer.json["bars"] == rows
    assert answer.json["fills"] > 10
    (used,) = first_record(answer)["instruments"]
    assert (used["instrument_id"], used["grid"]) == (instrument, "derived")
    assert scaled(used["tick_e8"]) == Decimal(1).scaleb(-decimals(path, "open", "high", "low", "close"))
    assert (used["maker_fee_e8"], used["taker_fee_e8"]) == (20_000, 55_000)
    told = {key.removeprefix(f"{instrument} "): text for key, text in answer.json["assumptions"].items()}
    assert told["grid"] == "derived from the data, not taken from the venue"
    assert "finest decimal tick that holds every price" in told["tick_size"]
    assert "lot" in told["lot_size"]
    assert told["fees"] == "base tier: maker 0.020%, taker 0.055%"
    assert "strictest table" in told["tiers"]
    assert "none charged" in told["funding"]
    explained(answer, path)


def test_a_file_of_ones_own_is_derived_in_the_same_way(tmp_path: Path):
    rows = [(1_700_006_400_000 + n * 60_000, 5 + abs(n % 120 - 60) / 1000) for n in range(600)]
    table = pl.DataFrame(
        {
            "ts": [ts for ts, _ in rows],
            **{name: [p + step for _, p in rows] for name, step in (("open", 0.0), ("high", 0.002), ("low", -0.002), ("close", 0.001))},
            "volume": [1234.5 + n for n in range(len(rows))],
        }
    ).with_columns(pl.col("open", "high", "low", "close").round(3))
    table.write_csv(tmp_path / "ABCUSDT-1m.csv")
    table.write_parquet(tmp_path / "ABCUSDT-1m.parquet")
    by_csv = backtest(tmp_path, "--data", tmp_path / "ABCUSDT-1m.csv", "--wallet", "500", "--param", "fast=3", "--param", "slow=9")
    (used,) = first_record(by_csv)["instruments"]
    assert (used["instrument_id"], scaled(used["tick_e8"]), scaled(used["lot_e8"])) == ("file:ABCUSDT", Decimal("0.001"), Decimal("0.1"))
    assert by_csv.json["fills"] > 5
    explained(by_csv, tmp_path / "ABCUSDT-1m.parquet")
    by_parquet = backtest(tmp_path, "--data", tmp_path / "ABCUSDT-1m.parquet", "--wallet", "500", "--param", "fast=3", "--param", "slow=9")
    assert by_parquet.json["equity"] == by_csv.json["equity"]


def test_bars_from_before_the_first_shipped_record_are_not_put_on_its_grid(data_folder: Path, tmp_path: Path):
    path = tmp_path / "bybit-linear-SOLUSDT-1h.parquet"
    early = pl.read_parquet(data_folder / "ohlcv" / path.name).tail(500).with_columns(pl.col("ts") - 1_000 * 86_400_000)
    early.write_parquet(path)
    answer = backtest(tmp_path, "--data", path)
    assert answer.code == 0
    assert "derived" in answer.json["assumptions"]["bybit-linear:SOLUSDT grid"]
    assert first_record(answer)["instruments"][0]["tick_e8"] == 1_000_000


UNCAPPED = "sizing: {active: false}\n"


def test_a_ruined_account_is_explained_too(data_folder: Path, tmp_path: Path):
    """LUNA's file goes from one coin to another at 170,000 times the price: a short is liquidated, the insurance fund pays the rest."""
    whole = pl.read_parquet(data_folder / "ohlcv" / "binance-spot-LUNAUSDT-1h.parquet")
    at = whole.with_row_index().filter((pl.col("open") / pl.col("close").shift(1)) > 1_000)["index"][0]
    path = tmp_path / "binance-spot-LUNAUSDT-1h.parquet"
    whole.with_row_index().slice(at - 45, 120).filter(pl.col("index") != at).drop("index").write_parquet(
        path
    )  # straight to the new coin's price
    config = tmp_path / "kedge.yaml"
    config.write_text(
        WIDE + '  order_notional_frac_soft: "0.9"\n  order_notional_frac_max: "1"\n  position_notional_frac_max: "1"\n' + UNCAPPED
    )
    options = ("--param", "exposure_frac=0.9", "--param", "fast=5", "--param", "slow=20", "--config", config)
    answer = backtest(tmp_path, "--data", path, *options)
    assert answer.code == 0, answer.out
    journal = Path(answer.json["journal"])
    events = [record["event"] for record in records_of(journal, quiet_bars=False) if "event" in record]
    assert any(event.get("cause") == "liquidation" for event in events)
    assert Decimal(answer.json["flows"]) > 0
    books = keep_books(journal, {"binance-spot:LUNAUSDT": PriceFile(path)})
    assert Decimal(answer.json["equity"]) == books.equity_from_cash == books.wallet + books.unrealised >= 0
    assert Decimal(answer.json["flows"]) == books.flows
    assert kedge("replay", journal, "--state-dir", tmp_path, "--json").json["equal"]
