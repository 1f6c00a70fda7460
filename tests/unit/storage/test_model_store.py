"""Models on disk: the folder's name is the hash, and whatever is damaged is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from kedge.domain.errors import IntegrityError, NotFound, RecordingFailed
from kedge.learning.model import encode_model, model_sha256
from kedge.learning.training_record import encode_training, training_sha256
from kedge.storage.model_store import Aliases, ModelStore, Registered

from .models import a_model, a_record


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def kept(store: ModelStore, name: str = "small", weight: float = 0.25) -> str:
    model = a_model(name, weight)
    return store.put(model, a_record(model))


def test_a_model_comes_back_by_the_hash_of_its_bytes(store: ModelStore) -> None:
    sha256 = kept(store)
    assert sha256 == model_sha256(a_model())
    assert store.load(sha256) == a_model()
    assert store.document(sha256) == encode_model(a_model())
    assert store.training(sha256) == a_record(a_model())
    assert store.training_sha256(sha256) == training_sha256(a_record(a_model()))
    assert store.list() == (sha256,)


def test_the_first_record_of_a_model_stays(store: ModelStore) -> None:
    sha256 = kept(store)
    store.put(a_model(), a_record(a_model(), seconds="99.000"))
    assert store.training(sha256).seconds == {"fit": "1.000"}


def test_every_byte_of_a_model_counts(store: ModelStore) -> None:
    sha256 = kept(store)
    path = store.folder / sha256 / "model.json"
    whole = path.read_bytes()
    for at in range(0, len(whole), 37):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(IntegrityError, match=str(path)):
            store.load(sha256)
        with pytest.raises(IntegrityError, match=str(path)):
            store.document(sha256)
    path.write_bytes(whole[:-1])
    with pytest.raises(IntegrityError, match=str(path)):
        store.put(a_model(), a_record(a_model()))


def test_a_model_whose_file_is_gone_is_damaged_not_unknown(store: ModelStore) -> None:
    sha256 = kept(store)
    (store.folder / sha256 / "model.json").unlink()
    with pytest.raises(IntegrityError, match=r"model\.json"):
        store.load(sha256)


def test_a_training_record_that_is_cut_or_of_another_model_is_refused(store: ModelStore) -> None:
    sha256 = kept(store)
    path = store.folder / sha256 / "training.json"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(IntegrityError, match=r"training\.json"):
        store.training(sha256)
    path.write_bytes(encode_training(a_record(a_model("other"))))
    with pytest.raises(IntegrityError, match="speaks of model"):
        store.training(sha256)


def test_what_the_registry_answered_is_kept_beside_the_model(store: ModelStore) -> None:
    sha256 = kept(store)
    assert store.registered(sha256) is None
    said = Registered(name="small", version=3, model_sha256=sha256, run_id="r", aliases=("champion",))
    store.set_registered(said)
    assert store.registered(sha256) == said
    assert said.version_text == "small/3"
    path = store.folder / sha256 / "registered.json"
    path.write_bytes(path.read_bytes().replace(sha256.encode(), b"0" * 64))
    with pytest.raises(IntegrityError, match="speaks of model"):
        store.registered(sha256)


def test_the_copy_of_the_aliases_survives_and_refuses_to_be_half(store: ModelStore) -> None:
    assert store.aliases() == Aliases()
    copy = Aliases(aliases={"small": {"champion": 1}}, versions={"small": {"1": "a" * 64}})
    store.set_aliases(copy)
    assert store.aliases() == copy
    path = store.folder / "aliases.json"
    path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(IntegrityError, match=r"aliases\.json"):
        store.aliases()


def test_a_model_is_found_by_its_first_digits(store: ModelStore) -> None:
    first, second = kept(store), kept(store, weight=0.75)
    assert store.find(first[:8]) == first
    assert store.find(second) == second
    for name, words in (("abc", "not 8 to 64"), ("0" * 8, "no such model"), ("../" * 4, "not 8 to 64")):
        with pytest.raises(NotFound, match=words):
            store.find(name)


def test_an_ambiguous_beginning_asks_for_more_digits(store: ModelStore) -> None:
    for end in "ab":
        (store.folder / ("0" * 63 + end)).mkdir(parents=True)
    with pytest.raises(NotFound, match="2 models begin so"):
        store.find("0" * 8)


def test_strange_names_are_not_models(store: ModelStore) -> None:
    assert store.list() == ()
    kept(store)
    (store.folder / ".writing-x").mkdir()
    (store.folder / ("0" * 64)).write_bytes(b"")
    assert len(store.list()) == 1
    for name in ("..", "0" * 64, "x"):
        with pytest.raises(NotFound):
            store.load(name)


def test_a_store_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "models").write_bytes(b"")
    with pytest.raises(RecordingFailed):
        kept(ModelStore(tmp_path / "models"))


def test_who_comes_second_with_the_same_model_finds_it_there(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = Path.rename
    rival = ModelStore(store.folder)

    def overtaken(self: Path, target: Path) -> Path:
        if self.name.startswith(".writing-"):
            monkeypatch.setattr(Path, "rename", moved)
            kept(rival)
        return moved(self, target)

    monkeypatch.setattr(Path, "rename", overtaken)
    sha256 = kept(store)
    assert store.load(sha256) == a_model()
    assert [path.name for path in store.folder.iterdir()] == [sha256]


def test_a_rename_that_fails_is_a_recording_failure(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(RecordingFailed, match="Read-only"):
        kept(store)
    assert list(store.folder.iterdir()) == []
