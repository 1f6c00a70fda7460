"""The guard's small files beside its latch: the operator's token, the permits' key, requests of people, its status, the server's key.

Rules: every secret is made once, is readable by its owner alone and refused where others can read it; a request is one file that is there
whole or not at all; the status is a copy for readers, nothing is ever decided by it.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from kedge.domain.brake import ENGAGEABLE, BrakeLevel
from kedge.domain.errors import IntegrityError, InvalidConfig, NotFound, RecordingFailed
from kedge.ops.atomic_file import replace_content
from kedge.ops.health_file import STALE_AFTER_S, is_alive
from kedge.ops.latch_file import guard_folder

OPERATOR_TOKEN: Final = "operator.token"
PERMIT_KEY: Final = "permit.key"
SERVER_KEY: Final = "server.pub"
STATUS: Final = "status.json"
REQUESTS: Final = "requests"
LOCK: Final = "guard.lock"
KEY_BYTES: Final = 32
REQUEST_BYTES_MAX: Final = 16 * 1024
REQUESTS_AT_ONCE: Final = 100
REQUEST_SCHEMA: Final = "kedge/brake-request/v1"


class BrakeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person's wish that the brake be engaged, left in a file for a guard that does not answer.

    Attributes
    ----------
    source : str
        By which door it came: 'cli', 'browser', 'token' or 'file'.
    """

    level: BrakeLevel
    actor_id: str
    reason: str
    source: str
    asked_wall_ns: int
    schema: str = REQUEST_SCHEMA


def lock_path(state_folder: Path) -> Path:
    """The lock of the one guard of a state folder, which is one account's."""
    return guard_folder(state_folder) / LOCK


# secrets --------------------------------------------------------------------------------------------------------------


def operator_token(state_folder: Path) -> str:
    """What engaging at the guard's own door takes; made on first use.

    Raises
    ------
    InvalidConfig
        Others than its owner may read it, or it is damaged.
    RecordingFailed
        It cannot be made.
    """
    return _secret(guard_folder(state_folder) / OPERATOR_TOKEN, "operator token").hex()


def permit_key(state_folder: Path) -> bytes:
    """What permits are signed with, shared by guard and trader; made on first use. Errors as `operator_token`."""
    return _secret(guard_folder(state_folder) / PERMIT_KEY, "permit key")


def _secret(path: Path, what: str) -> bytes:
    try:
        if not path.exists():
            _create(path, secrets.token_hex(KEY_BYTES).encode() + b"\n")
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_bytes()[: 4 * KEY_BYTES].decode("ascii", "replace").strip()
    except OSError as error:
        raise RecordingFailed(
            f"the {what} {path} cannot be had", why=error.strerror or str(error), fix="check the folder's permissions and the disk"
        ) from None
    if mode & 0o077:
        raise InvalidConfig(
            f"the {what} {path} has permissions {mode:04o}", why="others than its owner can read or change it", fix=f"rm {path}"
        )
    if len(text) != 2 * KEY_BYTES or set(text) - set("0123456789abcdef"):
        raise InvalidConfig(f"the {what} {path} is damaged", why=f"it holds no {KEY_BYTES} bytes in hex", fix=f"rm {path}")
    return bytes.fromhex(text)


def _create(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}"
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # a link fails where another process was faster, and then its secret is the secret
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)


# requests -------------------------------------------------------------------------------------------------------------


def requests_folder(state_folder: Path) -> Path:
    """Where requests wait for the guard."""
    return guard_folder(state_folder) / REQUESTS


def drop_request(state_folder: Path, request: BrakeRequest) -> Path:
    """Leave a request; durable on return. The guard takes it within a fifth of a second of seeing it, or when it starts.

    Raises
    ------
    RecordingFailed
        The disk is full or failing, or the folder cannot be written: then nobody was told.
    """
    folder = requests_folder(state_folder)
    path = folder / f"{request.asked_wall_ns:020d}-{secrets.token_hex(4)}.json"
    draft = path.with_name(f".{path.name}")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(request))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
        _sync(folder)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise RecordingFailed(
            f"cannot leave a request in {folder}", why=error.strerror or str(error), fix="free space, mend permissions, then ask again"
        ) from None
    return path


def waiting_requests(state_folder: Path) -> list[Path]:
    """The requests that nobody has taken yet, oldest first, at most `REQUESTS_AT_ONCE`; none where there is no folder."""
    try:
        names = sorted(name for name in os.listdir(requests_folder(state_folder)) if not name.startswith("."))
    except OSError:
        return []
    return [requests_folder(state_folder) / name for name in names[:REQUESTS_AT_ONCE]]


def read_request(path: Path) -> BrakeRequest:
    """What a request says. Whoever leaves a file there wants the brake: one that cannot be read asks for HALTED. Never raises."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
            found = msgspec.json.decode(file.read(REQUEST_BYTES_MAX), type=BrakeRequest)
        if found.level in ENGAGEABLE and found.schema == REQUEST_SCHEMA:
            return found
        why = f"it asks for {found.level} by {found.schema[:40]}"
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        why = str(error)
    return BrakeRequest(
        level=BrakeLevel.HALTED,
        actor_id="unknown",
        reason=f"a request that cannot be read: {why}"[:200],
        source="file",
        asked_wall_ns=0,
    )


def remove_request(path: Path) -> None:
    """Take a request away once it is carried out. One that cannot be removed is carried out again, which changes nothing."""
    with suppress(OSError):
        path.unlink()


# the copy for readers -------------------------------------------------------------------------------------------------


def status_path(state_folder: Path) -> Path:
    """The guard's last word, for everybody who reads this state folder."""
    return guard_folder(state_folder) / STATUS


def write_status(state_folder: Path, content: bytes) -> None:
    """Replace the copy: the bytes of a JSON object with `pid` and `written_wall_ns`. Raises OSError where it cannot be written."""
    status_path(state_folder).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_content(status_path(state_folder), content)


def read_status(state_folder: Path, now: datetime) -> dict[str, Any]:
    """The guard's last word, judged: adds `age_s`, `alive` (its writer's process exists) and `fresh` (alive and young).

    Raises
    ------
    NotFound
        No guard has run with this state folder.
    IntegrityError
        The file is none of its.
    """
    path = status_path(state_folder)
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        age_s = now.astimezone(UTC).timestamp() - int(found["written_wall_ns"]) / 1e9
        alive = is_alive(int(found["pid"]))
    except FileNotFoundError:
        raise NotFound("no guard has run here", why=f"{path} does not exist", fix="kedge up, or kedge guard") from None
    except (OSError, OverflowError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{path} is not readable", why=f"{type(error).__name__}: {error}", fix="the guard writes it again") from None
    return {**found, "age_s": round(age_s, 3), "alive": alive, "fresh": alive and abs(age_s) < STALE_AFTER_S}


# the server's key -----------------------------------------------------------------------------------------------------


def pinned_server_key(state_folder: Path, offered: str | None) -> str:
    """The text of the server's public key that releases are checked with. The first one that is seen stays: another takes a person.

    Parameters
    ----------
    offered : str or None
        The key that lies in the state folder now; taken where none is pinned yet. None where there is none.

    Raises
    ------
    NotFound
        None is pinned, and none is offered.
    IntegrityError
        Another one is offered than the one that is pinned.
    RecordingFailed
        The file cannot be read or made.
    """
    path = guard_folder(state_folder) / SERVER_KEY
    try:
        if not path.exists():
            if offered is None:
                raise NotFound("no server's key is pinned", why="no server has signed anything here yet", fix="kedge serve")
            _create(path, offered.strip().encode() + b"\n")
        pinned = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingFailed(f"{path} cannot be had", why=str(error), fix="check the folder's permissions and the disk") from None
    if offered is not None and offered.strip() != pinned:
        raise IntegrityError(
            "the server signs with another key than the one that the guard trusts",
            why=f"{path} holds the first one that was seen",
            fix=f"if the key was changed on purpose: rm {path}; the guard then takes the new one",
        )
    return pinned


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
