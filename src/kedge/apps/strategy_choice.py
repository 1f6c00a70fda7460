"""Which strategy a command runs: the rule that is named, or the model behind a reference, loaded by its hash from the state folder.

Rules: only a hash stands in a run's settings, whatever a person wrote; a rule needs no store, and nothing of models is imported for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kedge.apps import wiring
from kedge.domain.errors import InvalidInput
from kedge.ops.config import Config
from kedge.ops.state_folder import blobs_folder, models_folder, registry_folder
from kedge.strategy.base import Strategy
from kedge.strategy.model import MODEL, ModelTrader

if TYPE_CHECKING:
    from kedge.domain.record import RunStarted
    from kedge.services.market_data import MarketData
    from kedge.storage.model_store import ModelStore


class Choice(NamedTuple):
    """A strategy by name and parameters, as a run's settings hold them.

    Attributes
    ----------
    strategy : Strategy or None
        Loaded, where name and parameters alone do not make it.
    history_bars : int
        Bars that let a model speak at the first one of a live run; 0 for rules.
    warning : str
        What a person should know of how the model was found; empty otherwise.
    """

    name: str
    params: dict[str, Any]
    strategy: Strategy | None = None
    history_bars: int = 0
    warning: str = ""


def choose(config: Config, name: str | None, given: list[str] | None, *, model: str | None = None) -> Choice:
    """What a command line and the configuration name.

    Parameters
    ----------
    model : str, optional
        A reference given by itself, which also chooses the strategy.

    Raises
    ------
    InvalidInput
        No model is named, a reference of no known form, or a model named for a rule.
    NotFound
        There is no such model.
    IntegrityError
        The model's file was altered.
    """
    chosen = wiring.strategy_name(config, name or (MODEL if model else None))
    params = wiring.strategy_params(config, chosen, given)
    if chosen != MODEL:
        if model:
            raise InvalidInput(f"--model {model} and --strategy {chosen}", why="a rule has no model", fix="leave one of them out")
        return Choice(chosen, params)
    return _with_model(config.state_folder, {**params, **({MODEL: model} if model else {})})


def models_of(state: Path) -> ModelStore:
    """The models of a state folder."""
    from kedge.storage.model_store import ModelStore

    return ModelStore(models_folder(state))


def recorded_strategy(state: Path, started: RunStarted) -> Strategy | None:
    """The strategy of a recorded run where it needs a model; see `services.models.strategy_of`."""
    from kedge.services.models import strategy_of

    return strategy_of(started, models_of(state))


def seen_words(state: Path, choice: Choice, market: MarketData) -> str:
    """A warning where the model has learned from bars of this market; '' for a rule, and where nothing speaks against it."""
    if not isinstance(choice.strategy, ModelTrader):
        return ""
    from kedge.services.training.overlap import overlap_words
    from kedge.storage.blobs import BlobStore

    return overlap_words(choice.strategy.model.dataset_sha256, BlobStore(blobs_folder(state)).get, market)


def _with_model(state: Path, params: dict[str, Any]) -> Choice:
    from kedge.services.models import model_strategy
    from kedge.services.training.references import resolve
    from kedge.storage.registry_reader import RegistryReader

    models, warning = models_of(state), ""
    if reference := str(params.get(MODEL) or ""):
        found = resolve(reference, models, RegistryReader(registry_folder(state)))
        params, warning = {**params, MODEL: found.sha256}, found.warning
        if found.version_text:
            params.setdefault("version", found.version_text)
    strategy = model_strategy(params, models)
    return Choice(MODEL, params, strategy, strategy.history_bars, warning)
