"""What a loosening of limits and an override of one order ask for: the payloads of approvals of these kinds, strictly read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec

from kedge.domain.errors import InvalidInput
from kedge.domain.orders import Side
from kedge.risk.gate_rules import OVERRIDABLE
from kedge.risk.limits_fields import field_of

TEXT_CHARS_MAX: Final = 500
VALID_S_MAX: Final = 3_600
"""An override is for one order that waits now."""

_Payload = TypeVar("_Payload", bound=msgspec.Struct)


class LimitLoosen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Payload of `limit-loosen`.

    Attributes
    ----------
    base_version : str
        The limits that were seen: where others are in force by then, it is void.
    changes : dict
        New values by name, as in the configuration; see `risk.limits_fields`.
    """

    account: str
    base_version: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}$")]
    changes: dict[str, str]
    reason: str


class OrderOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Payload of `order-override`: one order may pass these rules.

    Attributes
    ----------
    qty : str
        The largest that it may be, in the base currency.
    rules : tuple of str
        Codes of refusals, sorted.
    valid_s : int
        How long after it is carried out.
    """

    account: str
    instrument: str
    side: Side
    qty: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,18}(\.[0-9]{1,18})?$")]
    rules: tuple[str, ...]
    valid_s: Annotated[int, msgspec.Meta(ge=1, le=VALID_S_MAX)]
    reason: str


def limit_loosen(payload: Mapping[str, Any]) -> LimitLoosen:
    """The payload of a `limit-loosen`.

    Raises
    ------
    InvalidInput
        Malformed, a limit that there is none of, or no change at all.
    """
    asked = _read(payload, LimitLoosen, "account, base_version, changes and reason")
    if not asked.changes:
        raise InvalidInput("payload.changes is empty", why="nothing would be loosened", fix="name a limit and its new value")
    for name in asked.changes:
        field_of(name)
    return asked


def order_override(payload: Mapping[str, Any]) -> OrderOverride:
    """The payload of an `order-override`.

    Raises
    ------
    InvalidInput
        Malformed, or it names a rule that nobody may set aside.
    """
    asked = _read(payload, OrderOverride, "account, instrument, side, qty, rules, valid_s and reason")
    if not asked.rules or list(asked.rules) != sorted(set(asked.rules)) or not OVERRIDABLE.issuperset(asked.rules):
        raise InvalidInput(
            f"payload.rules ({', '.join(asked.rules) or 'none'})",
            why=f"sorted, each once, and only these can be set aside: {', '.join(sorted(OVERRIDABLE))}",
            fix="name the code of the refusal",
        )
    return asked


def _read(payload: Mapping[str, Any], kind: type[_Payload], holds: str) -> _Payload:
    try:
        asked = msgspec.convert(payload, kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"payload: {error}", why=f"it holds {holds}", fix="mend it") from None
    for name in ("account", "reason"):
        text = getattr(asked, name)
        if not text.strip() or len(text) > TEXT_CHARS_MAX:
            raise InvalidInput(f"payload.{name} has {len(text)} characters", why=f"1 to {TEXT_CHARS_MAX} are wanted", fix="say it shortly")
    return asked
