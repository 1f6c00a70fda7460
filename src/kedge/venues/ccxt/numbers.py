"""Decimal text of an answer to integers, without a float on the way.

Rules: ccxt is told to hand out text; a float is refused, because what it was before is unknown. None and "" are unknown, never 0. A price
or quantity off the grid is refused by field and value.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation, localcontext
from functools import wraps
from typing import Any, Final, NoReturn, ParamSpec, TypeVar

from kedge.domain.errors import KedgeError, VenueUnavailable
from kedge.domain.units import E8, INT64_MAX, NS_PER_MS

_ONE_E8: Final = Decimal(1).scaleb(-8)
_DIGITS: Final = 80


class UnreadableAnswer(VenueUnavailable):
    """The exchange, or ccxt, answered in a shape or with a number that cannot be understood; nothing may be concluded from it."""


def unreadable(field: str, value: object, why: str) -> NoReturn:
    """Refuse one field of an answer."""
    raise UnreadableAnswer(f"{field} is {value!r} in the exchange's answer", why=why, fix="compare it with ccxt and the exchange's manual")


P = ParamSpec("P")
T = TypeVar("T")


def readable(ask: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """A question whose answer may lack a field or be of another shape: that is refused like a number that cannot be read."""

    @wraps(ask)
    async def asked(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return await ask(*arguments, **named)
        except KedgeError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise UnreadableAnswer(
                f"{ask.__name__}: {type(error).__name__}: {error}",
                why="the exchange answered in another shape",
                fix="compare it with ccxt and the exchange's manual",
            ) from error

    return asked


def decimal_of(value: Any, field: str) -> Decimal:
    """A number as text, or an integer, as a decimal.

    Raises
    ------
    UnreadableAnswer
        Missing, a float, or no number.
    """
    if isinstance(value, bool | float) or not isinstance(value, str | int):
        unreadable(field, value, "a number is expected as text")
    try:
        found = Decimal(value)
    except InvalidOperation:
        unreadable(field, value, "not a decimal number")
    if not found.is_finite():
        unreadable(field, value, "not a finite number")
    return found


def is_blank(value: Any) -> bool:
    """Whether the exchange left a field out."""
    return value is None or value == ""


def e8_of(value: Any, field: str) -> int:
    """Money, a rate, or a price off the grid in 1e-8, rounded half to even past the eighth decimal."""
    with localcontext() as exact:
        exact.prec = _DIGITS
        found = int((decimal_of(value, field) / _ONE_E8).to_integral_value(ROUND_HALF_EVEN))
    if abs(found) > INT64_MAX:
        unreadable(field, value, "past 2^63 - 1 in units of 1e-8")
    return found


def optional_e8(value: Any, field: str) -> int | None:
    """As `e8_of`; None where the exchange left it out."""
    return None if is_blank(value) else e8_of(value, field)


def steps_of(value: Any, step_e8: int, field: str, *, scale: Decimal = Decimal(1)) -> int:
    """A price in ticks or a quantity in lots; `scale` is the size of a contract where quantities are counted in contracts."""
    with localcontext() as exact:
        exact.prec = _DIGITS
        scaled = decimal_of(value, field) * scale / _ONE_E8
        steps, rest = divmod(scaled, step_e8)
    if rest:
        unreadable(field, value, f"not a multiple of {Decimal(step_e8).scaleb(-8).normalize():f}")
    if abs(steps) > INT64_MAX:
        unreadable(field, value, "past 2^63 - 1 steps")
    return int(steps)


def optional_steps(value: Any, step_e8: int, field: str) -> int:
    """As `steps_of`; 0 where there is none, which exchanges write as nothing, "" or 0."""
    return 0 if is_blank(value) else steps_of(value, step_e8, field)


def steps_text(steps: int, step_e8: int, *, scale: Decimal = Decimal(1)) -> str:
    """A count of steps as plain decimal text, divided by the size of a contract where quantities are counted in contracts."""
    with localcontext() as exact:
        exact.prec = _DIGITS
        return f"{Decimal(steps * step_e8) / E8 / scale:f}"


def ns_of(ms: Any, field: str) -> int:
    """Milliseconds, as a number or as text, to nanoseconds."""
    if isinstance(ms, float) or not isinstance(ms, str | int) or not str(ms).isascii() or not str(ms).isdigit():
        unreadable(field, ms, "milliseconds are expected")
    return int(ms) * NS_PER_MS
