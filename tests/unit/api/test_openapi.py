"""The API's description: which routes there are, that it is complete, and that a tool which knows nothing else finds it true."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis import checks

from kedge.api.pages import Dashboard
from kedge.api.server import ApiServer
from kedge.domain.orders import FillCause
from kedge.engine.lifecycle import Status
from kedge.governance.lineage import NodeKind
from kedge.services.replica_news import BOOKS, QUOTES, STOP, VENUE
from kedge.services.replica_views import LIMITS, RISK, SIGNAL

from ..services.lineage_world import model_run, stocked
from .served import WAIT_S

PATHS = (
    "/api/v1/candles",
    "/api/v1/decisions",
    "/api/v1/equity",
    "/api/v1/fills",
    "/api/v1/fills/{fill_id}",
    "/api/v1/health",
    "/api/v1/instruments",
    "/api/v1/lineage/{id}",
    "/api/v1/lineage/{id}/recompute",
    "/api/v1/models",
    "/api/v1/models/{sha256}",
    "/api/v1/orders",
    "/api/v1/orders/{client_order_id}",
    "/api/v1/overview",
    "/api/v1/positions",
    "/api/v1/predictions",
    "/api/v1/runs",
    "/api/v1/runs/{run_id}",
    "/api/v1/search",
)
DOCS = Path(__file__).parents[3] / "docs" / "api.md"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ApiServer, str]]:
    """A server over a folder with a model's run, in a thread of its own, and its address."""
    state = tmp_path_factory.mktemp("state")
    model_run(state, stocked(state), bars=40)
    begun: Future[tuple[ApiServer, str]] = Future()
    stopping: list[Callable[[], object]] = []

    async def main() -> None:
        one, stop = ApiServer(state, dashboard=Dashboard(state / "none")), asyncio.Event()
        port = await one.start("127.0.0.1", 0)
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


def test_the_routes_are_these(app: FastAPI) -> None:
    assert tuple(sorted(app.openapi()["paths"])) == PATHS


def test_every_route_is_in_the_documentation(app: FastAPI) -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert [path for path in (*PATHS, "/api/v1/openapi.json", "/ws/v1") if path not in text] == []
    for path, methods in app.openapi()["paths"].items():
        (line,) = [line for line in text.splitlines() if line.startswith("|") and f"`{path}`" in line]
        for parameter in methods["get"].get("parameters", ()):
            if parameter["in"] == "query":
                assert f"`{parameter['name']}`" in line, f"{path}: {parameter['name']}"


def test_every_operation_is_read_only_named_and_says_how_it_fails(app: FastAPI) -> None:
    names = []
    for path, methods in app.openapi()["paths"].items():
        assert set(methods) == {"get"}, path
        operation = methods["get"]
        names.append(operation["operationId"])
        assert operation["description"]
        assert "$ref" in operation["responses"]["200"]["content"]["application/json"]["schema"]
        for status, answer in operation["responses"].items():
            if status != "200":
                assert answer["content"] == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        assert {"200", "403", "422", "500"} <= set(operation["responses"])
    assert len(set(names)) == len(names)


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


@pytest.mark.slow
def test_no_question_gets_an_answer_outside_the_description(url: str) -> None:
    schema = schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json")
    for path in PATHS:
        run(schema[path]["GET"])


def run(operation: Any) -> None:
    """Ask generated questions, valid and invalid; each answer is one that the description names, in the shape that it gives."""
    looked_at = [
        checks.not_a_server_error,
        checks.CHECKS.get_one("status_code_conformance"),
        checks.CHECKS.get_one("content_type_conformance"),
        checks.CHECKS.get_one("response_schema_conformance"),
    ]
    for mode in schemathesis.GenerationMode:
        if mode is schemathesis.GenerationMode.NEGATIVE and not operation.definition.raw.get("parameters"):
            continue  # nothing can be wrong about a route without parameters

        @settings(max_examples=5, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            case.call_and_validate(checks=looked_at)

        ask()
