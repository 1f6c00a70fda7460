"""Computes predictions again: from the stored features through the stored model, and from the run's own recorded bars.

Rules: everything is compared bit by bit; what cannot be computed counts as different and says why. From recorded bars the engine is
restored from the newest snapshot before the prediction, folds what was recorded since, and decides the one step afresh, so that the
features, the score and the whole decision are recomputed by the very code that trades.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from kedge.domain.canonical import digest, encode
from kedge.domain.errors import KedgeError
from kedge.domain.outputs import Output, Predicted
from kedge.domain.record import Step
from kedge.domain.units import float_hex
from kedge.governance.lineage import NodeKind, Recomputed, Trace, key_of
from kedge.learning.scorer import Scorer
from kedge.services.lineage_documents import told
from kedge.services.lineage_journal import RunRecords
from kedge.services.lineage_runs import tally
from kedge.services.models import strategy_of
from kedge.services.recovery import engine_at
from kedge.storage.model_store import ModelStore

STORED: Final = "stored features"
RECORDED: Final = "recorded bars"
SAMPLE: Final = 200
"""Predictions of a whole run that are computed again, spread evenly from the first to the last."""


def recompute(state: Path, journal: Path, found: Trace) -> Trace:
    """A trace with each of its predictions computed again, both ways; of a run's trace a sample of them, from the stored features.

    Parameters
    ----------
    state : Path
        The state folder with the models.
    journal : Path
        The journal that the trace was taken from.
    """
    steps: list[Recomputed] = []
    with RunRecords(journal) as run:
        again = Recomputer(run, ModelStore(state / "models"))
        for node in found.of_kind(NodeKind.PREDICTION):
            for step, predicted in run.predictions(node.id):
                steps += [*again.from_features(predicted), *again.from_bars(step, predicted)]
        if found.root == key_of(NodeKind.RUN, found.run_id):
            for prediction_id in sampled(run):
                for _, predicted in run.predictions(prediction_id):
                    steps += again.from_features(predicted)
    return found.with_recomputed(tuple(steps))


def sampled(run: RunRecords) -> list[str]:
    """Ids of at most `SAMPLE` predictions of a run, the first and the last among them."""
    count = tally(run).predictions
    numbers = range(1, count + 1) if count <= SAMPLE else [1 + n * (count - 1) // (SAMPLE - 1) for n in range(SAMPLE)]
    return [f"{run.started.run_id}.p{n}" for n in numbers]


class Recomputer:
    """Computes predictions of one run again."""

    def __init__(self, run: RunRecords, models: ModelStore) -> None:
        self._run, self._models = run, models
        self._scorers: dict[str, Scorer] = {}

    def from_features(self, predicted: Predicted) -> Iterator[Recomputed]:
        """Score and probability of the stored features through the stored model."""
        try:
            blob = self._run.reader.blob(predicted.features_sha256)
            scorer = self._scorer(predicted.model_sha256)
        except KedgeError as error:
            yield _unknown(predicted, STORED, told(error))
            return
        if len(blob) != 8 * scorer.n_features:
            yield _unknown(predicted, STORED, f"{len(blob)} bytes of features are stored, the model reads {scorer.n_features} float64")
            return
        row = np.frombuffer(blob, "<f8").astype(np.float64)
        score = scorer.score(row)
        yield _compared(predicted, "score", STORED, predicted.score_hex, float_hex(score))
        yield _compared(predicted, "probability", STORED, predicted.probability_hex, float_hex(scorer.probability(score)))

    def from_bars(self, step: Step, predicted: Predicted) -> Iterator[Recomputed]:
        """Features, score, probability and the step's whole decision, from the recorded events up to it."""
        try:
            outputs, blobs = self._decide_again(step)
        except KedgeError as error:
            yield _unknown(predicted, RECORDED, told(error))
            return
        again = next((o for o in outputs if type(o) is Predicted and o.instrument == predicted.instrument), None)
        if again is None:
            yield _unknown(predicted, RECORDED, "the engine makes no prediction at this bar")
            return
        features = digest(blobs[again.features_sha256])
        yield _compared(predicted, "features", RECORDED, predicted.features_sha256, features)
        yield _compared(predicted, "score", RECORDED, predicted.score_hex, again.score_hex)
        yield _compared(predicted, "probability", RECORDED, predicted.probability_hex, again.probability_hex)
        yield _compared(predicted, "decision", RECORDED, digest(encode(step.outputs)), digest(encode(outputs)))

    def _scorer(self, sha256: str) -> Scorer:
        if sha256 not in self._scorers:
            self._scorers[sha256] = Scorer(self._models.load(sha256))
        return self._scorers[sha256]

    def _decide_again(self, step: Step) -> tuple[tuple[Output, ...], dict[str, bytes]]:
        started, reader = self._run.started, self._run.reader
        engine, start = engine_at(started, reader.latest_snapshot(step.seq - 1), strategy_of(started, self._models))
        for record in reader.records(start_seq=start):
            if isinstance(record, Step):
                if record.seq >= step.seq:
                    break
                engine.apply(record.event, record.outputs)
        return engine.step(step.event), engine.take_blobs()


def _compared(predicted: Predicted, what: str, source: str, recorded: str, computed: str) -> Recomputed:
    return Recomputed(
        prediction_id=predicted.prediction_id,
        step=what,
        source=source,
        equal=recorded == computed,
        recorded=recorded,
        computed=computed,
    )


def _unknown(predicted: Predicted, source: str, why: str) -> Recomputed:
    return Recomputed(
        prediction_id=predicted.prediction_id,
        step="score",
        source=source,
        equal=False,
        recorded=predicted.score_hex,
        computed="",
        detail=why,
    )
