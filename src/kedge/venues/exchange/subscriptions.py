"""Who listens to which topic, and which topics there are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from kedge.domain.instrument import Instrument
from kedge.simulation.venue_types import KLINE_INTERVALS
from kedge.venues.exchange.socket_link import Link

DEPTHS: Final = (1, 50, 200, 1000)
"""Levels per side of the book streams of linear contracts."""

PRIVATE_KINDS: Final = ("order", "execution", "execution.fast", "position", "wallet", "greeks")
DCP_TOPICS: Final = ("dcp.future", "dcp.spot", "dcp.option")
_CATEGORIES: Final = ("linear", "inverse", "spot", "option")
_CATEGORISED: Final = ("order", "execution", "execution.fast", "position")
PRIVATE_TOPICS: Final = frozenset(
    (*PRIVATE_KINDS, *DCP_TOPICS, *(f"{kind}.{category}" for kind in _CATEGORISED for category in _CATEGORIES))
)
"""Everything a private socket takes; only plain and linear topics ever bring rows here, and `greeks` never does."""

_PLAIN: Final = ("publicTrade", "tickers", "allLiquidation", "priceLimit")


class Topic(NamedTuple):
    """A public topic: its kind, the depth or interval (empty for the others), and the symbol."""

    kind: str
    detail: str
    symbol: str


def public_topic(name: str, instruments: dict[str, Instrument]) -> Topic | None:
    """The topic of a listed instrument; None for a kind, depth, interval or symbol that there is not."""
    kind, _, rest = name.partition(".")
    if kind in _PLAIN:
        return Topic(kind, "", rest) if rest in instruments else None
    detail, _, symbol = rest.partition(".")
    if symbol not in instruments:
        return None
    known = (kind == "orderbook" and detail in _DEPTH_TEXTS) or (kind == "kline" and detail in KLINE_INTERVALS)
    return Topic(kind, detail, symbol) if known else None


_DEPTH_TEXTS: Final = frozenset(str(levels) for levels in DEPTHS)


def topic_names(request: dict[str, Any]) -> list[str] | None:
    """Topics that a request names; None unless they are a list of texts with at least one."""
    names = request.get("args")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return None
    return names


def mixes_categories(names: Iterable[str]) -> bool:
    """Whether a request asks for a kind both plainly and by category, which the venue refuses."""
    wanted = set(names)
    return any(f"{kind}.{category}" in wanted for kind in _CATEGORISED if kind in wanted for category in _CATEGORIES)


class Audience:
    """Topics and their listeners, in the order in which they came."""

    def __init__(self) -> None:
        self._links: dict[str, dict[Link, None]] = {}

    def __bool__(self) -> bool:
        return bool(self._links)

    def __contains__(self, topic: str) -> bool:
        return topic in self._links

    def join(self, link: Link, topic: str) -> None:
        self._links.setdefault(topic, {})[link] = None
        link.topics[topic] = None

    def leave(self, link: Link, topic: str) -> bool:
        """Stop listening; True when nobody is left."""
        link.topics.pop(topic, None)
        links = self._links.get(topic)
        if links is None:
            return False
        links.pop(link, None)
        if links:
            return False
        del self._links[topic]
        return True

    def write(self, topic: str, frame: bytes) -> None:
        """Send one frame to all its listeners."""
        for link in self._links.get(topic, ()):
            link.write(frame)
