"""The OpenAPI description, completed: the problem object, the WebSocket's messages, and how somebody shows who they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from fastapi import APIRouter, FastAPI

from kedge.api.cookies import SESSION_COOKIE
from kedge.api.idempotency import KEY_MAX, keyed
from kedge.api.identity import SAFE, action_of
from kedge.api.schemas import Message, Problem, Subscribe
from kedge.api.strict import WORDS, StrictRoute, answers
from kedge.api.versions import if_match
from kedge.governance.roles import RULES

SCHEMES: Final[dict[str, Any]] = {
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "A browser's session. Changing requests need `X-Kedge-CSRF` besides, from `GET /api/v1/session`.",
    },
    "token": {"type": "http", "scheme": "bearer", "description": "An API token, `kedge_pat_...`; or the one that `kedge login` keeps."},
}
FIRST_PROBLEM: Final = 400
CSRF_PARAMETER: Final[dict[str, Any]] = {
    "name": "X-Kedge-CSRF",
    "in": "header",
    "required": False,
    "description": "Needed with a session's cookie, not with a token.",
    "schema": {"type": "string", "maxLength": 128, "pattern": "^[!-~]+$"},
}
DEPENDED: Final[dict[Any, dict[str, Any]]] = {
    keyed: {
        "name": "Idempotency-Key",
        "in": "header",
        "required": True,
        "description": "Random, the same in every repeat of one intent. Kept for a day.",
        "schema": {"type": "string", "minLength": 1, "maxLength": KEY_MAX, "pattern": "^[!#-~]+$"},
    },
    if_match: {
        "name": "If-Match",
        "in": "header",
        "required": True,
        "description": "The ETag of what was read.",
        "schema": {"type": "string", "pattern": '^"[0-9]{1,18}"$', "examples": ['"3"']},
    },
}
"""Headers that a route needs because of what it depends on."""


def describe(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Complete an application's description."""
    make, strict = app.openapi, [route for router in routers for route in router.routes if isinstance(route, StrictRoute)]

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
            document["components"]["securitySchemes"] = SCHEMES
            document["components"]["responses"] = {f"Problem{status}": one for status, one in answers(*WORDS).items()}
            for route in strict:
                _complete(route, document["paths"][route.path_format])
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = whole  # type: ignore[method-assign]


def _complete(route: StrictRoute, described: dict[str, Any]) -> None:
    action = action_of(route.dependant)
    is_open = action is None or RULES[action].open
    headers = [DEPENDED[one.call] for one in route.dependant.dependencies if one.call in DEPENDED]
    for method in route.methods or ():
        operation = described[method.lower()]
        operation["security"] = [{}] if is_open else [{"session": []}, {"token": []}]
        if action is not None:
            operation["x-kedge-action"] = action.value
        told = operation["responses"]
        told.update({status: {"$ref": f"#/components/responses/Problem{status}"} for status in told if int(status) >= FIRST_PROBLEM})
        more = headers if method in SAFE else [*headers, CSRF_PARAMETER]
        if more:
            operation.setdefault("parameters", []).extend(more)
