"""Where the command line keeps its tokens: one file of the user's configuration folder, by server, for its owner alone.

Rules: a token comes from this file or from `KEDGE_TOKEN`, never from an argument, which every process of the machine could read; a file
that others may read is refused; nothing here is ever printed.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from kedge.domain.errors import InvalidConfig, InvalidInput
from kedge.ops.atomic_file import replace_content
from kedge.ops.folders import user_config_file

TOKEN_VARIABLE: Final = "KEDGE_TOKEN"
FILE_NAME: Final = "credentials.json"
LOCK_NAME: Final = ".credentials.lock"


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A token for one server, and whose it is. `token_id` is its public name."""

    token: str
    token_id: str
    name: str
    expires_at: str | None = None

    def __repr__(self) -> str:
        return f"Credential(token_id={self.token_id!r}, name={self.name!r})"


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    servers: dict[str, Credential]
    schema: str = "kedge/credentials/v1"


def credentials_file() -> Path:
    """Where the tokens lie; it need not exist."""
    return user_config_file().with_name(FILE_NAME)


def token_for(url: str, environ: Mapping[str, str] | None = None) -> str:
    """The token for a server: that of `KEDGE_TOKEN`, else the kept one; empty where there is none.

    Raises
    ------
    InvalidInput, InvalidConfig
        The variable holds no token, or the file is not fit to be trusted.
    """
    given = (os.environ if environ is None else environ).get(TOKEN_VARIABLE, "").strip()
    if given:
        if not given.isascii() or not given.isprintable() or " " in given:
            raise InvalidInput(f"{TOKEN_VARIABLE} holds no token", why="a token is letters, digits and _", fix="kedge token create")
        return given
    kept = _read().servers.get(url)
    return kept.token if kept is not None else ""


def credential(url: str) -> Credential | None:
    """What is kept for a server."""
    return _read().servers.get(url)


def keep(url: str, given: Credential) -> Path:
    """Keep a token for a server, in place of the one before; the file."""
    return _change(lambda servers: {**servers, url: given})


def forget(url: str) -> None:
    """Forget the token of a server."""
    if credentials_file().exists():
        _change(lambda servers: {name: one for name, one in servers.items() if name != url})


def _change(change: Callable[[dict[str, Credential]], dict[str, Credential]]) -> Path:
    path = credentials_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(path.with_name(LOCK_NAME)):
        replace_content(path, msgspec.json.format(msgspec.json.encode(_Kept(change(_read().servers))), indent=2) + b"\n")
    return path


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two commands at once must not lose each other's token."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _read() -> _Kept:
    path = credentials_file()
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            content = file.read()
    except FileNotFoundError:
        return _Kept({})
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077 or found.st_uid != os.getuid():
        why = "others than its owner can read or change it"
        raise InvalidConfig(f"{path} has permissions {mode:04o}", why=why, fix=f"rm {path}, revoke its tokens, kedge login")
    try:
        return msgspec.json.decode(content, type=_Kept)
    except msgspec.MsgspecError:
        raise InvalidConfig(f"{path} cannot be read", why="it is no file of tokens", fix=f"rm {path}, then kedge login") from None
