"""`kedge token`: one's API tokens. Making one takes a person at the terminal; the text is printed once and kept nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kedge.apps import exit_codes
from kedge.apps.api_client import segment
from kedge.apps.asking import ConfigFile, Folder, Json, Server, Words, new_key, session_at, text_of, url_of
from kedge.apps.output import emit, print_rows
from kedge.domain.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console

COLUMNS: Final = ("token_id", "label", "scopes", "made_at", "expires_at", "used_at", "revoked_at")
DAYS_DEFAULT: Final = 90


def list_(*, server: Server = None, state_dir: Folder = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """List your tokens, those that ended too. Asks for password and code.

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
    with session_at(url, "/account") as session:
        rows = session.get("me/tokens")["items"]
    emit({"schema": "kedge/tokens/v1", "tokens": rows}, as_json, lambda target: _draw(target, rows))
    return exit_codes.OK


def create(
    label: str,
    /,
    *,
    scope: Words = None,
    days: int = DAYS_DEFAULT,
    address: Words = None,
    server: Server = None,
    state_dir: Folder = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Make a token and print it, once. Asks for password and code.

    Parameters
    ----------
    label
        What it is for.
    scope
        What it may be used for, never more than your roles: read, brake:engage, brake:release, trade:paper, trade:live, risk:write,
        model:approve, audit:read, admin.
    days
        How long it lives, at most 366.
    address
        Addresses or networks that it may come from, such as 10.0.0.0/24; any by default.
    server
        Its address; by default KEDGE_SERVER, else the server of this state folder.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    if not scope:
        raise InvalidInput("no --scope", why="a token without scopes can do nothing", fix="such as --scope read")
    url = url_of(server, state_dir, config)
    body = {"label": label, "scopes": list(scope), "days": days, "addresses": list(address or ())}
    with session_at(url, "/account") as session:
        made = session.post("me/tokens", body, key=new_key()).document
    payload = {"schema": "kedge/token/v1", **made}
    emit(payload, as_json, lambda target: target.print(made["token"], highlight=False, soft_wrap=True))
    return exit_codes.OK


def revoke(token_id: str, /, *, server: Server = None, state_dir: Folder = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """End a token of yours, at once. Asks for password and code.

    Parameters
    ----------
    token_id
        Its id, from the list.
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
    with session_at(url, "/account") as session:
        session.delete(f"me/tokens/{segment(token_id)}")
    payload = {"schema": "kedge/token-revoked/v1", "token_id": token_id}
    emit(payload, as_json, lambda target: target.print(f"{token_id} is revoked", highlight=False))
    return exit_codes.OK


def _draw(target: Console, rows: list[dict[str, Any]]) -> None:
    print_rows(target, COLUMNS, [[None if row[name] is None else text_of(row[name]) for name in COLUMNS] for row in rows])
