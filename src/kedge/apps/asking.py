"""What the commands about people share: which server they ask, with what identity, and a proof of identity at the terminal.

Rules: an act that no token may do is done in a session that begins with password and code at the terminal, does that one thing, and ends.
Nothing that is typed there is an argument, an output or kept.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from kedge.apps.api_client import Answer, Api, server_url
from kedge.apps.credentials import credential
from kedge.domain.errors import KedgeError, NotSignedIn
from kedge.ops.folders import state_folder

Server = Annotated[str | None, Parameter(name="--server")]
Folder = Annotated[str | None, Parameter(name="--state-dir")]
ConfigFile = Annotated[Path | None, Parameter(name=["--config", "-c"])]
Json = Annotated[bool, Parameter(name="--json")]
Words = Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")]

SESSION_COOKIE: Final = "__Host-kedge"


def url_of(server: str | None, state_dir: str | None, config: Path | None) -> str:
    """The server that is asked."""
    return server_url(server, state_folder(config, state_dir), os.environ)


def api_of(server: str | None, state_dir: str | None, config: Path | None) -> Api:
    """The server, asked with the token that is kept for it."""
    return Api.signed_in(url_of(server, state_dir, config))


def new_key() -> str:
    """An Idempotency-Key: this request and its repeats are one."""
    return str(uuid.uuid4())


@contextmanager
def session_at(url: str, page: str) -> Iterator[Api]:
    """A session of its own, begun with password and code at this terminal and ended with the block.

    Parameters
    ----------
    page : str
        Where a browser does the same, for who has a passkey only.

    Raises
    ------
    NotSignedIn
        There is no terminal to ask at.
    ServerSaid
        Name, password or code is wrong.
    """
    if not sys.stdin.isatty():
        raise NotSignedIn(
            "this needs a person, not a token", why="there is no terminal to prove it at", fix=f"at a terminal, or {url}{page}"
        )
    known = credential(url)
    name, password, code = _asked(known.name if known is not None else "")
    answer = Api(url).post("sign-in/password", {"name": name, "password": password, "code": code})
    session = Api(url).with_headers(Cookie=f"{SESSION_COOKIE}={_cookie(answer)}", X_Kedge_CSRF=str(answer.document["csrf"]), Origin=url)
    try:
        yield session
    finally:
        with suppress(KedgeError):  # it ends by itself; what was done stays done
            session.delete("session")


def _asked(known: str) -> tuple[str, str, str]:
    from getpass import getpass

    print(f"name{f' [{known}]' if known else ''}: ", end="", file=sys.stderr, flush=True)
    name = sys.stdin.readline().strip() or known
    return name, getpass("password: "), getpass("code of the authenticator app, or a recovery code: ").strip()


def _cookie(answer: Answer) -> str:
    for line in answer.cookies:
        found = SimpleCookie(line).get(SESSION_COOKIE)
        if found is not None:
            return found.value
    raise NotSignedIn("the server began no session", why="its answer holds no cookie", fix="kedge serve of this version")


def text_of(value: Any) -> str:
    """A list of words as one."""
    return " ".join(value) if isinstance(value, list) else str(value)
