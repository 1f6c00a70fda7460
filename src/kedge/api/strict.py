"""Routes that refuse what they do not know: unknown and repeated query parameters, by name, and the problem answers they may give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import Response

from kedge.api.problems import PROBLEM_JSON, nearest
from kedge.api.schemas import Message, Problem, Subscribe

WORDS: Final = {
    403: "The request names another host, or comes from another site's page.",
    404: "There is no such thing.",
    409: "Somebody else holds it just now.",
    422: "A parameter is unknown, repeated or not valid.",
    500: "Our own records disagree, or a defect of ours.",
    503: "There is no run yet, or its journal cannot be read.",
}


class StrictRoute(APIRoute):
    """A route whose query parameters are exactly those that it declares, each at most once."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = [str(field.alias) for field in self.dependant.query_params]

        async def strict(request: Request) -> Response:
            given = Counter(name for name, _ in request.query_params.multi_items())
            unknown = [(name, f"unknown; {nearest(name, known)}") for name in given if name not in known]
            unknown += [(name, "given more than once") for name, count in given.items() if name in known and count > 1]
            if unknown:
                raise RequestValidationError([{"loc": ("query", name[:60]), "msg": what, "type": "unknown"} for name, what in unknown])
            return await handle(request)

        return strict


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problem answers of a route, for its description; 403, 422 and 500 belong to every one."""
    reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {status: {"description": WORDS[status], "content": {PROBLEM_JSON: reference}} for status in sorted({403, 422, 500, *statuses})}


def describe(app: FastAPI) -> None:
    """Complete the OpenAPI description: the problem object, and the WebSocket's messages, which OpenAPI has no place for."""
    make = app.openapi

    def whole() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = make()
            schemas = document["components"]["schemas"]
            for model in (Problem, Subscribe, Message):
                made = model.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
                schemas.update(made.pop("$defs", {}))
                schemas[model.__name__] = made
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = whole  # type: ignore[method-assign]
