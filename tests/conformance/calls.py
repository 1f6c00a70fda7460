"""Which calls of a client are checked, and whether they were made: one check per call, under the client's own name for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

Check = Callable[..., Any]


class Calls:
    """The checks of one client, by the name of the call that each is about."""

    def __init__(self, client: str) -> None:
        self.client = client
        self.checks: dict[str, Check] = {}

    def check(self, name: str) -> Callable[[Check], Check]:
        """Register the decorated check for a call that has none yet."""

        def register(check: Check) -> Check:
            assert name not in self.checks, f"{name} of {self.client} is checked twice"
            self.checks[name] = check
            return check

        return register

    @property
    def names(self) -> list[str]:
        return sorted(self.checks)


class Watched:
    """A client that remembers which of its calls came back without an error. Everything else about it is the client's own."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.passed: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found
        return partial(self._call_async if inspect.iscoroutinefunction(found) else self._call, name, found)

    def _call(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        answer = method(*args, **kwargs)
        self.passed.add(name)
        return answer

    async def _call_async(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        answer = await method(*args, **kwargs)
        self.passed.add(name)
        return answer
