"""Training: a frozen data set in, a model out, with the record of how; and how a model is named and found again.

`dataset_of` and `synthetic_dataset` give the data, `TrainSettings` the rest (or `demo_settings`, whose model trades even where there is
nothing to be learnt). `train.train` is free of stores; `train_and_register` writes to them; `resolve` finds a model by `name@alias`,
`name/3` or the first digits of its hash, through the local copy of the aliases when the registry is gone. Names are imported when they
are asked for: who only looks a model up does not pay for training.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kedge.services.training.data import dataset_of, default_leader, first_part, synthetic_dataset
    from kedge.services.training.references import Resolved, resolve
    from kedge.services.training.register import Stores, train_and_register
    from kedge.services.training.settings import TrainSettings, demo_settings
    from kedge.services.training.train import Trained

_MODULES: Final = {
    "Resolved": "references",
    "Stores": "register",
    "TrainSettings": "settings",
    "Trained": "train",
    "dataset_of": "data",
    "default_leader": "data",
    "demo_settings": "settings",
    "first_part": "data",
    "resolve": "references",
    "synthetic_dataset": "data",
    "train_and_register": "register",
}

__all__ = [
    "Resolved",
    "Stores",
    "TrainSettings",
    "Trained",
    "dataset_of",
    "default_leader",
    "demo_settings",
    "first_part",
    "resolve",
    "synthetic_dataset",
    "train_and_register",
]


def __getattr__(name: str) -> Any:
    """A public name, from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
