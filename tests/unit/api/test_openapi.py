"""The API's description: which routes there are, that it is complete, and that a tool which knows nothing else finds it true."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import APIRouter, FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis import checks
from scripts.docs_errors import openapi_document
from scripts.openapi_diff import breaks
from scripts.openapi_diff import main as openapi_diff

from kedge.api.cookies import SESSION_COOKIE
from kedge.api.identity import CSRF_HEADER
from kedge.api.pages import Dashboard
from kedge.api.rates import Rates
from kedge.api.server import ApiServer
from kedge.api.strict import StrictRoute
from kedge.domain.orders import FillCause
from kedge.engine.lifecycle import Status
from kedge.governance.lineage import NodeKind
from kedge.services.people.answers import Client
from kedge.services.people.desk import PeopleDesk
from kedge.services.replica_news import BOOKS, QUOTES, STOP, VENUE
from kedge.services.replica_views import LIMITS, RISK, SIGNAL

from ..services.lineage_world import model_run, stocked
from .people_world import CHEAP, seeded
from .served import WAIT_S

ROOT = Path(__file__).parents[3]
COMMITTED = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
PATHS = tuple(sorted(COMMITTED["paths"]))
OPERATIONS = tuple((path, method.upper()) for path in PATHS for method in sorted(COMMITTED["paths"][path]))
READS = tuple(
    path for path, method in OPERATIONS if COMMITTED["paths"][path][method.lower()].get("x-kedge-action") == "read" and method == "GET"
)
OPEN = {"getSession", "giveCommand"}
"""Operations whose route names no action: it tells who asks, or finds the action in the body."""
DOCS = ROOT / "docs" / "api.md"
AT_LENGTH = int(os.environ.get("KEDGE_FUZZ_EXAMPLES", "15"))
"""Questions to each operation and mode; `make fuzz` asks more."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ApiServer, str]]:
    """A server over a folder with a model's run, in a thread of its own, and its address. Nobody has an account."""
    state = tmp_path_factory.mktemp("state")
    model_run(state, stocked(state), bars=40)
    with running(state) as begun:
        yield begun


@pytest.fixture(scope="module")
def peopled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ApiServer, str]]:
    """The same with an admin, who also trades."""
    state = tmp_path_factory.mktemp("people")
    model_run(state, stocked(state), bars=40)
    with running(state, lambda origin: PeopleDesk.open(state, public_origin=origin, cost=CHEAP)) as (one, url):
        seeded(one.people)
        yield one, url


@contextmanager
def running(state: Path, people: Callable[[str], PeopleDesk] | None = None) -> Iterator[tuple[ApiServer, str]]:
    begun: Future[tuple[ApiServer, str]] = Future()
    stopping: list[Callable[[], object]] = []

    async def main() -> None:
        one, stop = ApiServer(state, dashboard=Dashboard(state / "none"), people=people), asyncio.Event()
        port = await one.start("127.0.0.1", 0)
        one.app.state.rates = Rates(itertools.count(0.0, 61.0).__next__)  # each request begins a new minute
        while not one.follower.caught_up:
            await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        stopping.append(lambda: loop.call_soon_threadsafe(stop.set))
        begun.set_result((one, f"http://127.0.0.1:{port}"))
        await stop.wait()
        await one.close()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    yield begun.result(WAIT_S)
    stopping[0]()
    thread.join(WAIT_S)


@pytest.fixture
def app(server: tuple[ApiServer, str]) -> FastAPI:
    return server[0].app


@pytest.fixture
def url(server: tuple[ApiServer, str]) -> str:
    return server[1]


def test_the_description_is_the_committed_one_and_what_breaks_clients_is_named() -> None:
    made = openapi_document()
    assert breaks(COMMITTED, made) == []
    assert made == COMMITTED, "docs/openapi.json differs from the code; `make docs` writes it, look at what changed"


BUYS = {"anyOf": [{"type": "string", "enum": ["buy"]}, {"type": "null"}]}
BREAKS: tuple[tuple[str, Callable[[Any], object]], ...] = (
    ("GET /api/v1/fills is gone", lambda new: new["paths"].pop("/api/v1/fills")),
    ("PATCH /api/v1/me is gone", lambda new: new["paths"]["/api/v1/me"].pop("patch")),
    ("POST /api/v1/people no longer answers 201", lambda new: new["paths"]["/api/v1/people"]["post"]["responses"].pop("201")),
    ("GET /api/v1/fills: parameter limit is gone", lambda new: drop(new["paths"]["/api/v1/fills"]["get"]["parameters"], "limit")),
    ("GET /api/v1/fills: parameter limit is now required", lambda new: told(new, "/api/v1/fills", "limit").update(required=True)),
    ("GET /api/v1/fills: parameter side no longer takes sell", lambda new: told(new, "/api/v1/fills", "side").update(schema=BUYS)),
    ("GET /api/v1/me takes another right", lambda new: new["paths"]["/api/v1/me"]["get"].update({"x-kedge-action": "halt"})),
    ("schema Fill is gone", lambda new: new["components"]["schemas"].pop("Fill")),
    ("Fill.side is gone", lambda new: new["components"]["schemas"]["Fill"]["properties"].pop("side")),
    ("Person", lambda new: new["components"]["schemas"]["PersonDocument"]["required"].remove("version")),
    ("TokenBody.days is now required", lambda new: new["components"]["schemas"]["TokenBody"]["required"].append("days")),
    ("TokenBody.days no longer takes integer", lambda new: fields(new, "TokenBody")["days"].update(type="string")),
    ("Me.version may now be string", lambda new: new["components"]["schemas"]["Me"]["properties"]["version"].update(type="string")),
)  # fmt: skip


def fields(document: Any, name: str) -> Any:
    return document["components"]["schemas"][name]["properties"]


def told(document: Any, path: str, name: str) -> Any:
    return next(one for one in document["paths"][path]["get"]["parameters"] if one["name"] == name)


def drop(parameters: list[Any], name: str) -> None:
    parameters[:] = [one for one in parameters if one["name"] != name]


@pytest.mark.parametrize(("words", "change"), BREAKS, ids=[words for words, _ in BREAKS])
def test_a_change_that_breaks_clients_is_named(words: str, change: Callable[[Any], object]) -> None:
    new = deepcopy(COMMITTED)
    change(new)
    assert any(words in line for line in breaks(COMMITTED, new)), breaks(COMMITTED, new)


def test_what_is_added_breaks_nobody(tmp_path: Path) -> None:
    new = deepcopy(COMMITTED)
    new["paths"]["/api/v1/more"] = {"get": new["paths"]["/api/v1/me"]["get"]}
    new["components"]["schemas"]["Fill"]["properties"]["more"] = {"type": "string"}
    new["components"]["schemas"]["TokenBody"]["properties"]["more"] = {"type": "string"}
    assert breaks(COMMITTED, new) == []
    old, newer = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps(COMMITTED))
    newer.write_text(json.dumps(new))
    assert openapi_diff([str(old), str(newer)]) == 0
    assert openapi_diff([str(newer), str(old)]) == 1
    old.write_text(json.dumps({**COMMITTED, "info": {**COMMITTED["info"], "version": "another"}}))
    assert openapi_diff([str(newer), str(old)]) == 0, "another version may break, and says so"


def test_every_route_is_in_the_documentation() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert [path for path in (*PATHS, "/api/v1/openapi.json", "/ws/v1") if path not in text] == []
    for path, method in OPERATIONS:
        operation = COMMITTED["paths"][path][method.lower()]
        rows = [line for line in text.splitlines() if line.startswith("|") and f"`{path}`" in line]
        assert any(method == "GET" or method in row for row in rows), (path, method)
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "query":
                assert any(f"`{parameter['name']}`" in row for row in rows), f"{path}: {parameter['name']}"


def test_every_operation_is_named_says_who_may_and_how_it_fails() -> None:
    names = []
    for path, method in OPERATIONS:
        operation = COMMITTED["paths"][path][method.lower()]
        names.append(operation["operationId"])
        assert operation["description"]
        assert operation["security"]
        assert ("x-kedge-action" in operation) != (operation["operationId"] in OPEN), path
        good = [one for status, one in operation["responses"].items() if status < "400"]
        assert good
        assert all("$ref" in one["content"]["application/json"]["schema"] for one in good)
        for status, answer in operation["responses"].items():
            if status >= "400":
                assert answer == {"$ref": f"#/components/responses/Problem{status}"}
        assert {"400", "401", "403", "422", "429", "500"} <= set(operation["responses"])
        if method != "GET":
            assert {"408", "409", "413", "415"} <= set(operation["responses"]), path
        if any(one["name"] == "If-Match" for one in operation.get("parameters", ())):
            assert {"412", "428"} <= set(operation["responses"])
    assert len(set(names)) == len(names)
    for answer in COMMITTED["components"]["responses"].values():
        assert answer["content"] == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def test_a_route_without_a_named_action_is_refused_when_it_is_made() -> None:
    router = APIRouter(route_class=StrictRoute)
    with pytest.raises(LookupError, match="names its action"):

        @router.get("/forgotten")
        async def forgotten() -> None: ...


def test_every_status_stage_and_cause_that_can_be_shown_is_described(app: FastAPI) -> None:
    document = app.openapi()
    status = next(one for one in document["paths"]["/api/v1/orders"]["get"]["parameters"] if one["name"] == "status")
    assert set(status["schema"]["anyOf"][0]["enum"]) == set(Status)
    schemas = document["components"]["schemas"]
    assert set(schemas["Fill"]["properties"]["cause"]["enum"]) == set(FillCause)
    stages = {SIGNAL, LIMITS, RISK, VENUE, STOP, QUOTES, BOOKS}
    assert set(schemas["Decision"]["properties"]["stage"]["enum"]) == stages
    stage = next(one for one in document["paths"]["/api/v1/decisions"]["get"]["parameters"] if one["name"] == "stage")
    assert set(stage["schema"]["anyOf"][0]["enum"]) == stages
    assert all(kind in schemas["TraceNode"]["properties"]["kind"]["description"] for kind in NodeKind)


def test_every_object_is_closed_and_every_reference_leads_somewhere(app: FastAPI) -> None:
    document = app.openapi()
    assert document["openapi"].startswith("3.1")
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        if schema.get("type") == "object":
            assert schema["additionalProperties"] is False, name
    used = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert used <= set(schemas)
    assert {"Problem", "Message", "Subscribe"} <= set(schemas)
    assert "HTTPValidationError" not in schemas


def test_no_question_gets_an_answer_outside_the_description(url: str) -> None:
    schema = schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json")
    for path in set(READS) - {"/api/v1/commands", "/api/v1/commands/{command_id}"}:  # whom they name is kept with accounts
        run(schema[path]["GET"])


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_nothing_that_somebody_signed_in_may_send_gets_an_answer_outside_the_description(
    peopled: tuple[ApiServer, str], path: str, method: str
) -> None:
    run(described(peopled)[path][method], lambda: session_of(peopled[0]), examples=3)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_the_same_at_length(peopled: tuple[ApiServer, str], path: str, method: str) -> None:
    run(described(peopled)[path][method], lambda: session_of(peopled[0]), examples=AT_LENGTH)


def described(peopled: tuple[ApiServer, str]) -> Any:
    schema = schemathesis.openapi.from_dict(COMMITTED)
    schema.config.update(base_url=peopled[1])
    schema.config.generation.update(with_security_parameters=False)  # a real session is sent instead
    return schema


def session_of(server: ApiServer) -> dict[str, str]:
    """The headers of a session that has just begun, whatever the request before did to its own."""
    desk = server.people
    assert desk is not None
    with desk.store.writing() as tx:
        begun = desk.sessions.begin(tx, seeded(desk), "test", Client("127.0.0.1"))
    origin = str(server.app.state.origin)
    shown = {"Cookie": f"{SESSION_COOKIE}={begun.cookie}", CSRF_HEADER: begun.session.csrf}
    return {**shown, "Origin": origin, "Host": origin.removeprefix("http://")}


def run(operation: Any, headers: Callable[[], dict[str, str]] = dict, *, examples: int = 5) -> None:
    """Ask generated questions, valid and invalid; each answer is one that the description names, in the shape that it gives."""
    looked_at = [
        checks.not_a_server_error,
        checks.CHECKS.get_one("status_code_conformance"),
        checks.CHECKS.get_one("content_type_conformance"),
        checks.CHECKS.get_one("response_schema_conformance"),
    ]
    for mode in schemathesis.GenerationMode:
        raw = operation.definition.raw
        if mode is schemathesis.GenerationMode.NEGATIVE and not (raw.get("parameters") or raw.get("requestBody")):
            continue  # nothing can be wrong about a route that takes nothing

        @settings(max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            case.call_and_validate(checks=looked_at, headers=headers())

        ask()
