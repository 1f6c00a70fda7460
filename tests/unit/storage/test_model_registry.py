"""MLflow as registry: what is logged comes back through a client that never saw it, aliases move, a broken store is told apart."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kedge.domain.errors import IntegrityError, InvalidInput, NotFound, RecordingFailed
from kedge.storage.model_names import checked_name, parse_reference
from kedge.storage.model_registry import MlflowRegistry
from kedge.storage.registry_state import store_state

from .models import a_log

A, B, C = "a" * 64, "b" * 64, "c" * 64


def client_of(registry: MlflowRegistry) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=registry.uri, registry_uri=registry.uri)


def test_a_run_comes_back_whole_through_another_client(registry: MlflowRegistry, tmp_path: Path) -> None:
    registered = registry.log_training(a_log("whole", A, commit="abc1234"))
    client = client_of(registry)
    run = client.get_run(registered.run_id)
    assert run.data.params == {"kind": "trees", "boost.rounds": "100"}
    assert run.data.metrics == {"oof_auc": 0.5125, "fold_auc": 0.52}
    assert [one.value for one in client.get_metric_history(registered.run_id, "fold_auc")] == [0.5, 0.51, 0.52]
    assert {key: run.data.tags[key] for key in ("model_sha256", "dataset_sha256", "commit")} == {
        "model_sha256": A,
        "dataset_sha256": "d" * 64,
        "commit": "abc1234",
    }
    assert run.info.status == "FINISHED"
    got = Path(client.download_artifacts(registered.run_id, "manifest.json", str(tmp_path)))
    assert got.read_bytes() == b'{"rows":3}'
    version = client.get_model_version("whole", "1")
    assert version.tags["model_sha256"] == A
    assert version.run_id == registered.run_id


def test_the_first_version_is_champion_and_a_later_one_challenger(registry: MlflowRegistry) -> None:
    first, second = registry.log_training(a_log("order", A)), registry.log_training(a_log("order", B))
    assert (first.version, first.aliases) == (1, ("champion",))
    assert (second.version, second.aliases) == (2, ("challenger",))
    assert registry.resolve("order@champion").model_sha256 == A
    assert registry.resolve("order@challenger").model_sha256 == B
    third = registry.log_training(a_log("order", C), alias="champion")
    assert third.aliases == ("champion",)
    assert [(one.version, one.aliases) for one in registry.versions("order")] == [(1, ()), (2, ("challenger",)), (3, ("champion",))]


def test_the_same_model_again_is_a_new_run_of_the_same_version(registry: MlflowRegistry) -> None:
    first, again = registry.log_training(a_log("again", A)), registry.log_training(a_log("again", A))
    assert (again.version, again.aliases, again.run_id) == (1, ("champion",), first.run_id)
    client = client_of(registry)
    runs = client.search_runs([client.get_experiment_by_name("kedge").experiment_id], "attributes.run_name LIKE 'again%'")
    assert len(runs) == 2


def test_logging_again_leaves_the_aliases_alone(registry: MlflowRegistry) -> None:
    assert registry.log_again(a_log("quiet", A)).aliases == ()
    registry.log_training(a_log("quiet", B))
    again = registry.log_again(a_log("quiet", B))
    assert (again.version, again.aliases) == (2, ("champion",))


def test_references_name_versions(registry: MlflowRegistry) -> None:
    registry.log_training(a_log("named", A))
    assert registry.resolve("named/1") == registry.resolve("named@champion")
    assert "named" in registry.names()
    assert registry.versions("nobody") == ()
    for reference, words in (
        ("named/9", "no such version"),
        ("named@nobody", "has no alias nobody; it has champion"),
        ("nobody@champion", "no model is named nobody"),
    ):
        with pytest.raises(NotFound, match=words):
            registry.resolve(reference)


def test_an_alias_moves(registry: MlflowRegistry) -> None:
    registry.log_training(a_log("moves", A))
    registry.log_training(a_log("moves", B))
    assert registry.set_alias("moves", "champion", 2).aliases == ("challenger", "champion")
    assert registry.resolve("moves@champion").model_sha256 == B
    with pytest.raises(NotFound, match="no such version"):
        registry.set_alias("moves", "champion", 7)
    with pytest.raises(InvalidInput, match="alias"):
        registry.set_alias("moves", "Champion!", 1)


def test_a_run_that_fails_half_way_is_marked_failed(registry: MlflowRegistry) -> None:
    broken = a_log("fails", A)._replace(artefacts={"no/such/folder": b""})
    with pytest.raises(RecordingFailed, match="could not be written"):
        registry.log_training(broken)
    client = client_of(registry)
    runs = client.search_runs([client.get_experiment_by_name("kedge").experiment_id], "attributes.run_name LIKE 'fails%'")
    assert [run.info.status for run in runs] == ["FAILED"]
    assert registry.versions("fails") == ()


def test_a_healthy_store_is_ok_without_mlflow(registry: MlflowRegistry) -> None:
    code = (
        "import sys; from pathlib import Path; from kedge.storage.registry_state import store_state;"
        f"print(store_state(Path({str(registry.folder)!r})), 'mlflow' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["ok", "False"]


def test_a_store_that_is_not_there_is_missing_and_a_broken_one_unreadable(tmp_path: Path) -> None:
    registry = MlflowRegistry(tmp_path / "mlflow")
    assert registry.state() == "missing"
    with pytest.raises(NotFound, match="no MLflow store"):
        registry.resolve("name@champion")
    registry.folder.mkdir()
    for body in (b"", b"not a database, but long enough to be read as a page of one" * 100):
        (registry.folder / "mlflow.db").write_bytes(body)
        assert store_state(registry.folder) == "unreadable"
        for call in (registry.prepare, lambda: registry.resolve("name@champion"), lambda: registry.names()):
            with pytest.raises(IntegrityError, match="cannot be used"):
                call()


def test_a_store_that_was_removed_under_our_feet_is_noticed(registry: MlflowRegistry, tmp_path: Path) -> None:
    other = MlflowRegistry(tmp_path / "mlflow")
    shutil.copytree(registry.folder, other.folder)
    other.prepare()
    shutil.rmtree(other.folder)
    with pytest.raises(IntegrityError, match="start the command again"):
        other.prepare()


def test_mlflow_says_nothing_of_its_own(registry: MlflowRegistry, capfd: pytest.CaptureFixture[str]) -> None:
    registry.log_training(a_log("silent", A))
    with pytest.raises(RecordingFailed):
        registry.log_training(a_log("silent", B)._replace(artefacts={"no/such/folder": b""}))
    assert capfd.readouterr() == ("", "")


def test_a_store_cut_in_the_middle_is_refused_by_name(registry: MlflowRegistry, tmp_path: Path) -> None:
    whole = (registry.folder / "mlflow.db").read_bytes()
    other = MlflowRegistry(tmp_path / "mlflow")
    other.folder.mkdir()
    (other.folder / "mlflow.db").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(IntegrityError, match=r"mlflow\.db"):
        other.log_training(a_log("cut", A))


@pytest.mark.parametrize("name", ["", "1st", "a b", "a/b", "a@b", "a:b", "-a", "a" * 81, "a'b"])
def test_names_that_cannot_be_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="model name"):
        checked_name(name)


@pytest.mark.parametrize("reference", ["plain", "name/", "name/0", "name/x", "name/1.5", "/1", "@champion", "name@", "name@A B"])
def test_references_that_cannot_be_are_refused(reference: str) -> None:
    with pytest.raises(InvalidInput):
        parse_reference(reference)
