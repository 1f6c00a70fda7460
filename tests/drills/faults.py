"""What is broken while a drill runs, one thing a row. Each waits for its moment by what the watch sees, never by the clock alone."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import signal
import time
from collections import Counter
from contextlib import suppress
from decimal import Decimal

import aiohttp

from kedge.apps.drill_run import Drill
from kedge.apps.drill_stage import LOOK_EVERY_S
from kedge.domain.brake import BrakeLevel
from kedge.domain.errors import VenueUnavailable
from kedge.ops.paper_keys import paper_key
from kedge.services.drills.plan import qty_of

from .moments import breached, falling, locked, nearly, smaller
from .traders import start_server

CREATE = "/v5/order/create"
ALL = "/v5/order/cancel-all"
STORM_S = 6
THIN_BPS = 60
"""What is left of the book: about 15,000 USDT a side."""


# --- processes --------------------------------------------------------------------------------------------------------


async def live_trader(drill: Drill) -> None:
    """A trader that lives hears of the brake, halts, and its books agree with the venue's in the end."""
    await drill.latched(BrakeLevel.HALTED_FLAT)
    told: dict[str, object] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(20):
            while told.get("halt_code") != "BRAKE" or told.get("positions"):
                told = json.loads((drill.stage.folder / "trader.json").read_bytes())
                await asyncio.sleep(LOOK_EVERY_S)
    drill.words.append(f"about the trader: {told.get('risk_state')} by {told.get('halt_code')}, books agree: {told.get('books_agree')}")
    if told.get("halt_code") != "BRAKE" or told.get("positions") or not told.get("books_agree"):
        drill.found.append(f"the trader is {told.get('risk_state')} by {told.get('halt_code')} and holds {told.get('positions')}")


async def kill_trader(drill: Drill) -> None:
    await falling(drill)
    drill.stage.children["trader"].signal(signal.SIGKILL)


async def hang_trader(drill: Drill) -> None:
    await falling(drill)
    drill.stage.children["trader"].signal(signal.SIGSTOP)


async def kill_api(drill: Drill) -> None:
    server = await start_server(drill.stage)
    await falling(drill)
    server.signal(signal.SIGKILL)
    await server.ended


async def lock_databases(drill: Drill) -> None:
    """Lock the trader's journal, the people's store and the acts as another process would that hangs in a transaction."""
    await start_server(drill.stage)
    await falling(drill)
    folder = drill.stage.folder
    paths = [
        *folder.glob("runs/*/journal.sqlite"),
        *folder.glob("people/*.sqlite"),
        *folder.glob("acts/*.sqlite"),
        *folder.glob("*.sqlite"),
    ]
    assert any(path.name == "journal.sqlite" for path in paths)
    held = [locked(path) for path in paths]
    drill.words.append(f"locked: {', '.join(sorted(str(path.relative_to(folder)) for path in paths))}")
    try:
        await drill.latched(BrakeLevel.HALTED_FLAT)
    finally:
        for connection in held:
            connection.close()


async def lock_guards_journal(drill: Drill) -> None:
    await falling(drill)
    held = locked(drill.stage.folder / "guard" / "journal.sqlite")
    try:
        await drill.latched(BrakeLevel.HALTED_FLAT)
    finally:
        held.close()


async def kill_guard_mid_flatten(drill: Drill) -> None:
    await nearly(drill)
    await drill.stage.hand.order_fault(fault="thin_book", bps=THIN_BPS, ms=30_000)
    if not await smaller(drill):
        drill.found.append("no slice was seen before the guard was to die")
    guard = drill.stage.children["guard"]
    guard.signal(signal.SIGKILL)
    await guard.ended
    if not drill.watch.samples[-1].positions:
        drill.found.append("all was closed before the guard died: nothing was shown")
    await asyncio.sleep(1.0)
    await drill.stage.hand.clear_faults()
    await drill.stage.start_guard()


async def kill_host(drill: Drill) -> None:
    """Everything of ours on this machine dies; what is left is at the venue. Times count from the price that reached the last stop."""
    watch, hand = drill.watch, drill.stage.hand
    assert await watch.until(lambda: bool(watch.samples) and len(watch.samples[-1].positions) == len(drill.plan.symbols), 30)
    stops: dict[str, Decimal] = {}
    async with asyncio.timeout(10):
        while len(stops) < len(drill.plan.symbols) or not all(stops.values()):
            stops = {symbol: Decimal(row["stopLoss"] or 0) for symbol, row in (await hand.positions()).items()}
            await asyncio.sleep(LOOK_EVERY_S)
    drill.guarded = False
    drill.ends = lambda: not watch.samples[-1].positions
    for name, child in drill.stage.children.items():
        if name != "exchange":
            child.signal(signal.SIGKILL)
            await child.ended
    for symbol, stop in stops.items():
        await watch.until(lambda symbol=symbol, stop=stop: watch.prices.get(symbol, stop + 1) <= stop, 60)
    watch.breach_ns = watch.price_ns
    drill.words.append("the trader's stops at the venue: " + ", ".join(f"{symbol} at {stop}" for symbol, stop in stops.items()))


# --- the venue and the way to it --------------------------------------------------------------------------------------


async def accept_late(drill: Drill) -> None:
    """An order that left before the latch and comes to the book after the guard's first cancel."""
    stage, symbol = drill.stage, drill.plan.symbols[0]
    await nearly(drill)
    await stage.hand.order_fault(fault="delay_request", path=CREATE, ms=900, count=1)
    await breached(drill)
    qty = qty_of(stage.instruments[symbol], Decimal(8_000), await stage.hand.mark(symbol))
    drill.late[symbol] = Decimal(qty)
    answer = await stage.hand.place(symbol, "Buy", qty, link_id="late-order")
    drill.words.append(f"a buy of {qty} {symbol} was sent at the breach, held back 900 ms and answered {answer['retCode']}")
    if answer["retCode"]:
        drill.late.clear()


async def freeze_private(drill: Drill) -> None:
    await falling(drill)
    await drill.stage.hand.order_fault(fault="delay_private", ms=300_000)


async def reject(drill: Drill) -> None:
    """The venue refuses every cancel and every order for a while."""
    await nearly(drill)
    await drill.stage.hand.order_fault(fault="reject", path=CREATE, code=10016, text="Internal server error", for_ms=9_000)
    await drill.stage.hand.order_fault(fault="reject", path=ALL, code=10016, text="Internal server error", for_ms=5_000)


async def lose_answers(drill: Drill) -> None:
    """Orders are carried out and never answered."""
    await nearly(drill)
    await drill.stage.hand.order_fault(fault="hang_reply", path=CREATE, count=2)


async def saturate(drill: Drill) -> None:
    """Somebody uses up the account's budgets of orders and cancels over the trade socket, until some seconds after the latch."""
    key, symbol = paper_key(drill.stage.folder), drill.plan.symbols[0]
    answered, sent, until = Counter[int](), 0, float("inf")
    expires = time.time_ns() // 10**6 + 60_000
    seal = hmac.new(key.api_secret.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
    order = {"category": "linear", "symbol": symbol, "side": "Buy", "orderType": "Limit", "qty": "0", "price": "1"}
    wishes = [("order.create", order)] * 4 + [("order.cancel", {"category": "linear", "symbol": symbol, "orderLinkId": "nobody"})] * 4
    latched = asyncio.create_task(drill.latched())
    address = drill.stage.hand.url.replace("http", "ws", 1) + "/v5/trade"
    try:
        async with aiohttp.ClientSession() as session, session.ws_connect(address) as socket:
            await socket.send_json({"op": "auth", "args": [key.api_key, expires, seal]})
            reading = asyncio.create_task(count_codes(socket, answered))
            while (now_s := asyncio.get_running_loop().time()) < until:
                until = min(until, now_s + STORM_S) if latched.done() else until
                for op, body in wishes:
                    sent += 1
                    header = {"X-BAPI-TIMESTAMP": str(time.time_ns() // 10**6)}
                    await socket.send_json({"reqId": f"n{sent}", "header": header, "op": op, "args": [body]})
                await asyncio.sleep(0.04)
            reading.cancel()
    finally:
        told = ", ".join(f"{count} with {code}" for code, count in answered.most_common(3))
        drill.words.append(f"about 200 requests a second on the account's key until {STORM_S} s after the latch; answered: {told}")


async def count_codes(socket: aiohttp.ClientWebSocketResponse, answered: Counter[int]) -> None:
    """Count the answers of a trade socket by their codes."""
    async for message in socket:
        told = json.loads(message.data)
        if str(told.get("op", "")).startswith("order."):
            answered[int(told["retCode"])] += 1


async def thin_book(drill: Drill) -> None:
    await nearly(drill)
    await drill.stage.hand.order_fault(fault="thin_book", bps=THIN_BPS, ms=300_000)


async def empty_book(drill: Drill) -> None:
    """Nobody quotes until the drill is over."""
    await nearly(drill)
    await drill.stage.hand.order_fault(fault="thin_book", bps=0, ms=300_000)


async def flickering_book(drill: Drill) -> None:
    """The book is there when it is read and gone when the order comes: fills are partial."""
    await nearly(drill)
    until = asyncio.get_running_loop().time() + 12.0
    while asyncio.get_running_loop().time() < until and drill.watch.level is not BrakeLevel.HALTED_FLAT:
        await drill.stage.hand.order_fault(fault="thin_book", bps=20, ms=120)
        await asyncio.sleep(0.2)


async def gap(drill: Drill) -> None:
    """The book stands beyond the collar for six seconds."""
    await nearly(drill)
    await drill.stage.hand.order_fault(fault="wide_book", bps=400, ms=300_000)
    await drill.latched(BrakeLevel.FLATTENING)
    await asyncio.sleep(6.0)
    await drill.stage.hand.clear_faults()


async def maintenance(drill: Drill) -> None:
    """The venue answers nobody for five seconds, from right before the breach."""
    await nearly(drill)
    await drill.stage.hand.order_fault(fault="maintenance", ms=5_000)


async def second_trader(drill: Drill) -> None:
    """Somebody else with the account's key goes on buying and resting orders for four seconds after the latch."""
    stage, symbol = drill.stage, drill.plan.symbols[0]
    assert await drill.latched(BrakeLevel.HALTED)
    qty = qty_of(stage.instruments[symbol], Decimal(2_000), await stage.hand.mark(symbol))
    until = asyncio.get_running_loop().time() + 4.0
    sent = 0
    while asyncio.get_running_loop().time() < until:
        with suppress(VenueUnavailable):
            answer = await stage.hand.place(symbol, "Buy", qty, link_id=f"rival-{sent}")
            drill.late[symbol] = drill.late.get(symbol, Decimal(0)) + (Decimal(0) if answer["retCode"] else Decimal(qty))
            low = f"{(await stage.hand.mark(symbol) * Decimal('0.5')).quantize(stage.instruments[symbol].tick_size):f}"
            await stage.hand.place(symbol, "Buy", qty, price=low, link_id=f"rival-rests-{sent}")
            sent += 1
        await asyncio.sleep(0.5)
    drill.words.append(f"{sent} market orders of {qty} {symbol} and as many resting ones by a second trader after the latch")
