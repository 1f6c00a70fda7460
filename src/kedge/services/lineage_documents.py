"""From a model to the raw files it learned from: reads the stores and says what is missing or altered on the way."""

from __future__ import annotations

from pathlib import Path

from kedge.domain.errors import KedgeError
from kedge.domain.record import DataSource
from kedge.governance.lineage import NodeKind, Relation, TraceBuilder
from kedge.governance.lineage_documents import (
    RegisteredFacts,
    commit_node,
    dataset_node,
    disagreements,
    feature_set_node,
    model_node,
    raw_file_node,
    training_node,
)
from kedge.learning.dataset_manifest import DatasetManifest, decode_manifest
from kedge.learning.model import Model
from kedge.learning.training_record import TrainingRecord
from kedge.storage.blobs import BlobStore
from kedge.storage.model_store import ModelStore


class Documents:
    """The models and data sets of a state folder.

    Parameters
    ----------
    state : Path
        The folder that holds `models` and `blobs`.
    """

    def __init__(self, state: Path) -> None:
        self.models = ModelStore(state / "models")
        self.blobs = BlobStore(state / "blobs")
        self._read: dict[str, Model] = {}

    def model(self, sha256: str) -> Model:
        """A model of the store, read once; NotFound, IntegrityError."""
        if sha256 not in self._read:
            self._read[sha256] = self.models.load(sha256)
        return self._read[sha256]

    def dataset(self, sha256: str) -> DatasetManifest:
        """A data set's manifest; NotFound, IntegrityError."""
        return decode_manifest(self.blobs.get(sha256), sha256=sha256)

    def feature_names(self, model_sha256: str) -> list[str]:
        """Names of a model's features, in order; none where the model cannot be read."""
        try:
            return [feature.name for feature in self.model(model_sha256).feature_set.features]
        except KedgeError:
            return []

    def models_of_dataset(self, dataset_sha256: str) -> list[str]:
        """Models in the store that learned from a data set."""
        return [name for name in self.models.list() if self._learned_from(name) == dataset_sha256]

    def model_problem(self, sha256: str) -> str:
        """What is wrong with a model's papers: document, training record, data set, columns; '' where nothing is."""
        found = TraceBuilder()
        self.add_model(found, sha256)
        missing = found.build("", "").missing
        return "; ".join(f"{one.kind} {one.id[:16]}: {one.why}" for one in missing)

    def add_model(self, into: TraceBuilder, sha256: str, *, running_code: str = "") -> str:
        """Add a model and everything it comes from; returns its key, '' where it cannot be read."""
        try:
            model = self.model(sha256)
        except KedgeError as error:
            into.miss(NodeKind.MODEL, sha256, told(error))
            return ""
        registered = self._registered(into, sha256)
        key = into.add(model_node(sha256, model, registered))
        features = feature_set_node(model.feature_set_sha256, model.feature_set)
        into.add(features, key, Relation.READS)
        training = self._training(into, sha256, model)
        if training is None:
            self.add_dataset(into, model.dataset_sha256, source=key)
            return key
        trained = into.add(training_node(self.models.training_sha256(sha256), training, registered), key, Relation.MADE_BY)
        into.add(commit_node(training, running_code=running_code), trained, Relation.RAN_CODE)
        into.link(trained, features.key, Relation.READS)
        self.add_dataset(into, model.dataset_sha256, source=trained)
        return key

    def add_dataset(self, into: TraceBuilder, sha256: str, *, source: str = "") -> str:
        """Add a data set and its raw files; all bytes that it names are hashed again. Returns its key, '' where it cannot be read."""
        try:
            dataset = self.dataset(sha256)
        except KedgeError as error:
            into.miss(NodeKind.DATASET, sha256, told(error))
            return ""
        key = into.add(dataset_node(sha256, dataset), source, Relation.TRAINED_ON)
        for what, name in dataset.columns():
            try:
                self.blobs.get(name)
            except KedgeError as error:
                into.miss(NodeKind.DATASET, name, f"{what}: {told(error)}")
        for part in dataset.parts:
            add_sources(into, key, (*part.sources, *part.funding_sources), Relation.FROZEN_FROM)
        return key

    def _learned_from(self, model_sha256: str) -> str:
        try:
            return self.model(model_sha256).dataset_sha256
        except KedgeError:  # a damaged model is named where it is asked for
            return ""

    def _registered(self, into: TraceBuilder, sha256: str) -> RegisteredFacts | None:
        try:
            found = self.models.registered(sha256)
        except KedgeError as error:
            into.note(f"the registration of model {sha256[:16]} cannot be read: {told(error)}")
            return None
        if found is None:
            into.note(f"model {sha256[:16]} was never registered under a name")
            return None
        return RegisteredFacts(name=found.name, version=found.version, run_id=found.run_id, aliases=found.aliases)

    def _training(self, into: TraceBuilder, sha256: str, model: Model) -> TrainingRecord | None:
        try:
            training = self.models.training(sha256)
        except KedgeError as error:
            into.miss(NodeKind.TRAINING, sha256, told(error))
            return None
        for difference in disagreements(sha256, model, training):
            into.miss(NodeKind.TRAINING, sha256, f"the training record speaks of something else: {difference}")
        if not training.commit_known:
            into.note("the commit that trained the model is not known; the hash of its sources is")
        return training


def add_sources(into: TraceBuilder, source: str, files: tuple[DataSource, ...], relation: Relation) -> None:
    """Add raw files under a node."""
    for file in files:
        into.add(raw_file_node(file), source, relation)


def told(error: KedgeError) -> str:
    """An error in one line."""
    return f"{error.what}: {error.why}" if error.why else error.what
