"""What a release of the brake asks for: the payload of an approval of that kind, strictly read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from kedge.domain.errors import InvalidInput

TEXT_CHARS_MAX: Final = 500


class BrakeRelease(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Payload of `brake-release`.

    Attributes
    ----------
    generation : int
        Of the latch as it was seen: a release of what the brake was engaged for since is none.
    root_cause : str
        What made the brake come on, found out.
    high_water : str
        'keep', or 'reset': drawdown counts from equity now.
    """

    account: str
    generation: Annotated[int, msgspec.Meta(ge=0)]
    reason: str
    root_cause: str
    high_water: Literal["keep", "reset"] = "keep"


def brake_release(payload: Mapping[str, Any]) -> BrakeRelease:
    """The payload of a `brake-release`.

    Raises
    ------
    InvalidInput
        Malformed, or reason or root cause is empty or longer than anybody reads.
    """
    try:
        asked = msgspec.convert(payload, BrakeRelease)
    except msgspec.ValidationError as error:
        raise InvalidInput(
            f"payload of brake-release: {error}",
            why="it holds account, generation, reason and root_cause, and may hold high_water: keep or reset",
            fix="kedge brake release makes it",
        ) from None
    for name in ("account", "reason", "root_cause"):
        text = getattr(asked, name)
        if not text.strip() or len(text) > TEXT_CHARS_MAX:
            raise InvalidInput(
                f"payload.{name} has {len(text)} characters",
                why=f"1 to {TEXT_CHARS_MAX} say why the brake was on and why it may go off",
                fix="say it in a sentence or two",
            )
    return asked
