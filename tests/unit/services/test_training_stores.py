"""From a training to the stores and back: nothing is lost between them, a lost registry stops nothing, a damaged model stops everything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kedge.domain.errors import IntegrityError, InvalidInput, NotFound
from kedge.learning.dataset import Dataset, freeze, thaw
from kedge.services.training import Resolved, Stores, ensure_model, resolve, train_and_register
from kedge.services.training.references import aliases_now
from kedge.services.training.settings import TrainSettings

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
    with pytest.raises(IntegrityError, match=r"model\.json"):
        ensure_model("small", pytest.fail, TrainSettings(), stores=copied)


def test_a_champion_that_is_there_is_not_trained_again(copied: Stores) -> None:
    assert ensure_model("small", pytest.fail, TrainSettings(), stores=copied) == champion(copied)


def test_a_name_without_champion_is_trained_and_found(full: Path, dataset: Dataset) -> None:
    stores = Stores.of(full)
    found = ensure_model("fresh", lambda: dataset, small_settings(), stores=stores)
    assert (found.version_text, found.aliases, found.source) == ("fresh/1", ("champion",), "registry")
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


def test_nothing_known_says_how_to_begin(tmp_path: Path) -> None:
    stores = Stores.of(tmp_path)
    with pytest.raises(NotFound, match="no model was trained here yet"):
        resolve("small@champion", stores.models, stores.registry)
    assert aliases_now(stores.models, stores.registry)[0].aliases == {}
