"""One exchange object of ccxt, held so that it cannot do what it must not.

Rules: numbers are text; the library repeats nothing by itself, follows nobody to another address and logs no request, since keys and
signatures stand in them; right before each signature, after every wait of the library's own pace, the address is checked, the mode, and
the permit of the request. It is imported by the first client that is made, since it is heavy.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from importlib import import_module
from typing import Any, Final
from urllib.parse import urlsplit

from kedge.domain.errors import AccessRefused, InvalidConfig, KedgeError, VenueUnavailable
from kedge.domain.venue import NO_PERMIT, Answer, Refused, Unanswered
from kedge.venues.ccxt.failures import answer_to, code_of, error_of, is_access, is_of_ccxt, is_proof
from kedge.venues.ccxt.settings import CcxtSettings, Keys, Mode

_HOST: Final = re.compile(r"^[a-z]+://[^/]+")
_TYPES: Final[Mapping[str, Any]] = {
    "bybit": {"types": ["linear"]},
    "okx": {"types": ["swap"]},
    "binanceusdm": {"types": ["linear"]},
}
"""What to load of the exchanges that would load all they have."""

READ_ONLY: Final = "READ_ONLY"

RECV_WINDOW_MS: Final = 1_000
"""How long after signing the exchange may take a request: the proof that an order never came counts on it, and ccxt's own is 5 s."""

_SILENT: Final = logging.getLogger("kedge.ccxt.requests")
_SILENT.disabled = True


class NotPermitted(Exception):
    """The permit of a write had run out when it was to be signed."""


class _Write:
    """A write on its way to its signature."""

    def __init__(self, is_permitted: Callable[[], bool] | None) -> None:
        self.is_permitted, self.was_signed = is_permitted, False


_WRITE: Final[ContextVar[_Write | None]] = ContextVar("kedge_ccxt_write", default=None)


class CcxtClient:
    """The library's exchange, its markets, and the two ways of asking it.

    Parameters
    ----------
    taken_codes : frozenset of str
        Codes with which this exchange says that what is asked for is so already.

    Raises
    ------
    InvalidConfig
        ccxt is not installed, has no such exchange, or the exchange declares no sandbox.

    Attributes
    ----------
    exchange : Any
        The library's object.
    on_access : callable
        Told of the code and the words with which a write was refused because of the key, the account or this machine.
    """

    def __init__(self, settings: CcxtSettings, keys: Keys, taken_codes: frozenset[str] = frozenset()) -> None:
        self.settings, self.taken_codes = settings, taken_codes
        self.has_keys = bool(keys.api_key)
        self.on_access: Callable[[str, str], None] = _nobody
        self.exchange = _made(settings, keys)
        self._hosts = _hosts(self.exchange) if settings.mode is Mode.PAPER else None
        self._sign = self.exchange.sign
        self.exchange.sign = self._guarded

    def _guarded(self, *arguments: Any, **named: Any) -> Any:
        write = _WRITE.get()
        if write is not None and write.is_permitted is not None and not write.is_permitted():
            raise NotPermitted
        request = self._sign(*arguments, **named)
        host = _netloc(request["url"])
        if self._hosts is not None and host not in self._hosts:
            raise AccessRefused(
                f"a request to {host!r} is refused", why="paper speaks to its sandbox alone", fix="report it: the library chose an address"
            )
        if write is not None:
            write.was_signed = True
        return request

    async def read(self, name: str, *arguments: Any, **named: Any) -> Any:
        """Ask by one of the library's methods.

        Raises
        ------
        VenueUnavailable
            No answer, or not one that is understood.
        AccessRefused
            The key is refused, or there is none.
        InvalidInput
            The exchange has nothing like it.
        """
        try:
            async with asyncio.timeout(self.settings.answer_within_s):
                return await getattr(self.exchange, name)(*arguments, **named)
        except TimeoutError:
            raise VenueUnavailable(
                f"{name}: no answer within {self.settings.answer_within_s:g} s", why="the exchange or the network is slow", fix="ask again"
            ) from None
        except Exception as error:
            raise _as_ours(error, name) from error

    async def write(self, name: str, *arguments: Any, is_permitted: Callable[[], bool] | None = None, **named: Any) -> tuple[Any, Answer]:
        """Ask for a change, once; what was answered, and what is to be made of a failure (`Unanswered` where there is none)."""
        if self.settings.mode is Mode.READ_ONLY:
            return None, Refused(READ_ONLY, f"{name}: this client of {self.settings.exchange} only reads")
        write = _Write(is_permitted)
        token = _WRITE.set(write)
        try:
            async with asyncio.timeout(self.settings.answer_within_s):
                row = await getattr(self.exchange, name)(*arguments, **named)
                return (row, _NOTHING) if is_proof(row) else (None, Unanswered("an answer that names no order and no code"))
        except NotPermitted:
            return None, Refused(NO_PERMIT, "the permit ran out before the order was signed")
        except TimeoutError as error:
            return None, answer_to(error, was_signed=write.was_signed)
        except Exception as error:
            if isinstance(error, VenueUnavailable):
                return None, Unanswered(error.what)
            if isinstance(error, KedgeError):
                raise
            if is_access(error):
                self.on_access(code_of(error), str(error_of(error).what))
            return None, answer_to(error, was_signed=write.was_signed, taken_codes=self.taken_codes)
        finally:
            _WRITE.reset(token)

    async def close(self) -> None:
        """Leave nothing open."""
        await self.exchange.close()


_NOTHING: Final = Unanswered("")


def _nobody(_code: str, _what: str) -> None:
    """Nobody wants to know that a key is refused."""


def _as_ours(error: Exception, name: str) -> KedgeError:
    if isinstance(error, KedgeError):
        return error
    if is_of_ccxt(error) or isinstance(error, OSError):
        return error_of(error)
    return VenueUnavailable(
        f"{name}: {type(error).__name__}: {error}", why="ccxt could not read the answer", fix="ask again; compare it with ccxt's issues"
    )


def _made(settings: CcxtSettings, keys: Keys) -> Any:
    try:
        library: Any = import_module("ccxt.async_support")
    except ImportError:
        raise InvalidConfig(f"exchange is {settings.exchange!r}", why="ccxt is not installed", fix="pip install 'kedge[ccxt]'") from None
    if settings.exchange not in library.exchanges:
        raise InvalidConfig(f"exchange is {settings.exchange!r}", why="ccxt has none of this name", fix="name one of ccxt's exchanges")
    options: dict[str, Any] = {"defaultType": "swap", "defaultSubType": "linear", "maxRetriesOnFailure": 0, "recvWindow": RECV_WINDOW_MS}
    if settings.exchange in _TYPES:
        options["fetchMarkets"] = _TYPES[settings.exchange]
    found = getattr(library, settings.exchange)
    exchange = type(found.__name__, (found,), {"number": str, "open": _opens(found)})(  # before it is made: its own tables hold floats
        {
            "apiKey": keys.api_key,
            "secret": keys.api_secret,
            "password": keys.password,
            "enableRateLimit": settings.paced,
            "timeout": int(settings.answer_within_s * 1_000),
            "options": options,
        }
    )
    exchange.logger = _SILENT
    exchange.parse_order_book_bid_ask = _level  # books alone would be floats
    exchange.has["fetchCurrencies"] = False  # asks for a key, and for nothing that is read
    if settings.url:
        exchange.urls["api"] = _redirected(exchange.urls["api"], settings.url.rstrip("/"))
    elif settings.sandbox:
        if not exchange.urls.get("test"):
            raise InvalidConfig(f"sandbox of {settings.exchange}", why="the exchange declares none", fix="choose read_only")
        exchange.set_sandbox_mode(True)
    return exchange


def _opens(found: Any) -> Callable[[Any], None]:
    """How an exchange opens its session: as the library does, and no answer sends a signed request on to another address."""

    def opened(exchange: Any) -> None:
        found.open(exchange)
        traces = exchange.session.trace_configs
        if not traces:
            stay = import_module("aiohttp").TraceConfig()
            stay.on_request_redirect.append(_redirect)
            stay.freeze()
            traces.append(stay)

    return opened


async def _redirect(_session: object, _context: object, given: Any) -> None:
    raise VenueUnavailable(
        f"{given.url.host} answers with another address", why="a signed request goes nowhere else", fix="compare the address; ask again"
    )


def _level(row: Sequence[Any], price_key: Any = 0, amount_key: Any = 1, count_key: Any = 2) -> list[str]:
    """One level of a book as its texts; the library sorts them as texts, so whoever reads a book sorts it."""
    return [str(row[price_key]), str(row[amount_key])]


def _redirected(found: Any, to: str) -> Any:
    """The same addresses, nested as they were, at another host."""
    if isinstance(found, dict):
        return {name: _redirected(value, to) for name, value in found.items()}
    return _HOST.sub(to, found)


def _hosts(exchange: Any) -> frozenset[str]:
    def walk(found: Any) -> list[str]:
        if isinstance(found, dict):
            return [host for value in found.values() for host in walk(value)]
        return [_netloc(exchange.implode_hostname(found))]

    return frozenset(walk(exchange.urls["api"]))


def _netloc(url: str) -> str:
    return urlsplit(url).netloc
