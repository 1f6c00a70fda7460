"""The engine: `step(event) -> outputs`, and `apply(event, outputs)` for recovery.

`step` observes, decides, and absorbs its own outputs. `apply` observes and absorbs what a journal recorded, asking
no strategy and no limit. Both end in the same state, which a test compares to the byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from kedge.domain.errors import InvalidConfig
from kedge.domain.events import Event
from kedge.domain.instrument import Instrument
from kedge.domain.orders import OrderIntent
from kedge.domain.outputs import Output, TimerSet
from kedge.domain.units import NS_PER_S
from kedge.engine.decide import Decider
from kedge.engine.fold import Fold
from kedge.engine.settings import EngineSettings
from kedge.engine.snapshot import dump_state, load_state
from kedge.engine.state import EngineState
from kedge.engine.summary import summarise
from kedge.kernel.bounds import prove_account
from kedge.learning.features import FeatureSet
from kedge.risk.gate_state import Situation
from kedge.strategy.base import Strategy
from kedge.strategy.registry import make_strategy

WALLET_PROVED_MAX_E8: Final = 10**17
"""A billion in the quote currency: up to here no sum over the account can reach 2^63, or the engine refuses to start."""


class Engine:
    """One account's engine.

    Parameters
    ----------
    settings : EngineSettings
        What to do; its hash stands in the journal.
    instruments : sequence of Instrument
        What may be traded, ordered by id.
    strategy : Strategy, optional
        A strategy of your own, or one with a model; by default the shipped one that the settings name.

    Raises
    ------
    InvalidConfig
        The strategy's model was trained on bars of another length.
    """

    def __init__(self, settings: EngineSettings, instruments: Sequence[Instrument], strategy: Strategy | None = None) -> None:
        self.settings = settings
        self.strategy = strategy if strategy is not None else make_strategy(settings.strategy, settings.params)
        _check_interval(settings, self.strategy)
        prove_account(instruments, wallet_max_e8=WALLET_PROVED_MAX_E8, impact_max_bps=0)  # impact is the venue's
        features = FeatureSet(self.strategy.features)
        self.state = EngineState(settings, instruments, features)
        self._fold = Fold(self.state, settings, features)
        self._observe = self._fold.observe
        decider = Decider(self.state, settings, self.strategy, self._fold)
        self._decide, self._asker, self._around = decider.decide, decider.asker, decider.worker.around

    def step(self, event: Event) -> tuple[Output, ...]:
        """Learn `event` and say what is wanted now."""
        self._observe(event)
        return self._decide(event)

    def apply(self, event: Event, outputs: Iterable[Output]) -> None:
        """Learn `event` and take over the outputs that were recorded with it."""
        self._observe(event)
        for output in outputs:
            self._fold.absorb(output)

    def situation(self, order: OrderIntent) -> Situation:
        """What the gate looks at beside this order as things stand: for whoever explains what it said."""
        return self._around(order)

    def take_blobs(self) -> dict[str, bytes]:
        """Features that the last step's predictions saw, by SHA-256: the journal keeps them with that step."""
        return self._asker.take_blobs()

    def timers(self) -> tuple[TimerSet, ...]:
        """Timers that are set and have not fired, by due time: whoever recovers an engine sets them again."""
        return tuple(TimerSet(timer_id=name, due_ts_ns=due) for name, due in sorted(self.state.timers.items(), key=lambda t: (t[1], t[0])))

    def snapshot(self) -> bytes:
        """The whole state as canonical bytes."""
        return dump_state(self.state)

    def restore(self, snapshot: bytes) -> None:
        """Replace the state of this fresh engine by a snapshot of one with the same settings."""
        load_state(self.state, snapshot)

    def summary(self) -> dict[str, Any]:
        """Figures for people and tests; see `engine.summary`."""
        return summarise(self.state)


def _check_interval(settings: EngineSettings, strategy: Strategy) -> None:
    trained_ns = getattr(strategy, "interval_ns", settings.interval_ns)
    if trained_ns != settings.interval_ns:
        raise InvalidConfig(
            f"bars of {settings.interval_ns / NS_PER_S:g} s",
            why=f"the model was trained on bars of {trained_ns / NS_PER_S:g} s",
            fix="trade bars of its length, or train on these",
        )
