"""`/api/v1/risk`: every measure against its limits, VaR and ES by method, stress, and the limits themselves.

Rules: tightening is one person's act and holds as soon as the trader has it; loosening is refused here and told how it is asked for.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from kedge.api import schemas_risk as schemas
from kedge.api.asked import client_of
from kedge.api.documents import answer, now_text
from kedge.api.idempotency import keyed, once
from kedge.api.identity import acting, people_of
from kedge.api.routes import desk_of, reading_of
from kedge.api.strict import CHANGING, StrictRoute, answers
from kedge.domain.people import Actor
from kedge.governance.actions import Action
from kedge.services.people.repeats import Made

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kedge.risk.var.record import Standing
    from kedge.services.risk_desk import RiskDesk

reading = APIRouter(prefix="/api/v1", route_class=StrictRoute, responses=answers(503), dependencies=[Depends(acting(Action.READ))])

changing = APIRouter(prefix="/api/v1", route_class=StrictRoute, responses=answers(*CHANGING))


def risk_of(request: Request) -> RiskDesk:
    """The desk of risk, made when somebody first asks: it brings statistics that nobody else needs."""
    state = request.app.state
    if state.risk is None:
        from kedge.services.risk_desk import RiskDesk

        def standings() -> Mapping[str, Standing]:
            return {} if state.daily is None else state.daily.standings()

        state.risk = RiskDesk(state.desk.state_folder, standings=standings, monotonic_s=time.monotonic)
    desk: RiskDesk = state.risk
    return desk


@reading.get("/risk/status", operation_id="getRiskStatus", response_model=schemas.RiskStatus)
async def status(request: Request) -> Response:
    """Every measure with target, soft, hard and brake levels, the value of trader and guard, and what is left to the next level."""
    follower = desk_of(request).follower
    replica = None if follower.reading is None else follower.reading.replica
    return answer({"server_time": now_text(), **risk_of(request).status(replica, follower.freshness(), datetime.now(UTC))})


@reading.get("/risk/var", operation_id="getRiskVar", response_model=schemas.RiskVar)
async def var(request: Request) -> Response:
    """VaR99 and ES97.5 of one day by every method, with how each did in its daily backtest."""
    replica = reading_of(request).replica
    return answer({"server_time": now_text(), **await risk_of(request).var(replica)})


@reading.get("/risk/stress", operation_id="getRiskStress", response_model=schemas.RiskStress)
async def stress(request: Request) -> Response:
    """The book through every named scenario, counting liquidation on the way, and the smallest shocks that breach."""
    replica = reading_of(request).replica
    return answer({"server_time": now_text(), **await risk_of(request).stress(replica)})


@reading.get("/risk/limits", operation_id="getRiskLimits", response_model=schemas.RiskLimits)
async def limits(request: Request) -> Response:
    """The limits in force, each with its unit, bounds and the way that is tighter; and every version before."""
    from kedge.services.limits_views import account_of, limits_view

    desk = desk_of(request)
    replica = None if desk.follower.reading is None else desk.follower.reading.replica
    account = account_of(desk.state_folder, None if replica is None else replica.started.account)
    running = None if replica is None else replica.state.limits
    return answer({"server_time": now_text(), **await asyncio.to_thread(limits_view, desk.state_folder, account, running)})


@changing.post("/risk/limits", operation_id="tightenLimits", status_code=201, response_model=schemas.LimitsTightened)
async def tighten(
    request: Request,
    actor: Annotated[Actor, Depends(acting(Action.LIMITS_TIGHTEN))],
    key: Annotated[str, Depends(keyed)],
    body: schemas.TightenBody,
) -> Response:
    """Make limits tighter, at once. What loosens any of them is refused: ask for an approval of the kind `limit-loosen`."""
    from kedge.services.limits_views import account_of, store_of
    from kedge.services.people.limits_act import tightened

    desk, people, client = desk_of(request), people_of(request), client_of(request)
    reading_now = desk.follower.reading
    account = account_of(desk.state_folder, None if reading_now is None else reading_now.replica.started.account)
    store = store_of(desk.state_folder, account)

    def make() -> Made:
        return Made(tightened(people, actor, client, store, body.changes, reason=body.reason, base_version=body.base_version))

    return await once(request, key, make, body)
