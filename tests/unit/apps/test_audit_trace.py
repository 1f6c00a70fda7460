"""`kedge audit trace` and `kedge audit orphans`: the tree for people, the document for programs, exit codes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kedge as kedge_package
from kedge.apps.audit_tree import HISTORY_MAX, RECOMPUTED_MAX, recomputed_lines, tree_lines, utc_text
from kedge.governance.lineage import Moment, Node, NodeKind, Proof, Recomputed, Trace, key_of
from kedge.services.lineage import LineageStores, trace

from ...builders import T0
from ..services.lineage_world import model_run, stocked
from .market_files import kedge, refused


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """State folder, model and run."""
    state = tmp_path_factory.mktemp("state")
    model = stocked(state)
    return state, model, model_run(state, model)


@pytest.fixture
def copied(ran: tuple[Path, str, str], tmp_path: Path) -> tuple[Path, str, str]:
    shutil.copytree(ran[0], tmp_path / "state")
    return tmp_path / "state", ran[1], ran[2]


def test_the_document_is_the_whole_trace(ran: tuple[Path, str, str]) -> None:
    state, model, run = ran
    answer = kedge("audit", "trace", "f9", "--state-dir", state, "--json")
    found = answer.json
    assert (answer.code, found["schema"], found["root"], found["run_id"], found["complete"]) == (0, "kedge/trace/v1", "fill:f9", run, True)
    assert model in {node["id"] for node in found["nodes"] if node["kind"] == "model"}
    assert {"source", "target", "relation"} == set(found["links"][0])
    assert found["recomputed"] == []


def test_the_tree_shows_each_node_once_and_the_verdict(ran: tuple[Path, str, str]) -> None:
    state, model, run = ran
    lines = kedge("audit", "trace", "f9", "--state-dir", state).out.splitlines()
    found = trace(LineageStores(state=state), "f9")
    for node in found.nodes:
        name = f"{node.kind.replace('_', ' ')} {node.id}"
        assert sum(name in line and f"{name}:" in line.replace(",", ":") for line in lines) == 1, name
    assert lines[-1] == "the chain is complete"
    assert any("passed every limit of version" in line for line in lines)
    assert any(line.strip().startswith("journal row ") and "under the head in row" in line for line in lines)


def test_what_came_of_it_hangs_where_it_belongs(ran: tuple[Path, str, str]) -> None:
    state, model, run = ran
    texts = [text for text, _ in tree_lines(trace(LineageStores(state=state), model))]
    assert any(text.startswith(f"trades by it: run {run}") for text in texts)
    decision = trace(LineageStores(state=state), "f9").of_kind(NodeKind.DECISION)[0].id
    texts = [text for text, _ in tree_lines(trace(LineageStores(state=state), decision))]
    assert [text.partition(":")[0] for text in texts if " it: " in text][0] == "carries out it"


def test_recomputing_is_shown_and_a_difference_is_a_finding(copied: tuple[Path, str, str]) -> None:
    state, model, run = copied
    told = kedge("audit", "trace", "f9", "--recompute", "--state-dir", state)
    assert told.code == 0
    assert told.out.count(": equal, ") == 6
    path = state / "models" / model / "model.json"
    path.write_bytes(path.read_bytes().replace(b'"seed":7', b'"seed":8'))
    told = kedge("audit", "trace", "f9", "--recompute", "--state-dir", state)
    assert told.code == 9
    assert "DIFFERS, recorded " in told.out
    assert "computed nothing (" in told.out
    assert f"missing: model {model[:16]}: " in told.out
    assert told.out.splitlines()[-1] == "the chain is NOT complete"
    assert kedge("audit", "trace", "f9", "--state-dir", state, "--json").code == 9


def test_an_unknown_id_and_an_unknown_run_are_refused(ran: tuple[Path, str, str]) -> None:
    assert refused(kedge("audit", "trace", "nobody", "--state-dir", ran[0], "--json")) == (3, "NOT_FOUND")
    assert refused(kedge("audit", "trace", "f9", "--run", "nobody", "--state-dir", ran[0], "--json")) == (3, "NOT_FOUND")
    assert kedge("audit", "trace", "f9", "--run", ran[2][:8], "--state-dir", ran[0], "--json").code == 0


def test_no_orphans_is_said_and_an_orphan_is_a_finding(copied: tuple[Path, str, str]) -> None:
    state, model, run = copied
    answer = kedge("audit", "orphans", "--state-dir", state, "--json")
    assert (answer.code, answer.json["schema"], answer.json["count"]) == (0, "kedge/orphans/v1", 0)
    assert [one["run_id"] for one in answer.json["runs"]] == [run]
    assert kedge("audit", "orphans", run, "--state-dir", state).out.splitlines()[-1] == "0 orphans in 1 runs"
    (state / "models" / model / "training.json").unlink()
    answer = kedge("audit", "orphans", "--state-dir", state)
    assert answer.code == 9
    assert f"{run}\tmodel\t{model}\t-\ttraining " in answer.out
    assert answer.out.splitlines()[-1] == "1 orphans in 1 runs"


def test_a_plain_trace_pays_for_no_compiler_no_learning_library_and_no_configuration_that_nobody_wrote(
    ran: tuple[Path, str, str], tmp_path: Path
) -> None:
    code = (
        "import sys; from kedge.apps.cli import main; code = main(); "
        "heavy = {'numba', 'lightgbm', 'sklearn', 'mlflow', 'pyarrow', 'polars', 'pydantic', 'cryptography', 'numpy'} & set(sys.modules); "
        "print(sorted(heavy), file=sys.stderr); "
        "raise SystemExit(code)"
    )
    command = [sys.executable, "-c", code, "audit", "trace", "f9", "--state-dir", str(ran[0]), "--json"]
    known = {name: value for name, value in os.environ.items() if not name.startswith("KEDGE_") or name == "KEDGE_CACHE_DIR"}
    environment = {**known, "XDG_CONFIG_HOME": str(tmp_path), "PYTHONPATH": str(Path(kedge_package.__file__).parents[1])}
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_a_replay_whose_model_is_altered_or_gone_says_so(copied: tuple[Path, str, str]) -> None:
    state, model, run = copied
    assert kedge("replay", run, "--state-dir", state, "--json").json["equal"] is True
    path = state / "models" / model / "model.json"
    path.write_bytes(path.read_bytes().replace(b'"seed":7', b'"seed":8'))
    assert refused(kedge("replay", run, "--state-dir", state, "--json")) == (1, "INTEGRITY")
    shutil.rmtree(state / "models")
    assert refused(kedge("replay", run, "--state-dir", state, "--json")) == (3, "NOT_FOUND")


def test_a_run_that_cannot_be_read_is_an_orphan_of_its_own(copied: tuple[Path, str, str]) -> None:
    state, _, run = copied
    (state / "runs" / "broken").mkdir()
    (state / "runs" / "broken" / "journal.sqlite").write_bytes(b"no journal" * 1_000)
    answer = kedge("audit", "orphans", "--state-dir", state, "--json")
    assert (answer.code, answer.json["count"]) == (9, 1)
    assert {one["run_id"]: one["count"] for one in answer.json["runs"]} == {run: 0, "broken": 1}


def test_long_lives_are_cut_and_an_open_group_is_said() -> None:
    key = key_of(NodeKind.ORDER, "o")
    history = tuple(Moment(at_ts_ns=T0, what="filled", text=f"part {n}", seq=n) for n in range(HISTORY_MAX + 3))
    node = Node(key=key, kind=NodeKind.ORDER, id="o", title="t", history=history, seq=1, at_ts_ns=T0, proof=Proof(row=7, row_hash="ab"))
    lines = [text for text, _ in tree_lines(Trace(root=key, run_id="r", nodes=(node,), links=(), complete=True))]
    assert "and 3 more moments" in lines
    assert lines[-1] == "journal row 7, hash ab, not sealed by a head yet"
    assert tree_lines(Trace(root="order:gone", run_id="r", nodes=(), links=(), complete=False)) == []


def test_of_many_comparisons_only_those_that_differ_are_shown() -> None:
    equal = Recomputed(prediction_id="p", step="score", source="stored features", equal=True, recorded="1", computed="1")
    differs = Recomputed(prediction_id="q", step="score", source="stored features", equal=False, recorded="1", computed="2")
    assert recomputed_lines(()) == []
    assert len(recomputed_lines((equal, differs))) == 3
    assert recomputed_lines((equal,) * RECOMPUTED_MAX + (differs,)) == [
        "recomputed score of q from stored features: DIFFERS, recorded 1, computed 2",
        f"recomputed {RECOMPUTED_MAX + 1} figures: {RECOMPUTED_MAX} equal to the bit, 1 different",
    ]


def test_times_are_utc_to_the_millisecond() -> None:
    assert utc_text(T0) == "2023-11-14 00:00:00 UTC"
    assert utc_text(T0 + 50_000_000) == "2023-11-14 00:00:00.050 UTC"
