"""How a file's columns map to ours: by name or by position, given or detected from the common layouts.

Rule: a guess is made only where one column fits; otherwise the error lists what is there and the option that decides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from kedge.domain.errors import InvalidInput
from kedge.market.bars import FIELDS

UNITS: Final = ("s", "ms", "us", "ns")
OPTIONAL: Final = ("symbol", "confirm")
FUNDING_FIELDS: Final = ("ts", "rate")
_OPTIONS: Final = ("header", "unit", "format", "tz")

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "ts": (
        "ts",
        "ts_ms",
        "timestamp",
        "unix",
        "unix timestamp",
        "open_time",
        "open time",
        "opentime",
        "start",
        "starttime",
        "date",
        "datetime",
        "time",
    ),
    "open": ("open", "o", "open price"),
    "high": ("high", "h", "high price"),
    "low": ("low", "l", "low price"),
    "close": ("close", "c", "close price"),
    "volume": ("volume", "vol", "v", "base_volume", "volume base"),
    "symbol": ("symbol", "ticker", "pair", "instrument", "tic"),
    "confirm": ("confirm", "confirmed"),
    "rate": ("rate", "funding_rate", "funding rate", "fundingrate", "last_funding_rate", "fundingratelast"),
}
_FUNDING_TS: Final = ("calc_time", "fundingratetimestamp", "funding_time", "fundingtime", "funding_timestamp")
_QUOTES: Final = ("usdt", "usd", "usdc", "busd", "fdusd", "quote", "eur", "tusd")
_HEADERLESS: Final[Mapping[int, tuple[str, Mapping[str, int]]]] = {
    6: ("ts, open, high, low, close, volume", {"ts": 1, "open": 2, "high": 3, "low": 4, "close": 5, "volume": 6}),
    7: ("Bybit kline", {"ts": 1, "open": 2, "high": 3, "low": 4, "close": 5, "volume": 6}),
    9: ("cryptodatadownload", {"ts": 1, "symbol": 3, "open": 4, "high": 5, "low": 6, "close": 7, "volume": 8}),
    10: ("cryptodatadownload", {"ts": 1, "symbol": 3, "open": 4, "high": 5, "low": 6, "close": 7, "volume": 8}),
    12: ("Binance kline dump", {"ts": 1, "open": 2, "high": 3, "low": 4, "close": 5, "volume": 6}),
}


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """Which column is which.

    Attributes
    ----------
    columns : dict
        Our field (`ts open high low close volume symbol confirm rate`) -> the file's column name, or its 1-based position.
    header : bool or None
        Whether a CSV's first row holds names; None to look.
    unit : str or None
        Unit of integer timestamps, 's', 'ms', 'us' or 'ns'; None to tell by size.
    time_format : str or None
        `strptime` format of text timestamps; None for ISO 8601 and the formats of the known layouts.
    tz : str or None
        Zone of timestamps that name none, such as 'UTC+3' or 'Europe/Istanbul'; None is UTC.
    """

    columns: Mapping[str, str | int] = field(default_factory=dict)
    header: bool | None = None
    unit: str | None = None
    time_format: str | None = None
    tz: str | None = None

    def with_tz(self, tz: str | None) -> ColumnMapping:
        """The same mapping in another zone; None keeps the zone."""
        return self if tz is None else replace(self, tz=tz)


def parse_mapping(items: Sequence[str]) -> ColumnMapping:
    """Read `--map` items such as `ts=2`, `volume=Volume BTC`, `header=no`, `unit=ms`, `format=%d/%m/%Y %H:%M`.

    Raises
    ------
    InvalidInput
        Not KEY=VALUE, an unknown key, or a value that the key does not take.
    """
    known = (*FIELDS, *OPTIONAL, "rate", *_OPTIONS)
    values: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not value or key not in known:
            raise InvalidInput(f"--map {item!r}", why="not KEY=VALUE with a known key", fix=f"keys are {', '.join(known)}")
        values[key] = value
    header, unit = values.get("header"), values.get("unit")
    if header is not None and header not in ("yes", "no"):
        raise InvalidInput(f"--map header={header}", why="not yes or no", fix="write header=yes or header=no")
    if unit is not None and unit not in UNITS:
        raise InvalidInput(f"--map unit={unit}", why="not a unit of time", fix=f"one of {', '.join(UNITS)}")
    columns = {key: _name_or_position(value) for key, value in values.items() if key not in _OPTIONS}
    return ColumnMapping(columns, None if header is None else header == "yes", unit, values.get("format"), values.get("tz"))


def _name_or_position(value: str) -> str | int:
    return int(value) if re.fullmatch(r"[1-9][0-9]?", value) else value


def resolve(mapping: ColumnMapping, names: Sequence[str], *, named: bool, wanted: Sequence[str], file: str) -> dict[str, int]:
    """Position (from 0) of each field in a file with these columns.

    Parameters
    ----------
    names : sequence of str
        The file's column names, or its numbers as text where it has none.
    named : bool
        Whether `names` came from the file.
    wanted : sequence of str
        Fields that must be there.

    Raises
    ------
    InvalidInput
        A wanted field is missing, or several columns fit.
    """
    found = {key: _given(key, column, names, file) for key, column in mapping.columns.items() if key in (*wanted, *OPTIONAL)}
    guessed = _by_name(names, wanted, found, file) if named else _by_position(names, wanted, found)
    positions = {**guessed, **found}
    missing = [name for name in wanted if name not in positions]
    if missing:
        listed = ", ".join(names) if named else f"{len(names)} columns without names"
        options = " ".join(f"--map {name}=COLUMN" for name in missing)
        raise InvalidInput(
            f"{file}: no column for {', '.join(missing)}",
            why=f"it has {listed}",
            fix=f"say which with {options} (a name, or a number from 1)",
        )
    return positions


def _given(key: str, column: str | int, names: Sequence[str], file: str) -> int:
    if isinstance(column, str) and column in names:
        return names.index(column)
    if str(column) in names:
        return names.index(str(column))
    if isinstance(column, int) and column <= len(names):
        return column - 1
    raise InvalidInput(f"{file}: --map {key}={column}", why="no such column", fix=f"the file has {', '.join(names)}")


def _by_name(names: Sequence[str], wanted: Sequence[str], taken: Mapping[str, int], file: str) -> dict[str, int]:
    plain = [name.strip().lower() for name in names]
    found: dict[str, int] = {}
    for key in (*wanted, *OPTIONAL):
        if key in taken:
            continue
        spellings = (*_FUNDING_TS, *_NAMES["ts"]) if key == "ts" and "rate" in wanted else _NAMES[key]
        hits = [plain.index(spelling) for spelling in spellings if spelling in plain]
        if hits:
            found[key] = hits[0]
        elif key == "volume":
            found |= _base_volume(plain, names, file)
    return found


def _base_volume(plain: Sequence[str], names: Sequence[str], file: str) -> dict[str, int]:
    """`Volume BTC` beside `Volume USDT`: the one in base units."""
    volumes = [at for at, name in enumerate(plain) if re.match(r"vol(ume)?\b", name)]
    base = [at for at in volumes if not any(word in _QUOTES for word in re.split(r"[\s_()]+", plain[at]))]
    if len(base) > 1:
        listed = ", ".join(names[at] for at in base)
        raise InvalidInput(f"{file}: several columns may be the volume", why=f"it has {listed}", fix="choose with --map volume=COLUMN")
    return {"volume": base[0]} if base else {}


def _by_position(names: Sequence[str], wanted: Sequence[str], taken: Mapping[str, int]) -> dict[str, int]:
    if "rate" in wanted:
        layout: Mapping[str, int] = {"ts": 1, "rate": 2} if len(names) == 2 else {}
    else:
        layout = _HEADERLESS.get(len(names), ("", {}))[1]
    return {key: position - 1 for key, position in layout.items() if key not in taken}
