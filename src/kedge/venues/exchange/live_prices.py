"""Follows the public prices of another exchange: its tickers and trades move our venue, where orders meet our own book.

Rules: at the wall's speed only. Silence is said, never filled: prices then stand still, and the status tells since when. What does not
fit an instrument's grid is rounded to it for trades, and refused for nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import aiohttp
import msgspec

from kedge.domain.errors import InvalidInput, KedgeError, VenueUnavailable
from kedge.domain.instrument import Instrument
from kedge.domain.units import HALF_EVEN, money_e8
from kedge.venues.exchange.hall import Hall

SILENCE_S: Final = 10.0
"""Without a word from upstream for this long, the connection counts as dead."""
_PULSE_S: Final = 0.1
_RETRY_FIRST_S: Final = 0.2
_RETRY_MAX_S: Final = 10.0
_ANSWER_S: Final = 10.0
_PING_S: Final = 20.0

_log: Final = logging.getLogger("kedge.exchange")


class LivePrices:
    """A price source that follows an upstream.

    Parameters
    ----------
    hall : Hall
        Its clock is the wall's, its speed 1.
    rest_url, public_url : str
        The upstream's REST address and public socket, such as `https://api.bybit.com` and
        `wss://stream.bybit.com/v5/public/linear`.
    silence_s : float
        Seconds without a message after which the connection is made anew.
    """

    ended = False
    failed = ""

    def __init__(self, hall: Hall, rest_url: str, public_url: str, *, silence_s: float = SILENCE_S) -> None:
        self._hall, self._silence_s = hall, silence_s
        self._rest_url, self._public_url = rest_url.rstrip("/"), public_url
        self._tickers: dict[str, dict[str, str]] = {symbol: {} for symbol in hall.instruments}
        self._session: aiohttp.ClientSession | None = None
        self.bars = self.gaps = 0
        self.playing = False
        self.paused_why = ""

    async def prime(self) -> None:
        """Ask for every instrument's ticker once.

        Raises
        ------
        VenueUnavailable
            The upstream does not answer, or does not know an instrument.
        """
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_connect=_ANSWER_S))
        for symbol in self._tickers:
            self._take_ticker(symbol, await self._ask_ticker(symbol))
        self._hall.publish()

    async def play(self) -> None:
        """Follow until cancelled; broken connections are made anew."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pulse())
            tasks.create_task(self._follow())

    async def close(self) -> None:
        """Let go of the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    # --- the upstream ----------------------------------------------------------------------------------------------------

    async def _ask_ticker(self, symbol: str) -> dict[str, Any]:
        url = f"{self._rest_url}/v5/market/tickers"
        try:
            async with asyncio.timeout(_ANSWER_S), self._open().get(url, params={"category": "linear", "symbol": symbol}) as answer:
                body = msgspec.json.decode(await answer.read(), type=dict[str, Any])
            found: dict[str, Any] = body["result"]["list"][0]
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError, LookupError, TypeError) as error:
            raise VenueUnavailable(
                f"no live price of {symbol} from {self._rest_url}",
                why=f"{type(error).__name__}: {error}",
                fix="check the network and the address, or play recorded or synthetic prices",
            ) from None
        return found

    async def _follow(self) -> None:
        wait_s = _RETRY_FIRST_S
        while True:
            try:
                async with self._open().ws_connect(self._public_url, heartbeat=_PING_S, max_msg_size=0) as socket:
                    await socket.send_str(_subscription(self._tickers))
                    async for data in self._messages(socket):
                        wait_s = _RETRY_FIRST_S
                        self._take(data)
                why = "the upstream closed the connection"
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                why = f"{type(error).__name__}: {error}"
            self._interrupted(why)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _RETRY_MAX_S)

    async def _messages(self, socket: aiohttp.ClientWebSocketResponse) -> Any:
        """Texts as they come, until the socket ends; `TimeoutError` on silence."""
        while True:
            async with asyncio.timeout(self._silence_s):
                message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            yield message.data

    async def _pulse(self) -> None:
        """Let time pass, so that klines close and funding settles while no price moves."""
        while True:
            await asyncio.sleep(_PULSE_S)
            self._hall.venue.advance(self._hall.clock.venue_ns())
            self._hall.publish()

    def _interrupted(self, why: str) -> None:
        self.playing = False
        self.gaps += 1
        self.paused_why = f"no live prices: {why}"
        _log.warning("live prices interrupted: %s", why, extra={"kedge_fields": {"event": "live_prices_interrupted"}})

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise InvalidInput("live prices are not primed", why="there is no connection yet", fix="await prime() first")
        return self._session

    # --- what it says ----------------------------------------------------------------------------------------------------

    def _take(self, text: str) -> None:
        """Apply one message; what cannot be applied is said and passed over, because the next one may be."""
        try:
            self._apply(text)
        except (KedgeError, LookupError, TypeError, ValueError, AttributeError, msgspec.MsgspecError) as error:
            _log.warning(
                "live prices: a message is not understood: %s: %s", type(error).__name__, error,
                extra={"kedge_fields": {"event": "live_prices_unreadable"}},
            )  # fmt: skip
        self._hall.publish()

    def _apply(self, text: str) -> None:
        message = msgspec.json.decode(text, type=dict[str, Any])
        topic, _, symbol = str(message.get("topic", "")).rpartition(".")
        if symbol not in self._tickers:
            return
        if not self.playing:
            self.playing, self.paused_why = True, ""
            _log.info("live prices flow", extra={"kedge_fields": {"event": "live_prices_flow"}})
        if topic == "tickers":
            self._take_ticker(symbol, message["data"])
        elif topic == "publicTrade":
            self._take_trades(symbol, message["data"])

    def _take_ticker(self, symbol: str, fields: Mapping[str, Any]) -> None:
        ticker = self._tickers[symbol]
        ticker.update({name: value for name, value in fields.items() if isinstance(value, str) and value})
        spec = self._hall.instruments[symbol]
        if not {"lastPrice", "markPrice", "indexPrice"} <= ticker.keys():
            return
        self._feed(spec, spec.price_ticks(ticker["lastPrice"], rounding=HALF_EVEN), 0)
        if rate := ticker.get("fundingRate"):
            with suppress(InvalidInput):  # a rate beyond our cap: the premium's own is charged, as without any
                self._hall.venue.set_funding_rate(spec.instrument_id, money_e8(rate, field="fundingRate", rounding=HALF_EVEN))

    def _take_trades(self, symbol: str, trades: Sequence[Mapping[str, Any]]) -> None:
        """Trades at one price in a row move the market once."""
        spec = self._hall.instruments[symbol]
        runs: list[list[int]] = []
        for trade in trades:
            ticks = spec.price_ticks(str(trade["p"]), rounding=HALF_EVEN)
            lots = spec.qty_lots(str(trade["v"]), rounding=HALF_EVEN)
            if runs and runs[-1][0] == ticks:
                runs[-1][1] += lots
            else:
                runs.append([ticks, lots])
        for ticks, lots in runs:
            self._feed(spec, ticks, lots)

    def _feed(self, spec: Instrument, last_ticks: int, flow_lots: int) -> None:
        ticker = self._tickers[spec.venue_symbol]
        self._hall.venue.set_prices(
            spec.instrument_id,
            last_ticks,
            money_e8(ticker["markPrice"], field="markPrice", rounding=HALF_EVEN),
            money_e8(ticker["indexPrice"], field="indexPrice", rounding=HALF_EVEN),
            self._hall.clock.venue_ns(),
            flow_lots=flow_lots,
        )


def _subscription(symbols: Mapping[str, Any]) -> str:
    topics = [f"{kind}.{symbol}" for symbol in symbols for kind in ("tickers", "publicTrade")]
    return msgspec.json.encode({"op": "subscribe", "args": topics}).decode()
