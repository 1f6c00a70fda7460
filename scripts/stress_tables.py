"""The stress tables of `kedge.risk.stress`, made from market history. `--check` compares instead of writing.

    python -m scripts.stress_tables [--data FOLDER] [--check]

FOLDER holds `ohlcv/`, `funding/` and `equities/` as Parquet files; by default KEDGE_TEST_DATA, else `../shared/data`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from kedge.domain.units import E8, NS_PER_DAY, NS_PER_MS, NS_PER_S
from kedge.risk.stress.refresh import PriceBar, beta_of, path_text, settlements_of
from kedge.risk.stress.scenario import Scenario
from kedge.risk.stress.types import Beta, Settlement, Source

REPOSITORY: Final = Path(__file__).resolve().parents[1]
TABLES: Final = REPOSITORY / "src" / "kedge" / "risk" / "stress"
COINS: Final = ("BTC", "ETH", "SOL", "BNB", "XRP", "DOGE")
OTHER_COINS: Final = ("BCH", "FET", "FIL", "ICP")
HOUR_NS: Final = 3_600 * NS_PER_S
NEW_YORK_CLOSE_HOUR: Final = 20
"""The hourly bar that opens then closes at 21:00 UTC, as New York does in winter and an hour after it in summer."""


class Window(NamedTuple):
    """What a table is made of: whose bars (first file that exists), of which days, both included."""

    scenario_id: str
    title: str
    first_day: str
    last_day: str
    bars: tuple[str, ...]
    funding: tuple[str, ...] = ()


_SPOT: Final = ("ohlcv/binance-spot-{}USDT-1h",)
_PERPS: Final = ("ohlcv/bybit-linear-{}USDT-1h", "ohlcv/binance-usdm-{}USDT-1h")
_EQUITIES: Final = ("equities/us-{}-1d",)
_BINANCE: Final = ("funding/binance-usdm-{}USDT",)
_BYBIT: Final = ("funding/bybit-linear-{}USDT",)

WINDOWS: Final = (
    Window("mar-2020", "Covid crash, 12 and 13 March 2020", "2020-03-12", "2020-03-13", _SPOT, _BINANCE),
    Window("may-2021", "Deleveraging of 19 May 2021", "2021-05-19", "2021-05-19", _SPOT, _BYBIT),
    Window("may-2022", "Collapse of LUNA, 8 to 12 May 2022", "2022-05-08", "2022-05-12", _SPOT, _BYBIT),
    Window("jun-2022", "Lenders fail after LUNA, 12 to 18 June 2022", "2022-06-12", "2022-06-18", _SPOT, _BYBIT),
    Window("nov-2022", "Collapse of FTX, 8 and 9 November 2022", "2022-11-08", "2022-11-09", _SPOT, _BYBIT),
    Window("aug-2024", "Yen carry unwound, 4 and 5 August 2024", "2024-08-04", "2024-08-05", _PERPS, _BYBIT),
    Window("oct-2025", "Cascade of liquidations, 10 October 2025", "2025-10-10", "2025-10-10", _PERPS, _BYBIT),
    Window("equities-2008", "Equities in the financial crisis, peak of 2007 to trough of 2009", "2007-10-10", "2009-03-09", _EQUITIES),
    Window("equities-2022", "Equities in the bear market of 2022, 4 January to 12 October", "2022-01-04", "2022-10-12", _EQUITIES),
)

_HEAD: Final = '''"""{title}. Made by `python -m scripts.stress_tables`; do not edit.

Each bar is `open,high,low,close` in bps of the price at the start, `-` where nothing traded; funding is `minutes:rate in 1e-8`.
"""

from __future__ import annotations
'''


class History:
    """The Parquet files of a folder, each read once.

    Parameters
    ----------
    folder : Path
        Holds `ohlcv/`, `funding/` and `equities/`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tables: dict[str, pa.Table] = {}

    def find(self, patterns: tuple[str, ...], asset: str) -> str | None:
        """The first file that exists, without its ending."""
        names = (pattern.format(asset) for pattern in patterns)
        return next((name for name in names if (self._folder / f"{name}.parquet").is_file()), None)

    def table(self, name: str) -> pa.Table:
        if name not in self._tables:
            self._tables[name] = pq.read_table(self._folder / f"{name}.parquet")
        return self._tables[name]

    def bars(self, name: str, start_ns: int = 0, end_ns: int = 2**63 - 1) -> list[PriceBar]:
        """Bars that open within a window, prices in 1e-8."""
        opens = self.table(name)["ts"].to_numpy() * NS_PER_MS
        table = self.table(name).filter(pa.array((opens >= start_ns) & (opens < end_ns)))
        rows = zip(*(table[column].to_pylist() for column in ("ts", "open", "high", "low", "close")), strict=True)
        return [PriceBar(ts * NS_PER_MS, *(round(price * E8) for price in prices)) for ts, *prices in rows]

    def rates(self, name: str) -> list[tuple[int, int]]:
        """Settlements and their rates in 1e-8."""
        table = self.table(name).to_pydict()
        return [(ts * NS_PER_MS, round(rate * E8)) for ts, rate in zip(table["ts"], table["rate"], strict=True)]

    def source(self, name: str) -> Source:
        digest = hashlib.sha256((self._folder / f"{name}.parquet").read_bytes()).hexdigest()
        return Source(_words(name), digest)


def scenarios(history: History) -> Iterator[Scenario]:
    """All tables, in order of their windows, without betas."""
    for window in WINDOWS:
        yield _equities(history, window) if window.bars is _EQUITIES else _crypto(history, window)


def betas(history: History) -> tuple[Beta, ...]:
    """Betas of every coin to BTC, and of every coin and QQQ to SPY."""
    found = []
    names = {coin: f"ohlcv/binance-spot-{coin}USDT-1h" for coin in COINS} | {
        coin: f"ohlcv/binance-usdm-{coin}USDT-1h" for coin in OTHER_COINS
    }
    first = _midnight("2020-01-01")
    spy = {bar.ts_ns // NS_PER_DAY: bar.close for bar in history.bars("equities/us-SPY-1d", first)}
    qqq = {bar.ts_ns // NS_PER_DAY: bar.close for bar in history.bars("equities/us-QQQ-1d", first)}
    hours = {coin: history.bars(name, first) for coin, name in names.items()}
    midnights = {coin: _daily(bars, 23) for coin, bars in hours.items()}
    for coin in names:
        if coin != "BTC":
            found.append(beta_of(coin, "BTC", midnights[coin], midnights["BTC"]))
    for coin in names:
        found.append(beta_of(coin, "SPY", _daily(hours[coin], NEW_YORK_CLOSE_HOUR), spy, gap_days=4))
    found.append(beta_of("QQQ", "SPY", qqq, spy, gap_days=4))
    return tuple(found)


def pages(history: History) -> dict[str, str]:
    """Every generated module by its file name."""
    made = {f"table_{s.scenario_id.replace('-', '_')}.py": scenario_page(s) for s in scenarios(history)}
    return {**made, "table_betas.py": betas_page(betas(history))}


def scenario_page(scenario: Scenario) -> str:
    """One scenario as a Python module."""
    lines = [_HEAD.format(title=scenario.title), "from kedge.risk.stress.scenario import Scenario, parse_settlements, single_spaced"]
    lines += ["from kedge.risk.stress.table_betas import BETAS", "from kedge.risk.stress.types import Source", "", "ROWS = {"]
    for asset in scenario.rows:
        lines += [f'    "{asset}": """', textwrap.fill(scenario.rows[asset], 132), '""",']
    lines += ["}", "", "FUNDING = {" if scenario.settlements else "FUNDING: dict[str, str] = {}"]
    for asset, settlements in scenario.settlements.items():
        lines += [f'    "{asset}": """', textwrap.fill(_settlements_text(settlements), 132), '""",']
    lines += [*(["}"] if scenario.settlements else []), "", "SOURCES = {"]
    for key, source in scenario.sources.items():
        lines += [f'    "{key}": Source(', f'        "{source.words}",', f'        "{source.sha256}",', "    ),"]
    lines += ["}", "", "SCENARIO = Scenario("]
    for field in ("scenario_id", "title", "start_ns", "end_ns", "bar_minutes", "factor"):
        value = getattr(scenario, field)
        lines.append(f"    {field}={value:_}," if isinstance(value, int) and value > 9_999 else f"    {field}={_literal(value)},")
    lines += ["    rows=single_spaced(ROWS),", "    settlements=parse_settlements(FUNDING),", "    sources=SOURCES,"]
    lines += [f'    betas=BETAS["{scenario.factor}"],', ")", ""]
    return "\n".join(lines)


def betas_page(found: tuple[Beta, ...]) -> str:
    """The betas as a Python module."""
    lines = ['"""How assets follow BTC and SPY. Made by `python -m scripts.stress_tables`; do not edit.', ""]
    lines += [
        "Slopes of daily log returns by least squares: UTC days for BTC, days from one New York session to the next for SPY.",
        '"""',
        "",
    ]
    lines += ["from __future__ import annotations", "", "from kedge.risk.stress.types import Beta", "", "BETAS = {"]
    for factor in ("BTC", "SPY"):
        lines.append(f'    "{factor}": {{')
        lines += [_beta_line(beta) for beta in found if beta.factor == factor]
        lines.append("    },")
    return "\n".join([*lines, "}", ""])


def _crypto(history: History, window: Window) -> Scenario:
    start_ns, end_ns = _midnight(window.first_day), _midnight(window.last_day) + NS_PER_DAY
    rows, settlements, sources = {}, {}, {}
    for coin in COINS:
        name = history.find(window.bars, coin)
        bars = history.bars(name, start_ns, end_ns) if name else []
        if name and bars:
            rows[coin], sources[coin] = path_text(bars, start_ns, end_ns, 60), history.source(name)
        funding = history.find(window.funding, coin)
        known = settlements_of(history.rates(funding), start_ns, end_ns) if funding else ()
        if funding and known:
            settlements[coin], sources[f"{coin} funding"] = known, history.source(funding)
    return Scenario(
        scenario_id=window.scenario_id, title=window.title, start_ns=start_ns, end_ns=end_ns, bar_minutes=60, factor="BTC",
        rows=rows, settlements=settlements, sources=sources,
    )  # fmt: skip


def _equities(history: History, window: Window) -> Scenario:
    start_ns, end_ns = _midnight(window.first_day), _midnight(window.last_day) + NS_PER_DAY
    rows, sources = {}, {}
    for asset in ("SPY", "QQQ"):
        name = _EQUITIES[0].format(asset)
        before = history.bars(name, 0, start_ns)[-1].close
        rows[asset] = path_text(history.bars(name, start_ns, end_ns), start_ns, end_ns, 1_440, base=before)
        sources[asset] = history.source(name)
    return Scenario(
        scenario_id=window.scenario_id, title=window.title, start_ns=start_ns, end_ns=end_ns, bar_minutes=1_440, factor="SPY",
        rows=rows, sources=sources,
    )  # fmt: skip


def _daily(bars: list[PriceBar], hour: int) -> dict[int, int]:
    return {bar.ts_ns // NS_PER_DAY: bar.close for bar in bars if bar.ts_ns % NS_PER_DAY == hour * HOUR_NS}


def _words(name: str) -> str:
    folder, _, file = name.partition("/")
    if folder == "equities":
        return f"{file.split('-')[1]} daily sessions, adjusted for splits"
    venue = {"binance-spot": "Binance spot", "binance-usdm": "Binance USD-M perpetual", "bybit-linear": "Bybit linear perpetual"}
    market, symbol = ("-".join(file.split("-")[:2]), file.split("-")[2])
    return f"{venue[market]} {symbol}, {'funding' if folder == 'funding' else 'hourly bars'}"


def _settlements_text(settlements: tuple[Settlement, ...]) -> str:
    return " ".join(f"{minutes}:{rate_e8}" for minutes, rate_e8 in settlements)


def _beta_line(beta: Beta) -> str:
    cells = ", ".join(_literal(cell) for cell in beta)
    return f'        "{beta.asset}": Beta({cells}),'


def _literal(value: int | str) -> str:
    return f"{value:_}" if isinstance(value, int) else f'"{value}"'


def _midnight(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * NS_PER_S


def data_folder(given: str | None = None) -> Path:
    """The folder of market history."""
    return Path(given or os.environ.get("KEDGE_TEST_DATA") or REPOSITORY / ".." / "shared" / "data").resolve()


def main() -> int:
    """Write the tables, or compare them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data")
    options.add_argument("--check", action="store_true")
    given = options.parse_args()
    differing = []
    for name, page in pages(History(data_folder(given.data))).items():
        file = TABLES / name
        if given.check:
            if not file.is_file() or file.read_text(encoding="utf-8") != page:
                differing.append(name)
        else:
            file.write_text(page, encoding="utf-8")
    print(f"stress tables that differ from history: {', '.join(differing)}" if differing else "stress tables agree with history")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
