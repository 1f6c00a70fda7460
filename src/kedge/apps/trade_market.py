"""What a trader asks of a simulated exchange before it speaks the venue's own protocol: which market it plays, and how fast."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import aiohttp

from kedge.domain.errors import InvalidInput, MarketGone, VenueUnavailable

ASK_S: Final = 2.0


class Market(NamedTuple):
    """What the exchange says of its market. `session` names it; '' where it never begins again."""

    speed: int
    paced: bool
    source: str
    session: str
    venue_ms: int


async def ask_market(url: str) -> Market:
    """What the exchange at this address plays.

    Raises
    ------
    VenueUnavailable
        It does not answer, or not yet.
    InvalidInput
        What answers is no exchange of ours.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASK_S)) as session,
            session.get(f"{url}/kedge/status") as answer,
        ):
            if answer.status >= 500:
                raise VenueUnavailable(f"{url} answers HTTP {answer.status}", why="it is starting, or in maintenance", fix="wait")
            found: Any = await answer.json(content_type=None) if answer.status == 200 else None
    except (aiohttp.ClientConnectionError, TimeoutError, OSError) as error:
        raise VenueUnavailable(
            f"no exchange answers at {url}", why=str(error) or type(error).__name__, fix="kedge exchange serve"
        ) from None
    except (aiohttp.ClientError, ValueError) as error:
        raise _no_exchange(url, str(error)) from None
    try:
        return Market(
            int(found["speed"]), bool(found["paced"]), str(found["source"]), str(found.get("session", "")), int(found["venue_ms"])
        )
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise _no_exchange(url, f"its /kedge/status lacks {error}") from None


def check_market(url: str, session: str) -> Callable[[], Awaitable[None]] | None:
    """Asks whether the exchange still plays this market; None where there is nothing to ask, because it never begins again.

    Asking raises `MarketGone` where it plays another one, and `VenueUnavailable` where it does not say.
    """
    if not session:
        return None

    async def check() -> None:
        if (await ask_market(url)).session != session:
            raise MarketGone(
                f"the exchange at {url} plays another market now",
                why="it was started again: its prices, wallets and time are not those of the run that was going on",
                fix="start the trader again: it then begins another run",
            )

    return check


def _no_exchange(url: str, why: str) -> InvalidInput:
    return InvalidInput(f"what answers at {url} is no kedge exchange", why=why, fix="name the address that kedge exchange serve printed")
