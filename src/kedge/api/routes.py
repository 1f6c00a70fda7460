"""`/api/v1`: the overview and the lists. Documents are composed as bytes; `api.schemas` describes them and a test holds them to it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from kedge.api import schemas
from kedge.api.documents import Desk, answer, raw
from kedge.api.identity import acting
from kedge.api.problems import nearest
from kedge.api.strict import StrictRoute, answers
from kedge.domain.errors import InvalidInput, NotFound
from kedge.governance.roles import Action
from kedge.services.replica_read import Reading, Wanted
from kedge.services.replica_text import e8_text, read_time, span_s, time_text

router = APIRouter(prefix="/api/v1", route_class=StrictRoute, responses=answers(503), dependencies=[Depends(acting(Action.READ))])

Limit = Annotated[int, Query(ge=1, le=1000, description="Rows in one page.")]
CursorText = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")]
Since = Annotated[str | None, Query(max_length=40, description="Venue time, RFC 3339, inclusive.", examples=["2026-07-01T00:00:00Z"])]
Until = Annotated[str | None, Query(max_length=40, description="Venue time, RFC 3339, exclusive.", examples=["2026-07-02T00:00:00Z"])]
InstrumentId = Annotated[str | None, Query(max_length=100, description="Such as `bybit-linear:BTCUSDT`.")]
OrderStatus = Literal[
    "pending_new", "waiting", "open", "pending_amend", "pending_cancel", "unknown", "filled", "canceled", "rejected", "absent"
]
Code = Annotated[str | None, Query(max_length=100, description="Such as `CONFIDENCE_LOW`.")]


def desk_of(request: Request) -> Desk:
    """What the routes ask."""
    desk: Desk = request.app.state.desk
    return desk


def reading_of(request: Request) -> Reading:
    """The followed run's rows, or a problem that says why there are none."""
    return desk_of(request).reading()


def page_of(reading: Reading, what: str, wanted: Wanted, **more: Any) -> Response:
    """One page of a list."""
    page = reading.page(what, wanted)
    run_id = reading.replica.started.run_id
    return answer({"run_id": run_id, **more, "items": raw(page.rows), "next_cursor": page.next_cursor})


def wanted_of(
    reading: Reading, limit: int, cursor: str | None, *, since: str | None = None, until: str | None = None, **given: Any
) -> Wanted:
    """A page's filters, read strictly: an instrument that the run does not trade is refused by name."""
    instrument = given.get("instrument")
    known = [slot.instrument for slot in reading.replica.state.by_index]
    if instrument is not None and instrument not in known:
        raise InvalidInput(f"instrument is {instrument!r}", why="the run does not trade it", fix=nearest(instrument, known))
    return Wanted(
        limit=limit,
        cursor=cursor,
        since_ns=None if since is None else read_time(since, field="since"),
        until_ns=None if until is None else read_time(until, field="until"),
        equal={name: value for name, value in given.items() if isinstance(value, str)},
        flags={name: value for name, value in given.items() if isinstance(value, bool)},
    )


@router.get("/overview", operation_id="getOverview", response_model=schemas.Overview, responses=answers())
async def overview(request: Request) -> Response:
    """Everything on one screen: badge, money, positions, open orders, risk, funnel, model, journal, health, and how old it all is."""
    desk = desk_of(request)
    await desk.health.recent()
    return answer(desk.overview())


@router.get("/equity", operation_id="getEquity", response_model=schemas.EquitySeries)
async def equity(
    request: Request, points: Annotated[int, Query(ge=10, le=5000)] = 500, since: Since = None, until: Until = None
) -> Response:
    """Equity over time, oldest first, at the finest resolution that fits into `points`."""
    reading = reading_of(request)
    times = [None if text is None else read_time(text, field=name) for name, text in (("since", since), ("until", until))]
    resolution_s, items = reading.equity(points, *times)
    started = reading.replica.started
    start = e8_text(reading.replica.settings.wallet_e8)
    return answer({"run_id": started.run_id, "resolution_s": resolution_s, "start_equity": start, "items": items})


@router.get("/positions", operation_id="listPositions", response_model=schemas.PositionList)
async def positions(request: Request) -> Response:
    """Open positions at the last marks."""
    from kedge.services import replica_figures as figures

    replica = reading_of(request).replica
    items = figures.positions(replica)
    return answer({"run_id": replica.started.run_id, "as_of": time_text(replica.state.ts_ns), "items": items})


@router.get("/instruments", operation_id="listInstruments", response_model=schemas.InstrumentList)
async def instruments(request: Request) -> Response:
    """What the run trades, with the decimals to show."""
    from kedge.services import replica_figures as figures

    reading = reading_of(request)
    replica = reading.replica
    closes = {slot.instrument: close for slot in replica.state.by_index if (close := reading.last_close(slot.instrument)) is not None}
    interval_s = span_s(replica.settings.interval_ns)
    return answer({"run_id": replica.started.run_id, "interval_s": interval_s, "items": figures.instruments(replica, closes)})


@router.get("/candles", operation_id="listCandles", response_model=schemas.CandlePage)
async def candles(
    request: Request,
    instrument: InstrumentId = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    cursor: CursorText = None,
) -> Response:
    """Confirmed bars of one instrument, newest first; `cursor` pages to the past."""
    reading = reading_of(request)
    name = instrument if instrument is not None else reading.replica.state.by_index[0].instrument
    wanted = wanted_of(reading, limit, cursor, since=since, until=until, instrument=name)
    return page_of(reading, "candles", wanted, instrument=name, interval_s=span_s(reading.replica.settings.interval_ns))


@router.get("/fills", operation_id="listFills", response_model=schemas.FillPage)
async def fills(
    request: Request,
    instrument: InstrumentId = None,
    side: Literal["buy", "sell"] | None = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    cursor: CursorText = None,
) -> Response:
    """Trades that happened, newest first."""
    reading = reading_of(request)
    return page_of(reading, "fills", wanted_of(reading, limit, cursor, since=since, until=until, instrument=instrument, side=side))


@router.get("/fills/{fill_id}", operation_id="getFill", response_model=schemas.Fill, responses=answers(404))
async def fill(request: Request, fill_id: Annotated[str, Path(max_length=200)]) -> Response:
    """One trade."""
    return _single(reading_of(request).fill(fill_id), "fill", fill_id)


@router.get("/orders", operation_id="listOrders", response_model=schemas.OrderPage)
async def orders(
    request: Request,
    instrument: InstrumentId = None,
    status: OrderStatus | None = None,
    open: Annotated[bool | None, Query(description="Only orders that may still trade, or only those that may not.")] = None,
    limit: Limit = 100,
    cursor: CursorText = None,
) -> Response:
    """Orders that were sent, newest first."""
    reading = reading_of(request)
    return page_of(reading, "orders", wanted_of(reading, limit, cursor, instrument=instrument, status=status, is_open=open))


@router.get("/orders/{client_order_id}", operation_id="getOrder", response_model=schemas.Order, responses=answers(404))
async def order(request: Request, client_order_id: Annotated[str, Path(max_length=200)]) -> Response:
    """One order."""
    return _single(reading_of(request).order(client_order_id), "order", client_order_id)


@router.get("/decisions", operation_id="listDecisions", response_model=schemas.DecisionPage)
async def decisions(
    request: Request,
    instrument: InstrumentId = None,
    code: Code = None,
    stage: Literal["signal", "limits", "venue", "stop", "quotes", "books", "risk"] | None = None,
    vetoed: bool | None = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    cursor: CursorText = None,
) -> Response:
    """What was decided, and what the limits or the venue refused, with code, observed and limit; newest first."""
    reading = reading_of(request)
    filters = {"instrument": instrument, "code": code, "stage": stage, "vetoed": vetoed}
    return page_of(reading, "decisions", wanted_of(reading, limit, cursor, since=since, until=until, **filters))


@router.get("/predictions", operation_id="listPredictions", response_model=schemas.PredictionPage)
async def predictions(
    request: Request,
    instrument: InstrumentId = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    cursor: CursorText = None,
) -> Response:
    """What the model said at each bar, newest first."""
    reading = reading_of(request)
    return page_of(reading, "predictions", wanted_of(reading, limit, cursor, since=since, until=until, instrument=instrument))


@router.get("/health", operation_id="getParts", response_model=schemas.HealthOverview, responses=answers())
async def health(request: Request) -> Response:
    """Every part of the system, with what was seen and what to do."""
    return answer(await desk_of(request).health.now())


def _single(row: bytes | None, what: str, name: str) -> Response:
    if row is None:
        raise NotFound(f"{what} {name[:100]!r}", why="the followed run has none of this id", fix=f"GET /api/v1/{what}s lists them")
    return Response(row, media_type="application/json")
