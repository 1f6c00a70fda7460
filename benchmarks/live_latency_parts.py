"""The live path of `live_latency.py`: the trader's real parts and the venue client's real parts, joined where the sockets would be.

What is made here and nowhere in the product: a strategy that wants another position at every bar, the frames of a venue, and ends of
wires that note when bytes leave. Everything between frame and bytes is what `kedge trade` runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import msgspec

from kedge.domain.events import Event, OrderFilled
from kedge.domain.instrument import InstrumentId
from kedge.domain.orders import ApprovedOrder
from kedge.domain.outputs import Output
from kedge.domain.record import RunStarted
from kedge.domain.units import E8, NS_PER_MS
from kedge.domain.venue import Answer, VenueNews
from kedge.engine.settings import EngineSettings
from kedge.market.catalogue import CATALOGUE
from kedge.risk.limits import Limits
from kedge.services.backtest import RunJournal, engine_of
from kedge.services.bar_gate import BarGate
from kedge.services.kill_points import NoKillPoints
from kedge.services.live_bars import Bars
from kedge.services.live_core import LiveCore
from kedge.services.live_desk import Desk
from kedge.services.live_news import News
from kedge.services.live_settings import LiveSettings
from kedge.services.permits import LocalIssuer
from kedge.services.seen import Seen
from kedge.services.venue_clock import VenueClock
from kedge.strategy.base import Target, View
from kedge.venues.bybit.clock_offset import ClockOffset, ClockSample
from kedge.venues.bybit.codec import decode_frame
from kedge.venues.bybit.gateway import OrderGateway
from kedge.venues.bybit.http import TimeClass, Wire, WireReply
from kedge.venues.bybit.limits import RequestLimits
from kedge.venues.bybit.private_stream import PrivateReader
from kedge.venues.bybit.public_feed import FeedSettings, PublicFeed
from kedge.venues.bybit.rest_calls import Caller
from kedge.venues.bybit.rest_endpoints import TRADER_LIMITS
from kedge.venues.bybit.signing import HmacSigner
from kedge.venues.bybit.socket import Connection
from kedge.venues.bybit.trade_socket import TradeDialect, TradeSocket
from kedge.venues.bybit.venue_news import NewsQueue

SPEC = CATALOGUE["bybit-linear:BTCUSDT"][-1]
NAME = SPEC.instrument_id
MINUTE_NS = 60_000_000_000
START_NS = SPEC.valid_from_ns // MINUTE_NS * MINUTE_NS + MINUTE_NS
SIGNER = HmacSigner("bench-key-000000", "bench-secret-00000000000000000000000")
EXPOSURE = 0.01
WIDE = Limits(
    drawdown_soft_e8=97_000_000, drawdown_reduce_e8=98_000_000, drawdown_halt_e8=99_000_000,
    daily_loss_soft_e8=97_000_000, daily_loss_reduce_e8=98_000_000, daily_loss_halt_e8=99_000_000,
)  # fmt: skip
SPEED = 1_000_000
"""The client's shares of the venue's limits grow with it, so that no request waits; they are counted as ever."""


class ToAndFro:
    """In at one bar, out at the next: every bar makes exactly one order."""

    name = "to_and_fro"
    features = ()

    def on_event(self, view: View) -> Sequence[Target]:
        return (Target(view.instrument, 0.0 if view.exposure_frac else EXPOSURE),)


class NoJournal:
    """Keeps nothing: what the path costs without records."""

    count = 1

    def start(self, run_started: RunStarted) -> None: ...
    def keep(self, blobs: Mapping[str, bytes]) -> None: ...

    def commit(self, event: Event, outputs: Sequence[Output]) -> None: ...
    def flush(self) -> None: ...
    def save_snapshot(self, seq: int, body: bytes) -> None: ...


def first_record() -> RunStarted:
    settings = EngineSettings(
        run_id="bench-1", account="bench", strategy="trend", params={}, wallet_e8=1_000_000 * E8, start_ts_ns=START_NS,
        interval_ns=MINUTE_NS, limits=WIDE,
    )  # fmt: skip
    return RunStarted(
        run_id="bench-1", account="bench", source="synthetic", speed="1", engine_version="bench", code_sha256="0" * 64,
        settings_sha256="0" * 64, settings={"engine": msgspec.to_builtins(settings)}, instruments=(SPEC,), data=(), assumptions={},
        seed=0, started_ts_ns=START_NS,
    )  # fmt: skip


def bar_frame(n: int) -> bytes:
    """The venue's frame of the n-th confirmed bar; prices go up and down a little."""
    start_ms = (START_NS + n * MINUTE_NS) // NS_PER_MS
    close = 600_000 + n % 7
    prices = f'"open":"60000.0","close":"{close // 10}.{close % 10}","high":"60001.0","low":"59999.0"'
    row = f'{{"start":{start_ms},"end":{start_ms + 59_999},"interval":"1",{prices},"volume":"123.456","turnover":"7407360","confirm":true'
    now_ms = start_ms + 60_000
    return f'{{"topic":"kline.1.BTCUSDT","data":[{row},"timestamp":{now_ms}}}],"ts":{now_ms},"type":"snapshot"}}'.encode()


def fill_frame(n: int, order: dict[str, Any], ts_ms: int) -> bytes:
    """The venue's frame of an order's one trade, with the members that the venue sends."""
    row = {
        "category": "linear", "symbol": "BTCUSDT", "closedSize": "0", "execFee": "0.528", "execId": f"{n:036d}", "execPrice": "60000.0",
        "execQty": order["qty"], "execType": "Trade", "execValue": "960", "feeRate": "0.00055", "tradeIv": "", "markIv": "",
        "blockTradeId": "", "markPrice": "60000.00", "indexPrice": "", "underlyingPrice": "", "leavesQty": "0", "orderId": f"{n:032d}",
        "orderLinkId": order["orderLinkId"], "orderPrice": "61000.0", "orderQty": order["qty"], "orderType": "Market", "seq": n,
        "stopOrderType": "UNKNOWN", "side": order["side"], "execTime": str(ts_ms), "isLeverage": "0", "isMaker": False, "execPnl": "0",
        "marketUnit": "", "createType": "CreateByUser", "feeCurrency": "USDT",
    }  # fmt: skip
    return msgspec.json.encode({"id": f"{n:032d}", "topic": "execution.linear", "creationTime": ts_ms, "data": [row]})


class WireEnd:
    """The end of a wire: notes when bytes leave and keeps them; a transport to the connection, a socket to its readers."""

    last_why = ""

    def __init__(self) -> None:
        self.left_ns = 0
        self.sent = b""
        self.went = asyncio.Event()
        self.connection: Connection | None = None

    def send(self, _: object, data: bytes) -> None:
        self.left_ns = time.perf_counter_ns()
        self.sent = data
        self.went.set()


class RestEnd(Wire):
    """The same for REST: takes the request as aiohttp would get it, signed, and waits for the answer it is given."""

    def __init__(self, end: WireEnd) -> None:
        super().__init__("http://127.0.0.1:1")
        self._end = end
        self.answer: asyncio.Future[WireReply] | None = None

    async def post(self, path: str, body: bytes, headers: dict[str, str], time_class: TimeClass) -> WireReply:
        assert "X-BAPI-SIGN" in headers
        self._end.send(None, body)
        self.answer = asyncio.get_running_loop().create_future()
        return await self.answer


class ClientParts:
    """The venue's client between its wires: news in, orders out; as much of the venue port as the loop uses here."""

    def __init__(self, *, over_rest: bool) -> None:
        self.end = WireEnd()
        self.queue = NewsQueue()
        clock = ClockOffset()
        clock.measure([ClockSample(time.monotonic_ns(), time.monotonic_ns() + 100_000, time.time_ns(), time.time_ns())])
        self.rest = RestEnd(self.end)
        caller = Caller(self.rest, RequestLimits(TRADER_LIMITS, speed=SPEED), SIGNER, clock=clock)
        records = {SPEC.venue_symbol: SPEC}
        self.dialect = TradeDialect(SIGNER, lambda: time.time_ns() // NS_PER_MS)
        self.connection = Connection(self.dialect.read)
        self.connection.on_ws_connected(self.end)  # type: ignore[arg-type]
        self.end.connection = self.connection
        trade = None if over_rest else TradeSocket(self.end, "kedge")  # type: ignore[arg-type]
        self.gateway = OrderGateway(caller, trade, records)
        self.feed = PublicFeed([SPEC], FeedSettings(), self._no_history, self.queue.put)
        self.reader = PrivateReader(records, "USDT", self.queue.put, lambda _: None)

    async def news(self) -> VenueNews:
        return await self.queue.get()

    def news_at_hand(self) -> list[VenueNews]:
        return self.queue.take_all()

    async def place(self, approved: ApprovedOrder, *, is_permitted: Callable[[], bool] | None = None) -> Answer:
        return await self.gateway.place(approved, is_permitted=is_permitted)

    async def cancel(self, instrument: InstrumentId, client_order_id: str) -> Answer:
        return await self.gateway.cancel(instrument, client_order_id)

    async def _no_history(self, *_: object) -> Sequence[Any]:
        return ()


class LivePath:
    """One trader on one client, a bar at a time."""

    def __init__(self, journal: RunJournal, *, over_rest: bool) -> None:
        started = first_record()
        journal.start(started)
        self.client = ClientParts(over_rest=over_rest)
        self._over_rest = over_rest
        engine, permits = engine_of(started, ToAndFro()), LocalIssuer("paper", time.monotonic_ns)
        clock = VenueClock(time.monotonic_ns, START_NS)
        self.core = LiveCore(engine, journal, Seen(START_NS), clock, NoKillPoints(), 1 << 60)
        venue: Any = self.client
        self._tasks: set[asyncio.Task[None]] = set()
        settings = LiveSettings()
        self.desk = Desk(self.core, venue, permits, self._spawn, time.monotonic_ns, settings.lookup)
        bars = Bars(self.core, venue, BarGate({NAME: 0}, MINUTE_NS), MINUTE_NS, in_step=False, spawn=self._spawn)
        self.news = News(self.core, venue, self.desk, bars, settings, lambda _: None, in_step=False)
        self.core.watchers.append(self._watch)
        self._permits, self._booked, self.booked_ns = permits, asyncio.Event(), 0
        bars.open()
        self.bars = bars
        self._pump = self._spawn(self.news.pump())

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def bar(self, frame: bytes) -> int:
        """Take a bar's frame; nanoseconds until the bytes of its order left."""
        self._permits.renew()
        end = self.client.end
        end.went.clear()
        begun_ns = time.perf_counter_ns()
        self.client.feed.read(self.client.connection, frame)
        async with asyncio.timeout(5):
            await end.went.wait()
        return end.left_ns - begun_ns

    async def fill(self, n: int, ts_ms: int) -> int:
        """Answer the order and trade it; nanoseconds from the trade's frame until it was booked."""
        order = self._answer(n)
        while self.desk.under_way:
            await asyncio.sleep(0)
        frame = fill_frame(n, order, ts_ms)
        self._booked.clear()
        begun_ns = time.perf_counter_ns()
        self.client.reader.read(decode_frame(frame))
        async with asyncio.timeout(5):
            await self._booked.wait()
        return self.booked_ns - begun_ns

    def _answer(self, n: int) -> dict[str, Any]:
        said = msgspec.json.decode(self.client.end.sent)
        order: dict[str, Any] = said if self._over_rest else said["args"][0]
        result = f'{{"orderId":"{n:032d}","orderLinkId":"{order["orderLinkId"]}"}}'
        if self._over_rest:
            assert self.client.rest.answer is not None
            body = f'{{"retCode":0,"retMsg":"OK","result":{result},"retExtInfo":{{}},"time":{time.time_ns() // NS_PER_MS}}}'
            self.client.rest.answer.set_result(WireReply(200, body.encode(), None, None, None))
        else:
            text = f'{{"reqId":"{said["reqId"]}","retCode":0,"retMsg":"OK","op":"order.create","data":{result},"header":{{}},"connId":"c"}}'
            self.client.dialect.read(self.client.connection, text.encode())
        return order

    def _watch(self, event: Event, _: Sequence[Output]) -> None:
        if type(event) is OrderFilled:
            self.booked_ns = time.perf_counter_ns()
            self._booked.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
