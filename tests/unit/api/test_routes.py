"""The API's routes: every document is what its schema says, every error a problem, every unknown parameter refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from kedge.api import documents, schemas
from kedge.api.routes_stores import trace_document
from kedge.governance.lineage import Trace
from kedge.ops.trader_status import write_trader_status
from kedge.storage.model_store import Aliases, ModelStore

from ..services.lineage_world import a_model, keep_model, model_run, stocked
from ..services.replica_runs import Live
from ..services.replica_runs import model_run as plain_run
from .served import Client, served

LISTS: dict[str, type[BaseModel]] = {
    "fills": schemas.FillPage,
    "orders": schemas.OrderPage,
    "decisions": schemas.DecisionPage,
    "predictions": schemas.PredictionPage,
    "candles": schemas.CandlePage,
}
DOCUMENTS: dict[str, type[BaseModel]] = {
    "overview": schemas.Overview,
    "equity": schemas.EquitySeries,
    "equity?points=10&since=2023-11-14T00:10:00Z&until=2023-11-14T01:00:00Z": schemas.EquitySeries,
    "positions": schemas.PositionList,
    "instruments": schemas.InstrumentList,
    "runs": schemas.RunPage,
    "models": schemas.ModelList,
    "health": schemas.HealthOverview,
    "search?q=bt-": schemas.SearchResult,
    **LISTS,
}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a model, its papers and a run that trades with it."""
    folder = tmp_path_factory.mktemp("state")
    model_run(folder, stocked(folder))
    return folder


def test_every_document_is_what_its_schema_says(state: Path) -> None:
    async def then(client: Client) -> None:
        for path, schema in DOCUMENTS.items():
            answer = await client.ask(f"/api/v1/{path}")
            assert answer.status == 200, (path, answer.text)
            assert answer.headers["Content-Type"] == "application/json"
            assert answer.headers["Cache-Control"] == "no-store"
            document = schema.model_validate_json(answer.text)
            for name in ("items", "parts"):
                assert getattr(document, name, True), f"{path} is empty, so nothing was checked"

    served(state, then)


def test_one_of_everything_is_found_by_its_id(state: Path) -> None:
    async def then(client: Client) -> None:
        overview = schemas.Overview.model_validate_json((await client.ask("/api/v1/overview")).text)
        assert overview.run is not None
        assert overview.model is not None
        assert (overview.model.name, overview.model.version, overview.model.alias) == ("demo", "1", "champion")
        fill = (await client.get("/api/v1/fills?limit=1"))["items"][0]
        assert await client.get(f"/api/v1/fills/{fill['fill_id']}") == fill
        order = await client.get(f"/api/v1/orders/{fill['client_order_id']}")
        assert order["decision_id"] == fill["decision_id"]
        run = await client.get(f"/api/v1/runs/{overview.run.run_id}")
        assert run == (await client.get("/api/v1/runs"))["items"][0]
        assert run["current"] is True
        model = await client.ask(f"/api/v1/models/{overview.model.sha256}")
        detail = schemas.ModelDetail.model_validate_json(model.text)
        assert (detail.policy.long_above, detail.model.kind, detail.feature_names[0]) == ("0.55000000", "logistic", "momentum_3")
        assert detail.training is not None
        assert detail.registered is not None
        found = await client.get(f"/api/v1/search?q={fill['client_order_id'][:10]}")
        assert [(one["kind"], one["id"]) for one in found["items"]] == [("order", fill["client_order_id"])]
        assert [one["kind"] for one in (await client.get("/api/v1/search?q=demo"))["items"]] == ["model"]

    served(state, then)


def test_a_fill_is_taken_apart_and_computed_again(state: Path) -> None:
    async def then(client: Client) -> None:
        fill = (await client.get("/api/v1/fills?limit=1"))["items"][0]
        answer = await client.ask(f"/api/v1/lineage/{fill['fill_id']}")
        trace = schemas.TraceDocument.model_validate_json(answer.text)
        kinds = {node.kind for node in trace.nodes}
        assert {"fill", "order", "decision", "prediction", "features", "model", "training", "dataset", "raw_file"} <= kinds
        assert trace.recomputed == []
        again = schemas.TraceDocument.model_validate_json((await client.ask(f"/api/v1/lineage/{fill['fill_id']}/recompute")).text)
        assert again.recomputed
        assert all(step.equal for step in again.recomputed)
        model = trace.nodes[[node.kind for node in trace.nodes].index("model")]
        down = await client.ask(f"/api/v1/lineage/{model.id}/recompute?run=")
        assert schemas.TraceDocument.model_validate_json(down.text).root == model.key
        assert (await client.ask("/api/v1/lineage/nothing-like-it")).status == 404

    served(state, then)


@pytest.mark.parametrize(
    ("path", "status", "code", "told"),
    [
        ("fills?limt=5", 422, "INVALID_INPUT", "'limit'"),
        ("fills?limit=5&limit=6", 422, "INVALID_INPUT", "more than once"),
        ("fills?limit=0", 422, "INVALID_INPUT", "limit"),
        ("fills?limit=1001", 422, "INVALID_INPUT", "limit"),
        ("fills?limit=many", 422, "INVALID_INPUT", "limit"),
        ("fills?side=long", 422, "INVALID_INPUT", "side"),
        ("fills?instrument=test:AAAUSD", 422, "INVALID_INPUT", "test:AAAUSDT"),
        ("fills?since=yesterday", 422, "INVALID_INPUT", "since"),
        ("candles?until=2023", 422, "INVALID_INPUT", "until"),
        ("equity?points=9", 422, "INVALID_INPUT", "points"),
        ("fills?cursor=zzz", 422, "INVALID_INPUT", "cursor"),
        ("runs?cursor=zzz", 422, "INVALID_INPUT", "cursor"),
        ("overview?x=1", 422, "INVALID_INPUT", "none here"),
        ("search", 422, "INVALID_INPUT", "q"),
        ("search?q=ab", 422, "INVALID_INPUT", "q"),
        ("models/xyz", 422, "INVALID_INPUT", "sha256"),
        (f"models/{'0' * 64}", 404, "NOT_FOUND", "model"),
        ("runs/none", 404, "NOT_FOUND", "none"),
        ("runs/..", 404, "NOT_FOUND", ""),
        ("runs/%2e%2e%2fruns", 404, "NOT_FOUND", ""),
        ("fills/none", 404, "NOT_FOUND", "none"),
        ("orders/none", 404, "NOT_FOUND", "none"),
        ("nothing", 404, "NOT_FOUND", "nothing"),
    ],
)
def test_what_cannot_be_answered_is_a_problem_that_says_why(state: Path, path: str, status: int, code: str, told: str) -> None:
    async def then(client: Client) -> None:
        answer = await client.ask(f"/api/v1/{path}")
        problem = schemas.Problem.model_validate_json(answer.text)
        assert (answer.status, problem.status, problem.code) == (status, status, code)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert told in answer.text
        assert problem.fix

    served(state, then)


def test_lists_filter_and_page(state: Path) -> None:
    async def then(client: Client) -> None:
        whole = (await client.get("/api/v1/fills?limit=1000"))["items"]
        first = await client.get("/api/v1/fills?limit=3")
        second = await client.get(f"/api/v1/fills?limit=3&cursor={first['next_cursor']}")
        assert first["items"] + second["items"] == whole[:6]
        buys = (await client.get("/api/v1/fills?limit=1000&side=buy&instrument=test:BBBUSDT"))["items"]
        assert buys == [row for row in whole if (row["side"], row["instrument"]) == ("buy", "test:BBBUSDT")] != []
        assert (await client.get("/api/v1/orders?open=true"))["items"] == []
        assert (await client.get("/api/v1/orders?status=filled&open=false&limit=2"))["items"]
        vetoed = (await client.get("/api/v1/decisions?vetoed=true"))["items"]
        assert all(row["vetoed"] for row in vetoed)
        candles = await client.get("/api/v1/candles?instrument=test:BBBUSDT&limit=5&until=2023-11-14T00:30:00Z")
        assert [row["close_at"][14:16] for row in candles["items"]] == ["29", "28", "27", "26", "25"]

    served(state, then)


def test_runs_page_from_the_one_written_last(tmp_path: Path) -> None:
    for name, bars in (("a", 5), ("b", 6), ("c", 7)):
        plain_run(tmp_path / "runs" / name / "journal.sqlite", bars=bars)
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "journal.sqlite").write_bytes(b"no journal" * 100)

    async def then(client: Client) -> None:
        whole = (await client.get("/api/v1/runs"))["items"]
        assert len(whole) == 3
        pages, cursor = [], ""
        while True:
            page = await client.get(f"/api/v1/runs?limit=1{cursor}")
            pages += page["items"]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert pages == whole

    served(tmp_path, then, follow=False)


def test_without_a_run_the_overview_says_so_and_lists_are_not_empty_but_unavailable(tmp_path: Path) -> None:
    async def then(client: Client) -> None:
        overview = schemas.Overview.model_validate_json((await client.ask("/api/v1/overview")).text)
        assert (overview.run, overview.books, overview.following.state, overview.freshness.state) == (None, None, "idle", "unknown")
        answer = await client.ask("/api/v1/fills")
        assert (answer.status, answer.body["code"], "kedge up" in answer.body["fix"]) == (503, "NO_RUN", True)
        assert (await client.get("/api/v1/runs")) == {"items": [], "next_cursor": None}
        assert (await client.get("/api/v1/models")) == {"items": []}
        assert (await client.get("/api/v1/search?q=anything"))["items"] == []

    served(tmp_path, then, follow=False)


def test_a_journal_that_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "runs" / "x").mkdir(parents=True)
    (tmp_path / "runs" / "x" / "journal.sqlite").write_bytes(b"no journal" * 100)

    async def then(client: Client) -> None:
        await client.until(lambda: bool(client.server.follower.problem))
        answer = await client.ask("/api/v1/positions")
        assert (answer.status, answer.body["code"]) == (503, "UNAVAILABLE")
        assert (await client.get("/api/v1/overview"))["following"]["state"] == "failed"

    served(tmp_path, then, follow=False)


def test_a_run_with_a_rule_has_no_model_and_open_orders_are_on_the_overview(tmp_path: Path) -> None:
    from ...builders import bar, sent

    with Live(tmp_path / "runs" / "live" / "journal.sqlite") as live:
        live.wish.say(0.1)
        (intent,) = sent(live.step(bar(1)))

        async def then(client: Client) -> None:
            overview = await client.get("/api/v1/overview")
            assert overview["model"] is None
            assert overview["last_prediction"] is None
            assert [row["client_order_id"] for row in overview["open_orders"]] == [intent.client_order_id]
            assert overview["badge"]["label"] == "SYNTHETIC"

        served(tmp_path, then)


def test_a_model_that_was_altered_is_listed_with_its_problem(tmp_path: Path) -> None:
    good = stocked(tmp_path)
    bad = keep_model(tmp_path, a_model("0" * 64, name="other"), registered=False)
    path = tmp_path / "models" / bad / "model.json"
    path.write_bytes(path.read_bytes().replace(b'"seed":7', b'"seed":8'))

    async def then(client: Client) -> None:
        rows = {row["sha256"]: row for row in (await client.get("/api/v1/models"))["items"]}
        assert rows[good]["problem"] is None
        assert (rows[bad]["kind"], "other bytes" in rows[bad]["problem"]) == (None, True)
        answer = await client.ask(f"/api/v1/models/{bad}")
        assert (answer.status, answer.body["code"]) == (500, "INTEGRITY")
        (tmp_path / "models" / good / "training.json").unlink()
        assert (await client.get(f"/api/v1/models/{good}"))["training"] is None

    served(tmp_path, then, follow=False)


def test_a_model_file_is_read_once_and_again_when_it_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = stocked(tmp_path)
    loaded = []
    load = ModelStore.load

    def counted(self: ModelStore, sha256: str) -> Any:
        loaded.append(sha256)
        return load(self, sha256)

    monkeypatch.setattr(ModelStore, "load", counted)

    async def then(client: Client) -> None:
        first = (await client.get("/api/v1/models"))["items"]
        assert (await client.get("/api/v1/models"))["items"] == first
        await client.get(f"/api/v1/search?q={good[:8]}")
        assert loaded == [good]
        path = tmp_path / "models" / good / "model.json"
        path.write_bytes(path.read_bytes()[:-1])
        assert "other bytes" in (await client.get("/api/v1/models"))["items"][0]["problem"]
        path.unlink()
        assert (await client.get("/api/v1/models"))["items"] == [] or (await client.get("/api/v1/models"))["items"][0]["problem"]

    served(tmp_path, then, follow=False)


def test_an_alias_that_goes_to_another_version_is_shown(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MODEL_FRESH_S", 0.0)

    async def then(client: Client) -> None:
        before = (await client.get("/api/v1/overview"))["model"]
        assert before["alias"] == "champion"
        copy = Aliases(aliases={before["name"]: {"challenger": 1}}, versions={before["name"]: {"1": before["sha256"]}})
        ModelStore(state / "models").set_aliases(copy)
        try:
            assert (await client.get("/api/v1/overview"))["model"] == {**before, "alias": "challenger"}
        finally:
            (state / "models" / "aliases.json").unlink()

    served(state, then)


def test_the_models_check_degrades_health_and_no_more(tmp_path: Path) -> None:
    stocked(tmp_path)

    async def then(client: Client) -> None:
        parts = {part["name"]: part for part in (await client.get("/api/v1/health"))["parts"]}
        assert (parts["models"]["state"], parts["models"]["needed"]) == ("failed", False)
        assert "missing" in parts["models"]["seen"]
        assert "models" not in (await client.ask("/health/ready")).body["checks"]

    served(tmp_path, then, follow=False)


def test_health_comes_with_the_overview_once_it_was_asked_for(state: Path) -> None:
    write_trader_status(state, {"run_id": "other"}, datetime.now(UTC))

    async def then(client: Client) -> None:
        assert await client.get("/api/v1/health")
        document = (await client.get("/api/v1/overview"))["health"]
        assert document["status"] == "failing"
        assert {part["name"] for part in document["parts"]} >= {"trader", "journal", "models", "guard"}

    served(state, then)


def test_times_of_a_trace_are_text(state: Path) -> None:
    empty = Trace(root="fill:x", run_id="r", nodes=(), links=(), complete=True)
    plain = json.loads(json.dumps({"nodes": [], "root": empty.root}))
    assert trace_document(plain) == {"nodes": [], "root": "fill:x"}


def test_a_defect_is_a_problem_without_a_traceback(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def then(client: Client) -> None:
        def broken(*_: Any) -> Any:
            raise RuntimeError("secret detail")

        monkeypatch.setattr(type(client.server.follower), "following", broken)
        answer = await client.ask("/api/v1/overview")
        assert (answer.status, answer.body["code"]) == (500, "INTERNAL")
        assert "secret" not in answer.text
        assert answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"

    served(state, then)
