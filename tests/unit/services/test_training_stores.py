"""From a training to the stores and back: nothing is lost between them, a lost registry stops nothing, a damaged model stops everything."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kedge.domain.canonical import digest
from kedge.domain.errors import IntegrityError, InvalidInput, NotFound
from kedge.learning.dataset import Dataset, freeze, thaw
from kedge.services.training import Resolved, Stores, resolve, train_and_register
from kedge.services.training.references import aliases_now, known_as, read_aliases
from kedge.services.training.register import prepare
from kedge.services.training.train import train
from kedge.storage.blobs import BlobStore
from kedge.storage.model_store import Aliases, ModelStore, Registered
from kedge.storage.registry_reader import RegistryReader

from .training_world import small_dataset, small_settings, with_pattern


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return with_pattern(small_dataset())


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset) -> Path:
    """A state folder with two versions of `small`: the champion, and a challenger with another seed."""
    state = tmp_path_factory.mktemp("state")
    stores = Stores.of(state)
    train_and_register(dataset, small_settings(), name="small", stores=stores)
    train_and_register(dataset, small_settings(seed=8), name="small", stores=stores)
    return state


@pytest.fixture
def copied(full: Path, tmp_path: Path) -> Stores:
    """A copy of it without MLflow's store, to break."""
    shutil.copytree(full, tmp_path / "state", ignore=shutil.ignore_patterns("mlflow"))
    return Stores.of(tmp_path / "state")


def champion(stores: Stores) -> Resolved:
    return resolve("small@champion", stores.models, stores.registry)


def run_of(stores: Stores, registered: Registered) -> tuple[Any, Any]:
    """MLflow's run and version, as its own client says them."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=stores.registry.uri, registry_uri=stores.registry.uri)
    return client.get_run(registered.run_id), client.get_model_version(registered.name, str(registered.version))


def test_a_training_can_be_taken_apart_from_every_side(full: Path, dataset: Dataset) -> None:
    stores = Stores.of(full)
    found = champion(stores)
    assert (found.version_text, found.aliases, found.source, found.warning) == ("small/1", ("champion",), "registry", "")
    model, record = stores.models.load(found.sha256), stores.models.training(found.sha256)
    registered = stores.models.registered(found.sha256)
    assert registered is not None
    assert registered.run_id == stores.registry.resolve("small/1").run_id
    back, _ = thaw(model.dataset_sha256, stores.blobs.get)
    assert freeze(back).sha256 == freeze(dataset).sha256 == record.dataset_sha256
    from mlflow.tracking import MlflowClient

    run = MlflowClient(tracking_uri=stores.registry.uri, registry_uri=stores.registry.uri).get_run(registered.run_id)
    assert run.data.tags["training_sha256"] == stores.models.training_sha256(found.sha256)
    for name in ("model_sha256", "dataset_sha256", "feature_set_sha256", "settings_sha256", "code_sha256"):
        assert run.data.tags[name] == getattr(record, name)
    assert run.data.tags["commit"] == (record.commit or "unknown")
    assert run.data.params["boost.rounds"] == str(small_settings().boost.rounds)
    assert run.data.params["seed"] == run.data.tags["seed"] == "7"
    assert run.data.metrics["oof_auc"] == float(record.figures["auc"])
    assert run.data.metrics["baseline_brier"] == float(record.baseline["brier"])
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    assert (folder / "model.json").read_bytes() == stores.models.document(found.sha256)
    assert json.loads((folder / "training.json").read_bytes())["model_sha256"] == found.sha256
    assert (folder / "manifest.json").read_bytes() == stores.blobs.get(model.dataset_sha256)
    assert json.loads((folder / "environment.json").read_bytes())["numpy"] == record.environment.numpy


def test_every_form_of_reference_leads_to_the_same_model(full: Path) -> None:
    stores = Stores.of(full)
    sha256 = champion(stores).sha256
    for reference in ("small/1", sha256, sha256[:12]):
        assert resolve(reference, stores.models, stores.registry).sha256 == sha256
    other = resolve("small@challenger", stores.models, stores.registry)
    assert (other.version, other.sha256 != sha256) == (2, True)
    assert resolve("small@champion", stores.models, None)[:4] == (sha256, "small", 1, "small/1")
    with pytest.raises(NotFound, match="no alias nobody"):
        resolve("small@nobody", stores.models, stores.registry)
    with pytest.raises(InvalidInput, match="model reference 'small'"):
        resolve("small", stores.models, stores.registry)


def test_without_its_store_the_local_copy_answers_and_says_so(copied: Stores, full: Path) -> None:
    found = champion(copied)
    assert found.sha256 == champion(Stores.of(full)).sha256
    assert found.source == "local copy"
    assert "no MLflow store" in found.warning
    aliases, warning = aliases_now(copied.models, copied.registry)
    assert aliases.aliases == {"small": {"champion": 1, "challenger": 2}}
    assert "local copy" in warning
    with pytest.raises(NotFound, match="knows small"):
        resolve("other@champion", copied.models, copied.registry)


def test_a_broken_store_is_no_reason_to_stop_but_one_to_refuse_training(copied: Stores, dataset: Dataset) -> None:
    copied.registry.folder.mkdir()
    (copied.registry.folder / "mlflow.db").write_bytes(b"broken" * 1000)
    assert champion(copied).source == "local copy"
    told: list[str] = []
    with pytest.raises(IntegrityError, match=r"mlflow\.db"):
        train_and_register(dataset, small_settings(seed=9), name="small", stores=copied, progress=told.append)
    assert told == ["opening MLflow's store"]


def test_a_model_altered_by_one_byte_is_refused_under_every_name(copied: Stores) -> None:
    sha256 = champion(copied).sha256
    path = copied.models.folder / sha256 / "model.json"
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)
    for reference in ("small@champion", "small/1", sha256[:8]):
        with pytest.raises(IntegrityError, match=r"model\.json"):
            resolve(reference, copied.models, copied.registry)


def test_a_new_name_has_a_champion_and_is_known_to_the_copy(full: Path, dataset: Dataset) -> None:
    stores = Stores.of(full)
    trained, _ = train_and_register(dataset, small_settings(), name="fresh", stores=stores)
    found = resolve("fresh@champion", stores.models, stores.registry)
    assert (found.sha256, found.version_text, found.source) == (trained.model_sha256, "fresh/1", "registry")
    assert stores.models.load(found.sha256).name == "fresh"
    assert stores.models.aliases().versions["fresh"] == {"1": found.sha256}


def test_training_again_finds_the_same_model_and_version(full: Path, dataset: Dataset) -> None:
    stores = Stores.of(full)
    before, models = champion(stores), stores.models.list()
    trained, registered = train_and_register(dataset, small_settings(), name="small", stores=stores)
    assert (trained.model_sha256, registered.version, registered.aliases) == (before.sha256, 1, ("champion",))
    assert stores.models.list() == models


def test_a_training_cut_short_after_the_model_is_finished_by_the_next(copied: Stores, full: Path, dataset: Dataset) -> None:
    sha256 = champion(copied).sha256
    (copied.models.folder / sha256 / "registered.json").unlink()
    (copied.models.folder / "aliases.json").unlink()
    assert resolve(sha256[:8], copied.models, copied.registry).version_text == ""
    mended = Stores(copied.blobs, copied.models, Stores.of(full).registry)
    train_and_register(dataset, small_settings(), name="small", stores=mended)
    assert resolve(sha256[:8], copied.models, None).version_text == "small/1"
    assert resolve("small@champion", copied.models, None).sha256 == sha256


def test_the_first_registration_tells_of_the_record_that_is_kept(full: Path, dataset: Dataset, tmp_path: Path) -> None:
    stores = Stores(BlobStore(tmp_path / "blobs"), ModelStore(tmp_path / "models"), Stores.of(full).registry)
    cut_short = train(dataset, small_settings(seed=21), name="kept")
    stores.models.put(cut_short.model, cut_short.record)
    _, registered = train_and_register(dataset, small_settings(seed=21), name="kept", stores=stores)
    run, version = run_of(stores, registered)
    kept = stores.models.training_sha256(cut_short.model_sha256)
    assert run.data.tags["training_sha256"] == version.tags["training_sha256"] == kept
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    assert digest((folder / "training.json").read_bytes()) == kept


def test_a_registry_that_is_gone_is_made_again_with_its_versions_and_aliases(copied: Stores, full: Path, dataset: Dataset) -> None:
    before = Stores.of(full).registry.versions("small")
    told: list[str] = []
    train_and_register(dataset, small_settings(seed=30), name="later", stores=copied, note=told.append)
    assert [(one.version, one.model_sha256, one.aliases) for one in copied.registry.versions("small")] == [
        (one.version, one.model_sha256, one.aliases) for one in before
    ]
    assert [words for line in told if (words := line.rpartition(": ")[2]).startswith("small")] == [
        f"small/{n} is registered again as small/{n}" for n in (1, 2)
    ]
    assert copied.models.aliases().aliases["small"] == {"champion": 1, "challenger": 2}
    assert copied.models.registered(before[0].model_sha256) == copied.registry.resolve("small/1")


def test_a_model_that_cannot_be_read_stays_out_of_the_new_registry_and_that_is_said(copied: Stores) -> None:
    first, second = (copied.models.aliases().versions["small"][number] for number in "12")
    (copied.models.folder / first / "training.json").write_bytes(b"{}")
    told: list[str] = []
    prepare(copied, told.append)
    of_small = [line for line in told if ": small/" in line]
    assert "small/1 stays out" in of_small[0]
    assert of_small[1].endswith("small/2 is registered again as small/1")
    found = copied.registry.resolve("small@challenger")
    assert (found.version, found.model_sha256) == (1, second)
    for alias in ("champion", "kept"):
        with pytest.raises(NotFound, match="no alias"):
            resolve(f"small@{alias}", copied.models, copied.registry)
    assert resolve(first[:8], copied.models, None).version_text == ""


def test_an_alias_belongs_to_a_hash_not_to_a_number(copied: Stores) -> None:
    old, other = (copied.models.aliases().versions["small"][number] for number in "12")
    copied.models.set_aliases(Aliases(aliases={"small": {"champion": 1}}, versions={"small": {"1": other}}))
    assert resolve(other[:8], copied.models, None)[2:5] == (1, "small/1", ("champion",))
    assert resolve(old[:8], copied.models, None)[2:5] == (None, "", ())
    assert known_as(copied.models, copied.models.aliases(), old) is None


def test_the_copy_is_written_only_when_it_changed_and_by_nobody_while_another_writes(full: Path) -> None:
    stores, reader = Stores.of(full), RegistryReader(Stores.of(full).registry.folder)
    copy = stores.models.folder / "aliases.json"
    aliases_now(stores.models, reader)
    before = copy.stat()
    assert aliases_now(stores.models, reader)[1] == ""
    assert copy.stat() == before
    known = stores.models.aliases()
    stores.models.set_aliases(Aliases())
    with stores.registry.sole_writer():
        assert aliases_now(stores.models, reader) == (known, "")
        assert stores.models.aliases() == Aliases()
    copy.write_bytes(b"{")
    assert aliases_now(stores.models, reader) == (known, "")
    assert stores.models.aliases() == known


def test_a_registry_that_cannot_be_read_leaves_the_list_to_the_copy(copied: Stores) -> None:
    known = copied.models.aliases()
    copied.registry.folder.mkdir()
    (copied.registry.folder / "mlflow.db").write_bytes(b"broken" * 1000)
    aliases, warning = aliases_now(copied.models, RegistryReader(copied.registry.folder))
    assert aliases == known
    assert "cannot be used; shown from the local copy" in warning
    (copied.registry.folder / "writing.lock").unlink()
    (copied.registry.folder / "writing.lock").mkdir()
    aliases, warning = aliases_now(copied.models, RegistryReader(copied.registry.folder))
    assert aliases == known
    assert "cannot be locked: Is a directory" in warning


RACE = """
import sys
from pathlib import Path
from kedge.services.training import Stores, train_and_register
from tests.unit.services.training_world import small_dataset, small_settings, with_pattern
stores = Stores.of(Path(sys.argv[1]))
trained, registered = train_and_register(with_pattern(small_dataset()), small_settings(seed=int(sys.argv[2])), name="race", stores=stores)
print(registered.version, *registered.aliases)
"""


@pytest.mark.slow
def test_trainings_at_the_same_time_give_one_champion_and_no_version_twice(tmp_path: Path, repository: Path) -> None:
    env = {**os.environ, "PYTHONPATH": f"{repository / 'src'}:{repository}"}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(tmp_path), seed], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for seed in "112"
    ]
    told = [child.communicate(timeout=400) for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], told
    stores = Stores.of(tmp_path)
    found = stores.registry.versions("race")
    assert len(found) == len({one.model_sha256 for one in found}) == 2
    assert sorted(alias for one in found for alias in one.aliases) == ["challenger", "champion"]
    assert stores.models.aliases() == read_aliases(stores.registry)


def test_nothing_known_says_how_to_begin(tmp_path: Path) -> None:
    stores = Stores.of(tmp_path)
    with pytest.raises(NotFound, match="no model was trained here yet"):
        resolve("small@champion", stores.models, stores.registry)
    assert aliases_now(stores.models, stores.registry)[0].aliases == {}
