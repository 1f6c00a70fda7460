"""Requests under way by order: one task each, forgotten when it ends; and the rule that a request that fails is one without an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from kedge.domain.errors import KedgeError
from kedge.domain.venue import Answer, Unanswered

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class Requests:
    """Tasks by client order id.

    Parameters
    ----------
    spawn : callable
        Starts a task whose failure stops the trader.
    """

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, name: str, request: Coroutine[Any, Any, None]) -> None:
        """Start one; a later one of the same name takes its place here, and the earlier one goes on."""
        task = self._spawn(request)
        self.tasks[name] = task
        task.add_done_callback(lambda _: self._ended(name, task))

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        if self.tasks.get(name) is task:
            del self.tasks[name]


async def answered(request: Coroutine[Any, Any, Answer]) -> Answer:
    """The venue's answer; whatever goes wrong on the way, nobody knows what became of the request."""
    try:
        return await request
    except KedgeError as error:
        return Unanswered(error.what)
