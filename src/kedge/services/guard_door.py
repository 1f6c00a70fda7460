"""The way to the guard for everybody on this machine: engage at its door or by a file, read its last word, hand it a release.

Rules: engaging never waits for long and never fails silently: what the guard does not take over HTTP within seconds is left in its folder,
and the answer says which of the two it was. Nothing here needs the database, the API or a trader.
"""

from __future__ import annotations

import http.client
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from kedge.domain.brake import ENGAGEABLE, BrakeLevel, Latch
from kedge.domain.errors import Conflict, Forbidden, InvalidInput, KedgeError, NotFound, VenueUnavailable
from kedge.ops.guard_files import BrakeRequest, drop_request, operator_token, read_status
from kedge.ops.health_file import GUARD, read_health_file
from kedge.ops.latch_file import LatchFile, guard_folder, latch_path
from kedge.storage.guard_journal import GUARD_JOURNAL, known_generation

WITHIN_S: Final = 2.0
RELEASE_WITHIN_S: Final = 5.0
"""The guard reads the venue anew before it lets go."""
ANSWER_MAX_BYTES: Final = 4 * 1024 * 1024
REASON_CHARS_MAX: Final = 500
NO_REASON: Final = "no reason was given"
ENGAGED_BY_DOOR: Final = "guard"
ENGAGED_BY_FILE: Final = "request"
WORDS: Final = {
    "reduce-only": BrakeLevel.REDUCE_ONLY,
    "halt": BrakeLevel.HALTED,
    "flatten": BrakeLevel.FLATTENING,
    **{str(level): level for level in ENGAGEABLE},
}
"""What people call the levels that may be asked for."""


class Engaged(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a wish to engage.

    Attributes
    ----------
    via : str
        'guard': it answered, and its latch is on the disk unless `is_durable` says otherwise; 'request': a file waits for it.
    level : BrakeLevel
        The level now; of a request, the one asked for.
    generation : int or None
        Of the latch; None where the guard has not said.
    why : str
        Why the door did not answer; empty where it did.
    """

    via: str
    level: BrakeLevel
    generation: int | None
    is_durable: bool
    reason: str
    actor_id: str
    at_wall_ns: int
    why: str = ""


def level_of(word: str) -> BrakeLevel:
    """The level that a person names.

    Raises
    ------
    InvalidInput
        There is none of that name that may be asked for.
    """
    level = WORDS.get(word.strip().lower())
    if level is None:
        raise InvalidInput(f"level {word[:40]!r}", why="it is reduce-only, halt or flatten", fix="name one of these")
    return level


def readable_reason(reason: str) -> str:
    """A reason in one line that somebody can read later. Braking never fails for lack of words, or for too many."""
    return " ".join(reason.split())[:REASON_CHARS_MAX] or NO_REASON


def engage(state_folder: Path, level: BrakeLevel, *, actor_id: str, reason: str, source: str, wall_ns: int) -> Engaged:
    """Engage the brake: at the guard's door, else by a file that it takes as soon as it turns again.

    Raises
    ------
    InvalidInput
        The level cannot be asked for.
    RecordingFailed
        Neither door nor folder took it: nobody was told.
    """
    reason = readable_reason(reason)
    if level not in ENGAGEABLE:
        raise InvalidInput(f"level {level}", why="a person asks for reduce-only, halt or flatten", fix="name one of these")
    try:
        said = _ask(
            state_folder,
            "POST",
            "/engage",
            {"level": str(level), "reason": reason, "actor_id": actor_id, "source": source},
            {"Authorization": f"Bearer {operator_token(state_folder)}"},
        )
        latch = msgspec.convert(said["latch"], Latch)
        return Engaged(
            via=ENGAGED_BY_DOOR, level=latch.level, generation=latch.generation, is_durable=bool(said["is_durable"]),
            reason=latch.reason, actor_id=latch.actor_id, at_wall_ns=latch.changed_wall_ns,
        )  # fmt: skip
    except (KedgeError, KeyError, TypeError, ValueError) as error:
        why = error.what if isinstance(error, KedgeError) else f"its answer cannot be read: {error}"
    drop_request(state_folder, BrakeRequest(level=level, actor_id=actor_id, reason=reason, source=source, asked_wall_ns=wall_ns))
    return Engaged(
        via=ENGAGED_BY_FILE, level=level, generation=None, is_durable=True, reason=reason, actor_id=actor_id, at_wall_ns=wall_ns, why=why
    )


def release(state_folder: Path, record: str) -> dict[str, Any]:
    """Hand the guard a signed approval; its latch after it let go, as plain data.

    Raises
    ------
    VenueUnavailable
        The guard does not answer.
    Conflict, Forbidden, InvalidInput
        It does not let go, in its own words.
    """
    return _ask(state_folder, "POST", "/release", {"record": record}, {}, within_s=RELEASE_WITHIN_S)


def status(state_folder: Path, *, live: bool = True) -> dict[str, Any]:
    """What the guard says of itself, `source` naming where from: its door ('guard'), else the copy that it left ('file').

    Raises
    ------
    NotFound, IntegrityError
        No guard has run here, or its copy is damaged.
    """
    if live:
        try:
            return {**_ask(state_folder, "GET", "/status", None, {}), "age_s": 0.0, "alive": True, "fresh": True, "source": "guard"}
        except KedgeError:
            pass
    return {**read_status(state_folder, datetime.now(UTC)), "source": "file"}


def latch_on_disk(state_folder: Path, account: str) -> dict[str, Any]:
    """The latch as its file has it, which counts where no guard turns; HALTED where the file cannot be relied upon."""
    journal = guard_folder(state_folder) / GUARD_JOURNAL
    latch = LatchFile(latch_path(state_folder), account, known=lambda: known_generation(journal)).read()
    found: dict[str, Any] = msgspec.to_builtins(latch)
    return found


def door_url(state_folder: Path) -> str:
    """Where the guard of this state folder answers.

    Raises
    ------
    VenueUnavailable
        None runs.
    """
    try:
        found = read_health_file(state_folder, GUARD, datetime.now(UTC))
    except KedgeError:
        found = {"alive": False}
    if not found["alive"]:
        raise VenueUnavailable("no guard is running here", why=f"nothing guards {state_folder}", fix="kedge up, or kedge guard")
    return str(found["url"])


def _ask(
    state_folder: Path, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str], within_s: float | None = None
) -> dict[str, Any]:
    url = door_url(state_folder)
    parts = urlsplit(url)
    link = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=WITHIN_S if within_s is None else within_s)
    try:
        content = None if body is None else json.dumps(body).encode()
        sent = {"Accept": "application/json", **({"Content-Type": "application/json"} if body is not None else {}), **headers}
        link.request(method, path, content, sent)
        answer = link.getresponse()
        found = json.loads(answer.read(ANSWER_MAX_BYTES))
        if not isinstance(found, dict):
            raise ValueError("no object")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise VenueUnavailable(
            f"the guard does not answer at {url}", why=str(error) or type(error).__name__, fix="look at its log; kedge doctor"
        ) from None
    finally:
        link.close()
    if answer.status >= 300:
        raise _said(answer.status, found)
    return found


def _said(status: int, found: dict[str, Any]) -> KedgeError:
    """The guard's refusal, in its own words."""
    what, why, fix = (str(found.get(name) or "") for name in ("what", "why", "fix"))
    kinds: dict[int, type[KedgeError]] = {400: InvalidInput, 403: Forbidden, 404: NotFound, 409: Conflict}
    kind = kinds.get(status, VenueUnavailable)
    return kind(what or f"the guard answered {status}", why=why or "it gave no reason", fix=fix or "look at its log")
