"""A REST client against a scripted venue, for one conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tests.unit.venues.bybit.fake_venue import KEY, SECRET, FakeVenue

from kedge.venues.bybit.credentials import Credentials, Rung
from kedge.venues.bybit.rest import BybitRest
from kedge.venues.bybit.rest_calls import Pace

T = TypeVar("T")
QUICK = Pace(first_s=0.001, most_s=0.002)
CREDENTIALS = Credentials(Rung.PAPER, KEY, SECRET)


def converse(venue: FakeVenue, talk: Callable[[BybitRest], Awaitable[T]], **options: Any) -> T:
    """Run `talk` with a client of `venue`, which stays readable afterwards."""

    async def main() -> T:
        async with venue, BybitRest(venue.url, options.pop("credentials", CREDENTIALS), pace=QUICK, **options) as rest:
            return await talk(rest)

    return asyncio.run(main())
