"""`kedge login`, `logout` and `whoami`: how a command line gets a token of its own, gives it back, and says whose it is.

The way is RFC 8628: a code is shown here, a person confirms it in a browser, and only then a token is fetched. No password passes here.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from contextlib import suppress
from time import sleep
from typing import Annotated, Any, Final

from cyclopts import Parameter

from kedge.apps import credentials, exit_codes
from kedge.apps.api_client import Api, ServerSaid, segment
from kedge.apps.asking import ConfigFile, Folder, Json, Server, Words, api_of, url_of
from kedge.apps.output import emit
from kedge.domain.errors import KedgeError, NotSignedIn

SCOPES: Final = ("read", "brake:engage", "brake:release")
"""What a command line gets unless told otherwise: look, stop, and let go on."""
PENDING: Final = 202
WORTHLESS: Final = ("NOT_SIGNED_IN", "NOT_FOUND")
"""What the server says of a token that it does not know (any more)."""


def login(
    *,
    scope: Words = None,
    label: str = "",
    server: Server = None,
    state_dir: Folder = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Sign this command line in: shows a code, which a person confirms in a browser, then keeps a token for this server.

    Parameters
    ----------
    scope
        What the token may be used for, never more than your roles: read, brake:engage, brake:release, trade:paper, trade:live, risk:write,
        model:approve, audit:read, admin. By default the first three.
    label
        What the token is called in your account; user and machine by default.
    server
        Its address; by default KEDGE_SERVER, else the server of this state folder.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    api = Api(url_of(server, state_dir, config))
    before = credentials.credential(api.url)  # a file that is not fit to keep a token is told before there is one
    device = api.post("device-codes", {"label": label or _own_label(), "scopes": list(scope or SCOPES)}).document
    print(f"open {device['verification_url']}\nand confirm the code {device['user_code']}", file=sys.stderr, flush=True)
    given = _wait(api, device)
    me = Api(api.url, given["token"]).get("session")
    name = (me["person"] or {}).get("name", "")
    kept = credentials.Credential(token=given["token"], token_id=given["token_id"], name=name, expires_at=given["expires_at"])
    path = credentials.keep(api.url, kept)
    if before is not None:
        with suppress(KedgeError):  # it ends by itself
            Api(api.url, before.token).delete(f"me/tokens/{segment(before.token_id)}")
    payload = {"schema": "kedge/login/v1", "server": api.url, "name": name, "scopes": given["scopes"], "expires_at": given["expires_at"]}
    emit(payload, as_json, lambda target: target.print(f"signed in to {api.url} as {name}; the token lies in {path}", highlight=False))
    return exit_codes.OK


def _wait(api: Api, device: dict[str, Any]) -> dict[str, Any]:
    """The token, once somebody has confirmed the code."""
    deadline = time.monotonic() + device["expires_in_s"]
    while time.monotonic() < deadline:
        answer = api.post("device-tokens", {"device_code": device["device_code"]})
        if answer.status != PENDING:
            return dict(answer.document)
        sleep(answer.document["interval_s"])
    raise NotSignedIn("nobody confirmed the code", why=f"it was good for {device['expires_in_s']} s", fix="kedge login shows a new one")


def _own_label() -> str:
    from kedge.services.people.telling import local_actor

    return f"{local_actor().name}@{platform.node() or 'unknown'}"[:60]


def logout(*, server: Server = None, state_dir: Folder = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """Revoke the token that is kept for a server, and forget it.

    Parameters
    ----------
    server
        Its address; by default KEDGE_SERVER, else the server of this state folder.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    url = url_of(server, state_dir, config)
    kept = credentials.credential(url)
    if kept is None:
        raise NotSignedIn(f"nobody is signed in to {url}", why="no token is kept for it", fix="nothing needs to be done")
    revoked = True
    try:
        Api(url, kept.token).delete(f"me/tokens/{segment(kept.token_id)}")
    except ServerSaid as error:
        if error.code not in WORTHLESS:
            raise
        revoked = False
    credentials.forget(url)
    words = "revoked" if revoked else "it was worth nothing any more"
    payload = {"schema": "kedge/logout/v1", "server": url, "revoked": revoked}
    emit(payload, as_json, lambda target: target.print(f"signed out of {url}: the token is forgotten, {words}", highlight=False))
    return exit_codes.OK


def whoami(
    *,
    server: Server = None,
    state_dir: Folder = None,
    config: ConfigFile = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Say who this command line acts as, with which roles and scopes, on which server.

    Parameters
    ----------
    server
        Its address; by default KEDGE_SERVER, else the server of this state folder.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    api = api_of(server, state_dir, config)
    me = api.get("session")
    person = me["person"] or {}
    payload = {
        "schema": "kedge/whoami/v1",
        "server": api.url,
        "name": person.get("name"),
        "person_id": person.get("person_id"),
        "roles": me["roles"],
        "scopes": me["scopes"],
        "token_from": credentials.TOKEN_VARIABLE if os.environ.get(credentials.TOKEN_VARIABLE) else str(credentials.credentials_file()),
    }
    emit(payload, as_json)
    return exit_codes.OK
