"""The trading loop: one for backtest, paper, testnet and live. Only the source of events and the gateway differ.

`step -> commit -> send`: what is wanted is durable (or grouped, where nothing leaves the process) before it is sent.
If the append fails nothing is sent. What a model saw is kept with the step that records its word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kedge.domain.events import Event
from kedge.domain.ports import Gateway, Journal
from kedge.engine.engine import Engine


def run(
    engine: Engine,
    events: Iterable[Event],
    journal: Journal,
    gateway: Gateway,
    *,
    every: int = 0,
    then: Callable[[Event], None] | None = None,
) -> None:
    """Drive `engine` through `events`.

    Parameters
    ----------
    every, then
        After each `every` events call `then(event)`: progress, status, snapshots. 0 never calls it.
    """
    step, take_blobs, keep, commit, send = engine.step, engine.take_blobs, journal.keep, journal.commit, gateway.send
    left = every
    for event in events:
        outputs = step(event)
        if outputs and (blobs := take_blobs()):
            keep(blobs)
        commit(event, outputs)
        if outputs:
            send(outputs)
        if left:
            left -= 1
            if not left:
                left = every
                if then is not None:
                    then(event)
    journal.flush()
