"""Training: a frozen data set in, a model out, with the record of how; and how a model is named and found again.

`dataset_of` and `synthetic_dataset` give the data, `TrainSettings` the rest (or `demo_settings`, whose model trades even where there is
nothing to be learnt). `train` is free of stores; `train_and_register` writes to them; `ensure_model` trains only what is not there;
`resolve` finds a model by `name@alias`, `name/3` or the first digits of its hash, through the local copy of the aliases when the registry
is gone.
"""

from kedge.services.training.data import dataset_of, default_leader, first_part, synthetic_dataset
from kedge.services.training.references import Resolved, resolve
from kedge.services.training.register import Stores, ensure_model, train_and_register
from kedge.services.training.settings import TrainSettings, demo_settings
from kedge.services.training.train import Trained, train

__all__ = [
    "Resolved",
    "Stores",
    "TrainSettings",
    "Trained",
    "dataset_of",
    "default_leader",
    "demo_settings",
    "ensure_model",
    "first_part",
    "resolve",
    "synthetic_dataset",
    "train",
    "train_and_register",
]
