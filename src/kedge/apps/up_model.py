"""Which model `kedge up` trades with: the one that is named, the champion of its market's name, or one that is trained now.

Rules: the registry is the truth, read without importing MLflow; when it is gone or broken the copy of its aliases beside the models
answers, and that is said. A model that has seen what is about to be played is never chosen by itself, and named by a person it is
pointed out: its results would prove nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from kedge.apps.model_job import Job, Say, run_job
from kedge.apps.strategy_choice import models_of
from kedge.domain.errors import IntegrityError, InvalidInput, KedgeError, NotFound
from kedge.domain.instrument import InstrumentId
from kedge.learning.dataset_manifest import DatasetManifest
from kedge.learning.model import Model
from kedge.market.intervals import interval_text, utc_text
from kedge.ops.state_folder import registry_folder
from kedge.storage.blobs import BlobStore
from kedge.storage.model_names import CHAMPION
from kedge.storage.registry_reader import RegistryReader

TRAIN_BARS: Final = 10_000
"""Bars of each instrument that a synthetic model is trained on: a week of minutes, some seconds of training."""
SEED_STEP: Final = 1_000_003
"""A synthetic model learns from the market of another seed than the one it trades."""


class Wanted(NamedTuple):
    """What is about to be traded.

    Attributes
    ----------
    kind : str
        'synthetic' or 'replay'.
    seed : int
        Of the synthetic market that is played.
    files, funding : tuple of Path
        Of a replay.
    start_ts_ns : int
        Where play begins; what a replay's model learns from ends here.
    """

    state_folder: Path
    kind: str
    interval_ns: int
    instruments: tuple[InstrumentId, ...]
    seed: int
    start_ts_ns: int
    files: tuple[Path, ...] = ()
    funding: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """What its model is called: `demo-synthetic-1m`."""
        return f"demo-{self.kind}-{interval_text(self.interval_ns // 1_000_000)}"


class Chosen(NamedTuple):
    """The model to trade with; `version` for people, '' for one that was never registered."""

    sha256: str
    version: str


def choose_model(wanted: Wanted, reference: str | None, say: Say, train: Callable[[Job, Say], object] = run_job) -> Chosen:
    """Find or train it, and say what was done.

    Raises
    ------
    NotFound, IntegrityError, InvalidInput
        The model that was named does not exist, was altered, or does not fit the market.
    KedgeError
        The training was refused.
    """
    if reference is not None:
        return _named(wanted, reference, say)
    champion = f"{wanted.name}@{CHAMPION}"
    try:
        chosen, why = _found(wanted, champion, say)
    except NotFound:
        chosen, why = None, f"there is no {champion} yet"
    if chosen is not None and not why:
        return chosen
    say(f"model: training {wanted.name}: {why}")
    began_s = time.monotonic()
    train(_job(wanted), lambda line: say(f"model: {line}"))
    say(f"model: trained in {time.monotonic() - began_s:.1f} s")
    chosen, why = _found(wanted, champion, say)
    if chosen is None or why:
        raise IntegrityError(f"{champion} does not fit its own market", why=why, fix="name a model with --model, or --strategy trend")
    return chosen


def _named(wanted: Wanted, reference: str, say: Say) -> Chosen:
    chosen, why = _found(wanted, reference, say)
    model = models_of(wanted.state_folder).load(chosen.sha256)
    if model.interval_ns != wanted.interval_ns or _leader(model) not in ("", *wanted.instruments):
        raise InvalidInput(f"--model {reference} does not fit this market", why=why, fix=f"leave --model out to trade with {wanted.name}")
    if why:
        say(f"model: WARNING: {why}")
    return chosen


def _found(wanted: Wanted, reference: str, say: Say) -> tuple[Chosen, str]:
    """The model that a reference names, and why it should not be used here; '' where nothing speaks against it."""
    from kedge.services.training.references import resolve

    models = models_of(wanted.state_folder)
    found = resolve(reference, models, RegistryReader(registry_folder(wanted.state_folder)))
    if found.warning:
        say(f"model: WARNING: {found.warning}")
    why = _misfit(wanted, models.load(found.sha256))
    told = f"{found.version_text or 'unregistered'} ({found.sha256[:12]})"
    if not why:
        say(f"model: {told} from the {found.source}")
    return Chosen(found.sha256, found.version_text), why and f"{told} {why}"


def _misfit(wanted: Wanted, model: Model) -> str:
    if model.interval_ns != wanted.interval_ns:
        return f"was trained on bars of {interval_text(model.interval_ns // 1_000_000)}"
    if (leader := _leader(model)) not in ("", *wanted.instruments):
        return f"follows {leader}, which is not traded here"
    try:
        body = BlobStore(wanted.state_folder / "blobs").get(model.dataset_sha256)
        manifest = msgspec.json.decode(body, type=DatasetManifest)
    except (KedgeError, msgspec.DecodeError):
        return "has no readable data set, so what it has seen is not known"
    return _seen(wanted, manifest)


def _seen(wanted: Wanted, manifest: DatasetManifest) -> str:
    """Whether the model has learned from what is about to be played."""
    instruments = {part.instrument for part in manifest.parts}
    if not instruments & set(wanted.instruments):
        return f"has learned from {', '.join(sorted(instruments))} alone"
    labels = {source.label for part in manifest.parts for source in part.sources}
    if wanted.kind == "synthetic":
        return "has learned from the very market that is played" if f"synthetic seed {wanted.seed}" in labels else ""
    if any(label.startswith("synthetic") for label in labels):
        return "has learned from a synthetic market"
    if manifest.last_ts_ns > wanted.start_ts_ns:
        return f"has seen prices up to {utc_text(manifest.last_ts_ns // 1_000_000)}, past the beginning of what is played"
    return ""


def _leader(model: Model) -> InstrumentId:
    return next((feature.of for feature in model.feature_set.features if feature.of), "")


def _job(wanted: Wanted) -> Job:
    from kedge.services.training.settings import demo_settings

    job = Job(state=str(wanted.state_folder), name=wanted.name, settings=demo_settings(), alias=CHAMPION)
    if wanted.kind == "synthetic":
        return msgspec.structs.replace(
            job,
            symbols=tuple(name.partition(":")[2] for name in wanted.instruments),
            seed=(wanted.seed + SEED_STEP) % 2**63,
            bars=TRAIN_BARS,
            interval_ns=wanted.interval_ns,
            start_ts_ns=wanted.start_ts_ns,
        )
    return msgspec.structs.replace(job, files=_texts(wanted.files), funding=_texts(wanted.funding), until_ns=wanted.start_ts_ns)


def _texts(paths: Sequence[Path]) -> tuple[str, ...]:
    return tuple(str(path.absolute()) for path in paths)
