"""The private socket: authentication, our orders, executions, positions and wallet as news, and the barrier.

Rules: rows become news in the order of the frames and within a frame in the order of the venue; a row of a symbol whose record is not
loaded is reported and asked for, and its story told again from history; anything else that cannot be read ends the connection, so
that the trader reconciles after the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from kedge.domain.errors import VenueUnavailable
from kedge.domain.events import FundingSettled
from kedge.domain.instrument import Instrument
from kedge.domain.venue import OrderNews, VenuePosition, VenueWallet
from kedge.venues.bybit import mapping, mapping_account, mapping_fills
from kedge.venues.bybit.codec import ExecutionData, Frame, OrderData, PositionData, WalletData, decode_frame, decode_rows
from kedge.venues.bybit.order_rows import OrderReader
from kedge.venues.bybit.signing import Signer, socket_auth_args
from kedge.venues.bybit.socket import Connection
from kedge.venues.bybit.socket_words import AUTH_VALID_MS, ClockWasOff, ask, ping_words, read_answer, refusal, subscribe

_LOG: Final = logging.getLogger(__name__)

TOPICS: Final = ("order.linear", "execution.linear", "position.linear", "wallet")
DCP_TOPIC: Final = "dcp.future"
"""A connection that subscribed it is one of those whose end the venue's disconnect protection waits for."""

PrivateNews = OrderNews | FundingSettled | VenuePosition | VenueWallet
Tell = Callable[[PrivateNews], None]


class PrivateReader:
    """Private frames to news, by the frame, the records, the rows of the same orders before it and the newest time seen.

    Parameters
    ----------
    records : mapping
        Instruments by symbol; may grow while the stream runs.
    unknown : callable
        Gets the symbol of a row whose instrument is not in `records`; that row is not told.
    """

    def __init__(self, records: Mapping[str, Instrument], coin: str, tell: Tell, unknown: Callable[[str], None]) -> None:
        self.seen_ts_ns = 0
        self._records, self._coin, self._tell, self._unknown = records, coin, tell, unknown
        orders = OrderReader(records)
        self._readers: dict[str, tuple[type[Any], Callable[[Any], Sequence[PrivateNews | None]]]] = {
            "order": (OrderData, orders.news),
            "execution": (ExecutionData, lambda row: (mapping_fills.execution_news(row, self._records),)),
            "position": (PositionData, lambda row: (self._position(row),)),
            "wallet": (WalletData, lambda row: (self._wallet(row),)),
        }

    def read(self, frame: Frame) -> None:
        """Tell what a data frame holds.

        Raises
        ------
        UnreadablePayload
            A word, number or shape that is not understood.
        """
        reader = self._readers.get(frame.topic.partition(".")[0])
        if frame.topic.startswith("dcp."):
            return  # subscribing it is what protects; it brings nothing
        if reader is None:
            _LOG.warning("private stream: topic %s was not asked for", frame.topic)
            return
        kind, news_of = reader
        for row in decode_rows(frame.data, kind, frame.topic):
            try:
                told = news_of(row)
            except mapping.UnknownSymbol as error:
                _LOG.warning("private stream: %s", error)
                self._unknown(error.symbol)
                continue
            for news in told:
                if news is not None:
                    self.seen_ts_ns = max(self.seen_ts_ns, news.ts_ns)
                    self._tell(news)

    def _wallet(self, row: WalletData) -> PrivateNews | None:
        """None for another account's, and where our coin is not listed: a frame may tell of what changed alone."""
        if row.account_type not in ("UNIFIED", "") or row.coin_named(self._coin) is None:
            return None
        return mapping_account.venue_wallet(row, self._coin, self.seen_ts_ns)

    def _position(self, row: PositionData) -> PrivateNews | None:
        return mapping_account.venue_position(row, self._records) if row.category in mapping.CATEGORIES else None


class PrivateDialect:
    """What the private socket speaks; see `reconnect.Dialect`.

    Parameters
    ----------
    wall_ms : callable
        The venue's wall clock, for the expiry of the authentication.
    clock_was_off : callable, optional
        Measures that clock again, and says whether it was wrong: then a refusal was not the key's fault.

    Attributes
    ----------
    protected : bool
        Whether this connection is to count for the venue's disconnect protection; set before it connects.
    unprotected : str
        Why the last connection does not count though it was to; empty where it does.
    """

    def __init__(
        self,
        reader: PrivateReader,
        signer: Signer,
        wall_ms: Callable[[], int],
        topics: Sequence[str] = TOPICS,
        *,
        clock_was_off: ClockWasOff | None = None,
    ) -> None:
        self._reader, self._signer, self._wall_ms, self._topics = reader, signer, wall_ms, topics
        self._clock_was_off = clock_was_off
        self.protected = False
        self.unprotected = ""

    def read(self, connection: Connection, text: bytes) -> None:
        frame = decode_frame(text)
        if frame.topic:
            self._reader.read(frame)
        else:
            read_answer(connection, frame)

    async def greet(self, connection: Connection) -> None:
        asked_ms = self._wall_ms()
        answer = await ask(connection, "auth", socket_auth_args(self._signer, asked_ms + AUTH_VALID_MS))
        if answer.success is not True:
            raise await refusal("private", None, answer.words, asked_ms, self._clock_was_off)
        await subscribe(connection, self._topics)
        if self.protected:
            await self._protect(connection)

    async def _protect(self, connection: Connection) -> None:
        """A refusal of this topic must not cost the others, so it goes alone."""
        self.unprotected = ""
        try:
            await subscribe(connection, [DCP_TOPIC])
        except VenueUnavailable as error:
            if not connection.is_open:
                raise
            self.unprotected = f"{error.what}: {error.why}"
            _LOG.warning("no disconnect protection: %s", error, extra={"event": "unprotected"})

    def ping_text(self, request_id: str) -> bytes:
        return ping_words(request_id)
