"""Reading a call's parameters: texts and JSON numbers are both numbers, null and an empty text mean absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, overload

from kedge.domain.instrument import Instrument
from kedge.venues.exchange.codes import CATEGORY_INVALID, SYMBOL_INVALID
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.routes import ApiError

LINEAR: Final = "linear"
CATEGORIES: Final = frozenset({LINEAR, "inverse", "spot", "option"})
"""What the protocol knows; only linear contracts are listed here, the rest is answered with empty lists."""

_LONGEST: Final = 19


class RefusedCall(Exception):  # noqa: N818 - it is the refusal itself
    """Ends a handler with its refusal; the server answers with `error`."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.message)
        self.error = error


def text(params: Mapping[str, Any], name: str, default: str = "") -> str:
    """A parameter as text."""
    value = params.get(name)
    return default if value is None or value == "" else str(value)


@overload
def whole(params: Mapping[str, Any], name: str) -> int | None: ...


@overload
def whole(params: Mapping[str, Any], name: str, default: int) -> int: ...


def whole(params: Mapping[str, Any], name: str, default: int | None = None) -> int | None:
    """A whole number from 0 on; the default when absent."""
    value = text(params, name)
    if not value:
        return default
    if not (value.isascii() and value.isdigit() and len(value) <= _LONGEST):
        raise RefusedCall(ApiError.parameter(f"params error: {name} invalid"))
    return int(value)


def limit(params: Mapping[str, Any], default: int, most: int) -> int:
    """The size of a page: more than the most is the most."""
    count = whole(params, "limit", default)
    if count == 0:
        raise RefusedCall(ApiError.parameter("params error: limit invalid"))
    return min(count, most)


def offset(params: Mapping[str, Any]) -> int:
    """The place that a page's cursor names, 0 without one."""
    return whole(params, "cursor", 0)


def category(params: Mapping[str, Any], default: str = "") -> str:
    """One of the protocol's categories."""
    value = text(params, "category", default)
    if value not in CATEGORIES:
        raise RefusedCall(ApiError.parameter(CATEGORY_INVALID))
    return value


def instrument(hall: Hall, params: Mapping[str, Any], default_category: str = "") -> Instrument:
    """The listed instrument that `category` and `symbol` name."""
    found = hall.instruments.get(text(params, "symbol")) if category(params, default_category) == LINEAR else None
    if found is None:
        raise RefusedCall(ApiError.parameter(SYMBOL_INVALID))
    return found
