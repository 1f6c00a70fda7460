"""Where an exchange's prices come from, as the server sees it: something that feeds opening prices, then plays on."""

from __future__ import annotations

from typing import Protocol


class PriceSource(Protocol):
    """A market on its way through the venue: played bars, or live prices that are followed.

    Attributes
    ----------
    bars, gaps : int
        Bars closed so far; holes met, or interruptions of the upstream.
    playing, ended : bool
        Prices are moving now; no more will come.
    failed : str
        Why it broke, empty while it has not.
    paused_why : str
        Why prices stand still, empty while they do not.
    """

    @property
    def bars(self) -> int: ...
    @property
    def gaps(self) -> int: ...
    @property
    def playing(self) -> bool: ...
    @property
    def ended(self) -> bool: ...
    @property
    def failed(self) -> str: ...
    @property
    def paused_why(self) -> str: ...

    async def prime(self) -> None:
        """Feed opening prices, so that whoever comes first finds a market."""

    async def play(self) -> None:
        """Feed prices to the end."""

    async def close(self) -> None:
        """Let go of what it holds."""
