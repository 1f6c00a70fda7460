"""Who was known a moment ago: what lets somebody brake while the store of people does not answer.

Rules: only a cookie or token that the store itself vouched for within the last minutes counts, kept as its hash, and one that it stops
vouching for is forgotten at once. It opens nothing but the brake: engaging is the safe way to be wrong.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from kedge.api.cookies import Given
from kedge.domain.people import Actor

KNOWN_S: Final = 10 * 60
KEPT_MAX: Final = 1_000


class KnownActors:
    """The last ones that were identified.

    Parameters
    ----------
    monotonic_s : callable
        The clock.
    """

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._known: OrderedDict[bytes, tuple[Actor, float]] = OrderedDict()

    def note(self, given: Given, actor: Actor | None) -> None:
        """What the store just said of this cookie or token; None: it vouches for nobody."""
        key = _key(given)
        self._known.pop(key, None)
        if actor is not None:
            self._known[key] = (actor, self._monotonic_s())
        while len(self._known) > KEPT_MAX:
            self._known.popitem(last=False)

    def find(self, given: Given) -> Actor | None:
        """Whom the store vouched for within the last minutes; None where that was nobody."""
        if bool(given.session) == bool(given.bearer):
            return None
        actor, at_s = self._known.get(_key(given), (None, 0.0))
        return actor if actor is not None and self._monotonic_s() - at_s <= KNOWN_S else None


def _key(given: Given) -> bytes:
    return hashlib.sha256(f"{len(given.session)}|{given.session}|{given.bearer}".encode("utf-8", "replace")).digest()
