"""How an exchange is reached through ccxt: which one, in which of two modes, at which address. There is no mode for real money."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import msgspec

from kedge.domain.errors import InvalidConfig
from kedge.domain.instrument import InstrumentId
from kedge.domain.units import NS_PER_S


class Mode(StrEnum):
    """READ_ONLY never writes, wherever it is. PAPER writes, and only to this machine or to the exchange's declared sandbox."""

    READ_ONLY = "read_only"
    PAPER = "paper"


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """A key of the exchange; never shown."""

    api_key: str = ""
    api_secret: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return "Keys(***)"


class CcxtSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One account at one exchange.

    Attributes
    ----------
    exchange : str
        The library's name of it, such as `bybit` or `okx`.
    url : str
        Where it answers on this machine; empty for the exchange's own address.
    sandbox : bool
        Use the exchange's declared sandbox or testnet.
    poll_s : float
        Wall time between two questions for news.
    answer_within_s : float
        Wall time in which a request must be answered.
    quote_age_max_s : float
        Wall time for which a book that was asked for is a quote.
    start_within_s : float
        Wall time for the start.
    funding : bool
        Tell settled funding rates as news.
    paced : bool
        Keep the library's own pace of requests.
    """

    exchange: str
    instruments: tuple[InstrumentId, ...]
    mode: Mode = Mode.READ_ONLY
    url: str = ""
    sandbox: bool = False
    coin: str = "USDT"
    interval_ns: int = 60 * NS_PER_S
    poll_s: float = 1.0
    answer_within_s: float = 5.0
    quote_age_max_s: float = 3.0
    start_within_s: float = 30.0
    funding: bool = False
    paced: bool = True

    def __post_init__(self) -> None:
        if self.url and not is_on_this_machine(self.url):
            raise InvalidConfig(
                f"url is {self.url!r}",
                why="another address than the exchange's own must be of this machine, or a key would be sent to strangers",
                fix="such as http://127.0.0.1:8100, or leave it empty",
            )
        if self.mode is Mode.PAPER and not self.url and not self.sandbox:
            raise InvalidConfig(
                f"paper at {self.exchange}: url is '' and sandbox is False",
                why="orders through ccxt go to this machine or to the exchange's declared sandbox, never to real money",
                fix="give url=http://127.0.0.1:PORT, or sandbox=True, or choose read_only",
            )
        if min(self.poll_s, self.answer_within_s, self.quote_age_max_s, self.start_within_s) <= 0:
            raise InvalidConfig(f"a time of {self.exchange} is not positive", why="times are waited for", fix="choose seconds above zero")


_SCHEMES: Final = ("http", "https", "ws", "wss")


def is_on_this_machine(url: str) -> bool:
    """Whether an address can only be of this machine."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if parts.scheme not in _SCHEMES or port == 0 or parts.username:
        return False
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
