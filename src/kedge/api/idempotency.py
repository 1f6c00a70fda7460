"""Requests that have one effect however often they are sent: the Idempotency-Key of whoever asks, kept with the answer for a day.

Rules: the effect and the stored answer are one transaction, so that neither a crash nor a repeat can part them; the same key with another
body is refused; an answer that holds a secret is not kept, and a repeat is told so. What failed is not kept: it is tried anew.

In a route, where the effect is a plain function that runs in a thread and calls the desk of people::

    @router.post("/things", status_code=201, ...)
    async def make(request: Request, actor: ..., key: Annotated[str, Depends(keyed)], body: ThingBody) -> Response:
        return await once(request, key, lambda: Made(document, headers={"Location": ...}), body)
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Final

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

from kedge.api.asked import asked_of
from kedge.api.identity import repeats_of
from kedge.domain.errors import Conflict, InvalidInput
from kedge.services.people.repeats import Kept, Made, Wanted

KEY_HEADER: Final = "idempotency-key"
KEY_MAX: Final = 128
_VISIBLE: Final = frozenset(map(chr, range(0x21, 0x7F)))


class KeyMissing(InvalidInput):
    """A request that makes something needs a key. Reaction: send one."""

    code = "KEY_MISSING"


class AnswerNotKept(Conflict):
    """It was done; its answer held a secret. Reaction: look at what is there."""

    code = "ANSWER_NOT_KEPT"


async def keyed(request: Request) -> str:
    """The request's key, with or without the quotes of a structured field; a route that makes something depends on it.

    Raises
    ------
    KeyMissing
        There is none, or it is none.
    """
    given = request.headers.get(KEY_HEADER, "").strip()
    key = given[1:-1] if len(given) > 1 and given[0] == given[-1] == '"' else given
    if not key or len(key) > KEY_MAX or not _VISIBLE.issuperset(key) or '"' in key:
        what = "Idempotency-Key is missing" if not given else "Idempotency-Key is none"
        raise KeyMissing(
            what, why=f"1 to {KEY_MAX} visible ASCII characters say which requests are one", fix="send a new random one, such as a UUID"
        )
    return key


async def once(request: Request, key: str, effect: Callable[[], Made], body: BaseModel, *, secret: bool = False) -> Response:
    """The answer of the effect, made now or kept from before.

    Parameters
    ----------
    effect : callable
        Makes it; runs in a thread, inside the transaction that keeps the answer.
    secret : bool
        The answer holds a secret: it is not kept.

    Raises
    ------
    KeyReused, StillRunning, AnswerNotKept
        The key was used.
    """
    text = f"{request.method} {request.url.path}\n{body.model_dump_json()}"
    wanted = Wanted(
        actor_id=asked_of(request).who,
        key=key,
        route=f"{request.method} {request.url.path}"[:200],
        fingerprint=hashlib.sha256(text.encode("utf-8")).hexdigest(),
        keeps_answer=not secret,
    )
    return answered(await asyncio.to_thread(repeats_of(request).once, wanted, effect))


def answered(kept: Kept) -> Response:
    """What was made or kept, as an answer."""
    if kept.replayed and not kept.has_answer:
        raise AnswerNotKept(
            "this was done before, under the same Idempotency-Key",
            why="its answer held a secret, which is shown once and kept nowhere",
            fix="look at the list; remove what you cannot use and make another with a new key",
        )
    headers = {**kept.headers, **({"Idempotent-Replayed": "true"} if kept.replayed else {})}
    return Response(kept.body, kept.status, headers, "application/json")
