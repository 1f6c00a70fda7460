"""The lights of the VaR methods, as the daily backtest last published them: what one process tells the others.

Rule: who reads falls back to no lights at all, never to a green one: a method without a light is not known to be red.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from kedge.ops.atomic_file import replace_content
from kedge.risk.var.backtests import Colour

COLOURS_NAME: Final = "colours.json"
COLOURS_SCHEMA: Final = "kedge/risk-colours/v1"


class Colours(msgspec.Struct, frozen=True, kw_only=True):
    """The light of each method, the market's UTC day (since 1970) that it is of, and the record that it follows from."""

    record: str
    day: int
    colours: dict[str, str]
    schema: str = COLOURS_SCHEMA


def risk_folder(state: Path) -> Path:
    """Where the daily records of a state folder lie."""
    return state / "risk"


def publish_colours(folder: Path, record: str, day: int, colours: Mapping[str, Colour]) -> None:
    """Put the lights in place of the last ones; `folder` is the risk folder, and exists."""
    told = Colours(record=record, day=day, colours={method: str(colour) for method, colour in colours.items()})
    replace_content(folder / COLOURS_NAME, msgspec.json.encode(told))


def read_colours(state: Path) -> dict[str, Colour]:
    """The lights as last published; empty where there are none, or where they cannot be read."""
    try:
        told = msgspec.json.decode((risk_folder(state) / COLOURS_NAME).read_bytes(), type=Colours)
        return {method: Colour(word) for method, word in told.colours.items()}
    except (OSError, ValueError, msgspec.MsgspecError):
        return {}
