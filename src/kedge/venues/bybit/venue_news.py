"""The queue between the sockets and the trading loop.

Rules: order news, fills, settlements, bars and stream changes are all kept, in the order of their arrival; of positions and wallets
only the last word counts, so one that directly follows another of the same kind replaces it.
"""

from __future__ import annotations

import asyncio
from collections import deque

from kedge.domain.errors import VenueUnavailable
from kedge.domain.venue import VenueNews, VenuePosition, VenueWallet


class NewsQueue:
    """News in order of arrival, for one reader."""

    def __init__(self) -> None:
        self._news: deque[VenueNews] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._news)

    def put(self, news: VenueNews) -> None:
        """Add one; never blocks."""
        waiting = self._news
        if waiting and _replaces(news, waiting[-1]):
            waiting[-1] = news
        else:
            waiting.append(news)
        self._wake()

    async def get(self) -> VenueNews:
        """The oldest piece of news; waits for one.

        Raises
        ------
        VenueUnavailable
            The queue was closed, and nothing is left in it.
        """
        while not self._news:
            if self._closed:
                raise VenueUnavailable("no more news", why="the venue's client was closed", fix="make a new one")
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._news.popleft()

    def take_all(self) -> list[VenueNews]:
        """Everything that is there, without waiting."""
        taken = list(self._news)
        self._news.clear()
        return taken

    def close(self) -> None:
        """Nothing will come any more."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


def _replaces(news: VenueNews, last: VenueNews) -> bool:
    if isinstance(news, VenuePosition):
        return isinstance(last, VenuePosition) and last.instrument == news.instrument and last.position_idx == news.position_idx
    return isinstance(news, VenueWallet) and isinstance(last, VenueWallet)
