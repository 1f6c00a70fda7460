"""The venue's payloads: bytes in, typed rows out. The one door to the codec; rows live in `codec_orders`, `codec_market`, `codec_account`.

Rules: an envelope is read first and its result kept raw, so that a refusal is read as a refusal; what is missing or of the wrong
kind is named with endpoint, field and row; unknown keys are ignored; a code is compared with 0, never tested for truth.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Generic, TypeVar, get_args

import msgspec

from kedge.venues.bybit.codec_account import (
    AccountInfo,
    DcpInfo,
    DepositData,
    InternalDepositData,
    KeyInfo,
    SystemStatusData,
    TransferData,
    WithdrawalData,
)
from kedge.venues.bybit.codec_market import (
    KLINE_COLUMNS,
    PRICE_KLINE_COLUMNS,
    BookData,
    FeeRateData,
    FundingData,
    InstrumentData,
    KlineData,
    OpenInterestData,
    PriceLimitData,
    RecentTradeData,
    RiskLimitData,
    TickerData,
    TimeData,
    TradeData,
    klines_from_rows,
)
from kedge.venues.bybit.codec_numbers import (
    UnreadablePayload,
    is_blank,
    money_e8,
    ns_from_ms,
    optional_money_e8,
    optional_price_ticks,
    optional_qty_lots,
    price_ticks,
    qty_lots,
    unset_price_ticks,
)
from kedge.venues.bybit.codec_orders import (
    ClosedPnlData,
    CoinData,
    ExecutionData,
    FastExecutionData,
    LogData,
    OrderData,
    OrderIds,
    PositionData,
    Row,
    WalletData,
)

T = TypeVar("T")


class Envelope(Row, frozen=True, kw_only=True, gc=False):
    """A REST answer; `time_ms` is the venue's wall clock where the endpoint says it."""

    ret_code: int
    ret_msg: str = ""
    result: msgspec.Raw = msgspec.Raw(b"{}")
    ret_ext_info: msgspec.Raw = msgspec.Raw(b"{}")
    time_ms: int | None = msgspec.field(name="time", default=None)


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A list of rows, newest first; `cursor` is pasted back verbatim for the next page, "" ends it."""

    list: tuple[T, ...]
    next_page_cursor: str | None = msgspec.field(name="nextPageCursor", default=None)

    @property
    def cursor(self) -> str:
        return self.next_page_cursor or ""


class RowsPage(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """As `Page`, of the asset endpoints, which call the list `rows`; null stands for none there."""

    rows: tuple[T, ...] | None = ()
    next_page_cursor: str | None = msgspec.field(name="nextPageCursor", default=None)

    @property
    def cursor(self) -> str:
        return self.next_page_cursor or ""


class BatchItem(Row, frozen=True, kw_only=True, gc=False):
    """What became of one item of a batch; the envelope's code is 0 even where all failed."""

    code: int
    msg: str = ""


class Frame(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A frame of the public or private socket: data when `topic` is not empty, else an acknowledgement of `op`."""

    topic: str = ""
    type: str = ""
    ts_ms: int | None = msgspec.field(name="ts", default=None)
    cts_ms: int | None = msgspec.field(name="cts", default=None)
    creation_ms: int | None = msgspec.field(name="creationTime", default=None)
    data: msgspec.Raw = msgspec.Raw(b"null")
    op: str = ""
    success: bool | None = None
    ret_msg: str | None = None
    ret_code: int | None = msgspec.field(name="retCode", default=None)
    camel_ret_msg: str | None = msgspec.field(name="retMsg", default=None)
    req_id: str | int | None = None
    conn_id: str | None = None
    args: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def words(self) -> str:
        """What an acknowledgement says, under either spelling of the key."""
        return self.ret_msg or self.camel_ret_msg or ""


class TradeReply(Row, frozen=True, kw_only=True, gc=False):
    """A frame of the trade socket; `header` carries the limits of this account and endpoint."""

    op: str = ""
    ret_code: int | None = None
    ret_msg: str = ""
    req_id: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"{}")
    ret_ext_info: msgspec.Raw = msgspec.Raw(b"{}")
    header: dict[str, str | int] | None = None
    conn_id: str | None = None


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, strict=False)


def _kind_name(kind: Any) -> str:
    inner = ", ".join(_kind_name(argument) for argument in get_args(kind) if argument is not ...)
    return f"{getattr(kind, '__name__', kind)}" + (f" of {inner}" if inner else "")


def decode(data: bytes | msgspec.Raw, kind: type[T], endpoint: str) -> T:
    """Read `data` as `kind`; integers may stand in quotes.

    Parameters
    ----------
    endpoint : str
        Path or topic, for the error's text.

    Raises
    ------
    UnreadablePayload
        Not JSON, or a required field is missing or of another kind; names the endpoint, the field and the row.
    """
    try:
        decoder: msgspec.json.Decoder[T] = _decoder(kind)  # type: ignore[arg-type]
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadablePayload(
            f"{endpoint} answered what cannot be read: {error}",
            why=f"expected {_kind_name(kind)}; the answer begins {bytes(data)[:120]!r}",
            fix="compare it with the venue's documentation; nothing was concluded from it",
        ) from None


def decode_envelope(body: bytes, endpoint: str) -> Envelope:
    """The outer object of a REST answer, its result still raw."""
    return decode(body, Envelope, endpoint)


def decode_rows(data: bytes | msgspec.Raw, row: type[T], endpoint: str) -> tuple[T, ...]:
    """The `data` array of a private frame or a public one that carries a list."""
    return decode(data, tuple[row, ...], endpoint)  # type: ignore[valid-type]


def decode_frame(frame: bytes) -> Frame:
    """A frame of the public or private socket, its data still raw."""
    return decode(frame, Frame, "socket frame")


def decode_trade_reply(frame: bytes) -> TradeReply:
    """A frame of the trade socket."""
    return decode(frame, TradeReply, "trade socket frame")


encode = msgspec.json.Encoder().encode
"""Request bodies: compact JSON, written once; these exact bytes are signed and sent."""

__all__ = [
    "KLINE_COLUMNS",
    "PRICE_KLINE_COLUMNS",
    "AccountInfo",
    "BatchItem",
    "BookData",
    "ClosedPnlData",
    "CoinData",
    "DcpInfo",
    "DepositData",
    "Envelope",
    "ExecutionData",
    "FastExecutionData",
    "FeeRateData",
    "Frame",
    "FundingData",
    "InstrumentData",
    "InternalDepositData",
    "KeyInfo",
    "KlineData",
    "LogData",
    "OpenInterestData",
    "OrderData",
    "OrderIds",
    "Page",
    "PositionData",
    "PriceLimitData",
    "RecentTradeData",
    "RiskLimitData",
    "RowsPage",
    "SystemStatusData",
    "TickerData",
    "TimeData",
    "TradeData",
    "TradeReply",
    "TransferData",
    "UnreadablePayload",
    "WalletData",
    "WithdrawalData",
    "decode",
    "decode_envelope",
    "decode_frame",
    "decode_rows",
    "decode_trade_reply",
    "encode",
    "is_blank",
    "klines_from_rows",
    "money_e8",
    "ns_from_ms",
    "optional_money_e8",
    "optional_price_ticks",
    "optional_qty_lots",
    "price_ticks",
    "qty_lots",
    "unset_price_ticks",
]
