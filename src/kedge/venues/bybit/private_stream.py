"""The private socket: authentication, our orders, executions, positions and wallet as news, and the barrier.

Rules: rows become news in the order of the frames and within a frame in the order of the venue; a row of a symbol whose record is not
loaded is reported and asked for, and its story told again from history; anything else that cannot be read ends the connection, so
that the trader reconciles after the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from kedge.domain.events import FundingSettled
from kedge.domain.instrument import Instrument
from kedge.domain.venue import OrderNews, VenuePosition, VenueWallet
from kedge.venues.bybit import mapping, mapping_account
from kedge.venues.bybit.codec import ExecutionData, Frame, OrderData, PositionData, WalletData, decode_frame, decode_rows
from kedge.venues.bybit.signing import Signer, socket_auth_args
from kedge.venues.bybit.socket import Connection
from kedge.venues.bybit.socket_words import ask, key_refused, ping_words, read_answer, subscribe

_LOG: Final = logging.getLogger(__name__)

TOPICS: Final = ("order.linear", "execution.linear", "position.linear", "wallet")
AUTH_VALID_MS: Final = 10_000
"""How far in the venue's future an authentication expires; generous, because connecting may take seconds."""

PrivateNews = OrderNews | FundingSettled | VenuePosition | VenueWallet
Tell = Callable[[PrivateNews], None]


class PrivateReader:
    """Private frames to news: a pure function of the frame, the records and the newest time seen.

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
        self._readers: dict[str, tuple[type[Any], Callable[[Any], PrivateNews | None]]] = {
            "order": (OrderData, mapping.order_news),
            "execution": (ExecutionData, lambda row: mapping.execution_news(row, self._records)),
            "position": (PositionData, self._position),
            "wallet": (WalletData, lambda row: mapping_account.venue_wallet(row, self._coin, self.seen_ts_ns)),
        }

    def read(self, frame: Frame) -> None:
        """Tell what a data frame holds.

        Raises
        ------
        UnreadablePayload
            A word, number or shape that is not understood.
        """
        reader = self._readers.get(frame.topic.partition(".")[0])
        if reader is None:
            _LOG.warning("private stream: topic %s was not asked for", frame.topic)
            return
        kind, news_of = reader
        for row in decode_rows(frame.data, kind, frame.topic):
            try:
                news = news_of(row)
            except mapping.UnknownSymbol as error:
                _LOG.warning("private stream: %s", error)
                self._unknown(error.symbol)
                continue
            if news is not None:
                self.seen_ts_ns = max(self.seen_ts_ns, news.ts_ns)
                self._tell(news)

    def _position(self, row: PositionData) -> PrivateNews | None:
        return mapping_account.venue_position(row, self._records) if row.category in mapping.CATEGORIES else None


class PrivateDialect:
    """What the private socket speaks; see `reconnect.Dialect`.

    Parameters
    ----------
    wall_ms : callable
        The venue's wall clock, for the expiry of the authentication.
    """

    def __init__(self, reader: PrivateReader, signer: Signer, wall_ms: Callable[[], int], topics: Sequence[str] = TOPICS) -> None:
        self._reader, self._signer, self._wall_ms, self._topics = reader, signer, wall_ms, topics

    def read(self, connection: Connection, text: bytes) -> None:
        frame = decode_frame(text)
        if frame.topic:
            self._reader.read(frame)
        else:
            read_answer(connection, frame)

    async def greet(self, connection: Connection) -> None:
        answer = await ask(connection, "auth", socket_auth_args(self._signer, self._wall_ms() + AUTH_VALID_MS))
        if answer.success is not True:
            raise key_refused("private", None, answer.ret_msg or "")
        await subscribe(connection, self._topics)

    def ping_text(self, request_id: str) -> bytes:
        return ping_words(request_id)
