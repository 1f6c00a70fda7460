"""Trained models on disk, a folder per model: `<hash>/model.json`, `training.json`, `registered.json`.

Rules: the folder's name is the SHA-256 of `model.json`, checked at every load; a model appears whole or not at all and never changes;
beside the models lies a copy of the registry's aliases as last seen, so that a start does not need the registry.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from kedge.domain.canonical import digest, encode
from kedge.domain.errors import IntegrityError, NotFound, RecordingFailed
from kedge.learning.model import Model, decode_model, encode_model
from kedge.learning.training_record import TRAINING_FORMAT, TrainingRecord, encode_training
from kedge.storage.blobs import SHA256, sync_folder, write_whole

MODEL_FILE: Final = "model.json"
TRAINING_FILE: Final = "training.json"
REGISTERED_FILE: Final = "registered.json"
ALIASES_FILE: Final = "aliases.json"
PREFIX_MIN: Final = 8
RESTORE: Final = "keep it as evidence; restore it from MLflow's artefacts, or train again"

T = TypeVar("T")


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A model version as the registry knows it; `aliases` are those it had when this was written.

    Attributes
    ----------
    run_id : str
        MLflow's run that logged the training.
    """

    name: str
    version: int
    model_sha256: str
    run_id: str
    aliases: tuple[str, ...] = ()

    @property
    def version_text(self) -> str:
        """For people: `name/3`."""
        return f"{self.name}/{self.version}"


class Aliases(msgspec.Struct, frozen=True, kw_only=True):
    """The registry's aliases as last seen: model name to alias to version; `versions` is name to version (as text) to model hash."""

    aliases: dict[str, dict[str, int]] = {}
    versions: dict[str, dict[str, str]] = {}
    format: str = "kedge/aliases/v1"


class ModelStore:
    """Models in one folder.

    Parameters
    ----------
    folder : Path
        Created when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, model: Model, training: TrainingRecord) -> str:
        """Keep a model with the record of its training, durably; returns its hash. The first record of a model stays.

        Raises
        ------
        IntegrityError
            The model is there already and damaged.
        RecordingFailed
            The disk is full or refuses; nothing is left behind.
        """
        body = encode_model(model)
        sha256 = digest(body)
        target = self.folder / sha256
        if target.is_dir():
            self.load(sha256)
            self.training(sha256)
            return sha256
        try:
            self._write(target, {MODEL_FILE: body, TRAINING_FILE: encode_training(training)})
        except OSError as error:
            raise RecordingFailed(
                f"model {sha256[:16]} could not be written: {error.strerror or error}",
                why="the disk is full or refuses; nothing was kept",
                fix=f"free space under {self.folder}",
            ) from error
        return sha256

    def load(self, sha256: str) -> Model:
        """The model of that hash, its bytes checked.

        Raises
        ------
        NotFound
            There is no such model.
        IntegrityError
            The file was altered or cut, or is of another format; names the file.
        """
        path = self._file(sha256, MODEL_FILE)
        try:
            return decode_model(self._read(path), sha256=sha256)
        except IntegrityError as error:
            what = error.what if str(path) in error.what else f"{error.what} ({path})"
            raise IntegrityError(what, why=error.why, fix=error.fix) from None

    def document(self, sha256: str) -> bytes:
        """The model's bytes, checked against the hash but not decoded.

        Raises
        ------
        NotFound
            There is no such model.
        IntegrityError
            The file was altered or cut; names the file.
        """
        path = self._file(sha256, MODEL_FILE)
        body = self._read(path)
        if (found := digest(body)) != sha256:
            raise IntegrityError(f"{path} has other bytes than its name says", why=f"SHA-256 is {found}", fix=RESTORE)
        return body

    def training(self, sha256: str) -> TrainingRecord:
        """The record of the training that gave the model.

        Raises
        ------
        NotFound
            There is no such model.
        IntegrityError
            The file is cut, of another format, or speaks of another model; names the file.
        """
        path = self._file(sha256, TRAINING_FILE)
        record = _decode(path, self._read(path), TrainingRecord)
        if record.model_sha256 != sha256 or record.format != TRAINING_FORMAT:
            raise _damaged(path, f"it speaks of model {record.model_sha256[:16]}, format {record.format}")
        return record

    def training_sha256(self, sha256: str) -> str:
        """SHA-256 of the training record's bytes."""
        return digest(self._read(self._file(sha256, TRAINING_FILE)))

    def registered(self, sha256: str) -> Registered | None:
        """What the registry knew of the model when it was registered; None where it never was.

        Raises
        ------
        NotFound
            There is no such model.
        IntegrityError
            The file is cut or speaks of another model; names the file.
        """
        path = self._file(sha256, REGISTERED_FILE)
        if not path.exists():
            return None
        found = _decode(path, self._read(path), Registered)
        if found.model_sha256 != sha256:
            raise _damaged(path, f"it speaks of model {found.model_sha256[:16]}")
        return found

    def set_registered(self, registered: Registered) -> None:
        """Write down what the registry answered for a model that is here."""
        write_whole(self._file(registered.model_sha256, REGISTERED_FILE), encode(registered))

    def list(self) -> tuple[str, ...]:
        """Hashes of all models, sorted."""
        if not self.folder.is_dir():
            return ()
        return tuple(sorted(path.name for path in self.folder.iterdir() if SHA256.fullmatch(path.name) and path.is_dir()))

    def find(self, prefix: str) -> str:
        """The one model whose hash begins so (8 digits or more).

        Raises
        ------
        NotFound
            None, or more than one.
        """
        if not re.fullmatch(rf"[0-9a-f]{{{PREFIX_MIN},64}}", prefix):
            raise NotFound(f"model {prefix!r}", why=f"not {PREFIX_MIN} to 64 hexadecimal digits", fix="kedge model list")
        found = [name for name in self.list() if name.startswith(prefix)]
        if len(found) != 1:
            why = f"{len(found)} models begin so" if found else f"no such model in {self.folder}"
            raise NotFound(f"model {prefix}", why=why, fix="give more digits" if found else "kedge model list, or train it: kedge train")
        return found[0]

    def aliases(self) -> Aliases:
        """The aliases as last seen in the registry; empty where it was never seen.

        Raises
        ------
        IntegrityError
            The file is cut; names the file.
        """
        path = self.folder / ALIASES_FILE
        return _decode(path, self._read(path), Aliases) if path.exists() else Aliases()

    def set_aliases(self, aliases: Aliases) -> None:
        """Keep a copy of the registry's aliases."""
        write_whole(self.folder / ALIASES_FILE, encode(aliases))

    def _file(self, sha256: str, name: str) -> Path:
        if not SHA256.fullmatch(sha256) or not (self.folder / sha256).is_dir():
            raise NotFound(f"model {sha256}", why=f"no such model in {self.folder}", fix="kedge model list, or train it: kedge train")
        return self.folder / sha256 / name

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise _damaged(path, error.strerror or str(error)) from None

    def _write(self, target: Path, files: dict[str, bytes]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=self.folder))
        try:
            for name, body in files.items():
                write_whole(aside / name, body)
            try:
                aside.rename(target)
            except OSError:
                if not target.is_dir():  # else somebody was faster with the same model
                    raise
            sync_folder(self.folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _decode(path: Path, body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise _damaged(path, str(error)) from None


def _damaged(path: Path, why: str) -> IntegrityError:
    return IntegrityError(f"{path} is damaged", why=why, fix=RESTORE)
