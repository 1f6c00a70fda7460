"""Where the venue is and how to speak to it: addresses of its environments, what to subscribe, how long to wait."""

from __future__ import annotations

from typing import Final

import msgspec

from kedge.domain.errors import InvalidConfig
from kedge.domain.instrument import InstrumentId
from kedge.domain.units import NS_PER_S
from kedge.venues.bybit.gateway_bodies import SELF_TRADE
from kedge.venues.bybit.limits import IP_BAN_NS
from kedge.venues.bybit.public_feed import FeedSettings
from kedge.venues.bybit.reconnect import SocketPace
from kedge.venues.bybit.rest_endpoints import DEMO, MAINNET, TESTNET


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """One environment of the venue. `trade` is empty where there is no trade socket."""

    rest: str
    public: str
    private: str
    trade: str


ENVIRONMENTS: Final = {
    "mainnet": Addresses(
        rest=MAINNET,
        public="wss://stream.bybit.com/v5/public/linear",
        private="wss://stream.bybit.com/v5/private",
        trade="wss://stream.bybit.com/v5/trade",
    ),
    "testnet": Addresses(
        rest=TESTNET,
        public="wss://stream-testnet.bybit.com/v5/public/linear",
        private="wss://stream-testnet.bybit.com/v5/private",
        trade="wss://stream-testnet.bybit.com/v5/trade",
    ),
    "demo": Addresses(
        rest=DEMO,
        public="wss://stream.bybit.com/v5/public/linear",
        private="wss://stream-demo.bybit.com/v5/private",
        trade="",
    ),
}


def addresses(where: str) -> Addresses:
    """The addresses of `mainnet`, `testnet`, `demo`, or of an exchange that has everything under one URL such as http://127.0.0.1:9000.

    Raises
    ------
    InvalidConfig
        Neither a known name nor an http or https URL.
    """
    if where in ENVIRONMENTS:
        return ENVIRONMENTS[where]
    scheme, separator, host = where.rstrip("/").partition("://")
    if not separator or not host or scheme not in ("http", "https"):
        raise InvalidConfig(
            f"venue is {where!r}",
            why="neither a known environment nor a URL",
            fix=f"use {', '.join(ENVIRONMENTS)} or http://127.0.0.1:PORT",
        )
    socket = f"{'wss' if scheme == 'https' else 'ws'}://{host}/v5"
    return Addresses(rest=f"{scheme}://{host}", public=f"{socket}/public/linear", private=f"{socket}/private", trade=f"{socket}/trade")


class VenueSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How this account trades at the venue.

    Attributes
    ----------
    speed : int
        How many times faster than the wall the venue plays; our shares of its limits grow alike.
    seed : int
        Of the jitter of pauses.
    request_prefix : str
        Begins the request ids of the trade socket; another for each process of one account.
    self_trade : str
        The venue's word for which of two orders of ours goes when they would meet.
    dead_man_s : int
        Seconds of wall time without our private stream after which resting orders that can add risk are cancelled: by the venue where it
        grants disconnect protection, and over REST by us in any case. 3 to 300; 0 switches both off.
    general_per_minute : int
        Budget of all reads that nobody waits for.
    ban_s : float
        How long nothing is sent after a ban; the venue lifts one after ten minutes at the earliest.
    start_within_s, barrier_within_s, answer_within_s : float
        Wall time for connecting, for a barrier, and for the answer to an order.
    """

    addresses: Addresses
    instruments: tuple[InstrumentId, ...]
    feed: FeedSettings = FeedSettings()
    coin: str = "USDT"
    speed: int = 1
    seed: int = 0
    request_prefix: str = "kedge"
    self_trade: str = SELF_TRADE
    dead_man_s: int = 30
    general_per_minute: int = 60
    ban_s: float = IP_BAN_NS / NS_PER_S
    start_within_s: float = 15.0
    barrier_within_s: float = 10.0
    answer_within_s: float = 5.0
    pace: SocketPace = SocketPace()

    def __post_init__(self) -> None:
        if self.dead_man_s and not 3 <= self.dead_man_s <= 300:
            raise InvalidConfig(
                f"dead_man_s is {self.dead_man_s}", why="the venue's own protection takes 3 to 300 seconds", fix="choose one, or 0 for none"
            )
