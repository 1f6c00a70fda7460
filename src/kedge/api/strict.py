"""Routes that refuse what they do not know: who asks first, then what: unknown and repeated parameters by name, bodies read strictly.

The order, for every route: how often this client asks, who asks, whether another site's page may have sent it, whether they may, and only
then the parameters and the body; so that whoever may not learns nothing about what they asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import Response

from kedge.api.asked import asked_of
from kedge.api.body import read_body
from kedge.api.identity import SAFE, action_of, identify, permit, refuse_forged
from kedge.api.problems import PROBLEM_JSON, nearest
from kedge.api.rates import PROOF, READ, WRITE, Policy, Rates, refuse

WORDS: Final = {
    400: "The request is broken: no JSON, a key twice, a missing Idempotency-Key, or a cookie and a token at once.",
    401: "Nobody is signed in, or what was shown is not valid (any more).",
    403: "It may not be done: another host or site asks, the role does not allow it, or a fresh proof of identity is needed.",
    404: "There is no such thing.",
    408: "The body did not come in time.",
    409: "Something stands against it: somebody else holds it, or it was done before.",
    412: "It was changed since it was read.",
    413: "The body is too long.",
    415: "The body is not declared as JSON.",
    422: "A value is unknown, repeated or not valid.",
    428: "If-Match is missing.",
    429: "Too many requests or attempts.",
    500: "Our own records disagree, or a defect of ours.",
    503: "There is no run yet, its journal cannot be read, or this server keeps no accounts.",
}
EVERY: Final = (400, 401, 403, 422, 429, 500)
"""What every route may answer."""
CHANGING: Final = (400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 503)
"""What a route that changes something may answer besides; named once for its router."""


class StrictRoute(APIRoute):
    """A route that asks who, whether they may and how often, and takes exactly the parameters and the body that it declares."""

    rates_group: Policy | None = None

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = [str(field.alias) for field in self.dependant.query_params]
        action = action_of(self.dependant)
        wanted = self.body_field is not None
        group = self.rates_group

        async def strict(request: Request) -> Response:
            await _admit(request, group or (READ if request.method in SAFE else WRITE))
            if request.method not in SAFE:
                await refuse_forged(request)
            if action is not None:
                await permit(request, action)
            refuse_unknown(request, known)
            request, _ = await read_body(request, wanted=wanted)
            return await handle(request)

        return strict


class ProofRoute(StrictRoute):
    """A route on which somebody proves who they are: asked less often than others."""

    rates_group = PROOF


async def _admit(request: Request, group: Policy) -> None:
    """Count the request for its client, and for its account once that is known; tell the one that has less left."""
    asked, rates = asked_of(request), _rates(request)
    standing = rates.take(group, f"address:{asked.client.address}")
    asked.headers += standing.headers()
    refuse(standing)
    if await identify(request) is not None:
        own = rates.take(group, asked.who)
        if own.remaining < standing.remaining:
            asked.headers[-2:] = own.headers()
        refuse(own)


def _rates(request: Request) -> Rates:
    rates: Rates = request.app.state.rates
    return rates


def refuse_unknown(request: Request, known: list[str]) -> None:
    """Refuse query parameters that a route does not declare, or that come twice."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    unknown = [(name, f"unknown; {nearest(name, known)}") for name in given if name not in known]
    unknown += [(name, "given more than once") for name, count in given.items() if name in known and count > 1]
    if unknown:
        raise RequestValidationError([{"loc": ("query", name[:60]), "msg": what, "type": "unknown"} for name, what in unknown])


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problem answers of a route, for its description; those of `EVERY` belong to every one."""
    reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {status: {"description": WORDS[status], "content": {PROBLEM_JSON: reference}} for status in sorted({*EVERY, *statuses})}
