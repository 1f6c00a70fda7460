"""`kedge people`: who has an account, with which roles; inviting, changing roles, disabling, and set-up links."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kedge.apps import exit_codes
from kedge.apps.api_client import Api, ServerSaid, segment
from kedge.apps.asking import ConfigFile, Folder, Json, Server, Words, api_of, new_key, session_at, text_of, url_of
from kedge.apps.output import emit, print_rows
from kedge.domain.errors import NotFound
from kedge.ops.folders import state_folder

if TYPE_CHECKING:
    from rich.console import Console

COLUMNS: Final = ("name", "display_name", "roles", "state", "person_id", "made_at")


def list_(*, server: Server = None, state_dir: Folder = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """List everybody with an account and their roles.

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
    rows = api_of(server, state_dir, config).get("people")["items"]
    emit({"schema": "kedge/people/v1", "people": rows}, as_json, lambda target: _draw(target, rows))
    return exit_codes.OK


def invite(
    name: str,
    /,
    *,
    role: Words = None,
    display_name: str = "",
    server: Server = None,
    state_dir: Folder = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Invite a person: makes the account and prints the one-time link that sets it up. Needs the scope admin.

    Parameters
    ----------
    name
        What they sign in as.
    role
        What they are trusted with; viewer by default. risk, auditor and admin take an approval: kedge people roles.
    display_name
        How they are shown; the name by default.
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
    body = {"name": name, "display_name": display_name or name, "roles": sorted(set(role or ["viewer"]))}
    _print_link(api.post("people", body, key=new_key()).document, as_json)
    return exit_codes.OK


def roles(
    name: str,
    /,
    *,
    role: Words = None,
    reason: str = "",
    server: Server = None,
    state_dir: Folder = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Set a person's roles, all of them. risk, auditor and admin take two people: with --reason an approval is asked for.

    Parameters
    ----------
    name
        The person's name or id.
    role
        Every role that they have afterwards; without any only their present ones are shown.
    reason
        Why; asks for an approval where one is needed.
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
    person = find(api, name)
    if role is None:
        return _print_person(person, as_json)
    wanted = sorted(set(role))
    try:
        return _print_person(_patch(api, person, {"roles": wanted}), as_json)
    except ServerSaid as error:
        if error.code != "APPROVAL_REQUIRED" or not reason:
            raise
    payload = {"person_id": person["person_id"], "roles": wanted, "version": person["version"]}
    asked = api.post("approvals", {"kind": "role-grant", "payload": payload, "reason": reason}, key=new_key()).document
    answer = {"schema": "kedge/approval-request/v1", "id": asked["id"], "payload_sha256": asked["payload_sha256"], "state": asked["state"]}
    line = f"asked for an approval: {asked['id']}; once approved, kedge approval use {asked['id']}"
    emit(answer, as_json, lambda target: target.print(line, highlight=False))
    return exit_codes.OK


def disable(
    name: str,
    /,
    *,
    restore: bool = False,
    server: Server = None,
    state_dir: Folder = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Disable an account: its sessions and tokens end at once. With --restore it may sign in again.

    Parameters
    ----------
    name
        The person's name or id.
    restore
        Undo it.
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
    return _print_person(_patch(api, find(api, name), {"disabled": not restore}), as_json)


def setup_link(
    name: str = "",
    /,
    *,
    local: bool = False,
    server: Server = None,
    state_dir: Folder = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Print a new one-time set-up link, good for 24 hours. Without a name it is that of the first account, as long as there is none.

    With a name it is for somebody who lost every way in: an admin proves their identity at the terminal. `--local` makes it by access to
    this machine's files instead, for when no admin can sign in; that too is an act in the journal.

    Parameters
    ----------
    name
        The person's name or id.
    local
        Write to the store of this state folder instead of asking the server.
    server
        Its address; by default KEDGE_SERVER, else the server of this state folder.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    if local or not name:
        _print_local(state_folder(config, state_dir), name, _origin(server, state_dir, config), as_json)
        return exit_codes.OK
    url = url_of(server, state_dir, config)
    with session_at(url, "/people") as session:
        person = find(session, name)
        link = session.post(f"people/{segment(person['person_id'])}/setup-links", {}, key=new_key()).document
    _print_link(link, as_json)
    return exit_codes.OK


def find(api: Api, name: str) -> dict[str, Any]:
    """A person by id or name.

    Raises
    ------
    NotFound
    """
    rows: list[dict[str, Any]] = api.get("people")["items"]
    folded = name.strip().casefold()
    for row in rows:
        if row["person_id"] == name or row["name"].casefold() == folded:
            return row
    raise NotFound(f"no person {name[:40]!r}", why="nobody has this name or id", fix="kedge people list")


def _patch(api: Api, person: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    path = f"people/{segment(person['person_id'])}"
    changed: dict[str, Any] = api.patch(path, change, etag=f'"{person["version"]}"').document
    return changed


def _print_local(folder: Path, name: str, origin: str, as_json: bool) -> None:
    from kedge.services.people.local import local_setup_link

    print_setup_link(f"{origin}/setup#{local_setup_link(folder, name)}", as_json)


def _origin(server: str | None, state_dir: str | None, config: Path | None) -> str:
    """Where the link leads: to the server that runs, by the name that passkeys can belong to; else to the one that will by default."""
    from urllib.parse import urlsplit

    from kedge.apps.api_client import ServerSilent
    from kedge.apps.serve import DEFAULT_PORT

    try:
        parts = urlsplit(url_of(server, state_dir, config))
    except ServerSilent:
        return f"http://localhost:{DEFAULT_PORT}"
    return f"{parts.scheme}://localhost:{parts.port}" if parts.scheme == "http" else f"{parts.scheme}://{parts.netloc}"


def print_setup_link(link: str, as_json: bool) -> None:
    """A link on stdout, once."""
    line = f"open {link}\nwithin 24 hours, once; whoever has it can set the account up"
    emit({"schema": "kedge/setup-link/v1", "setup_link": link}, as_json, lambda target: target.print(line, highlight=False, soft_wrap=True))


def _print_link(invited: dict[str, Any], as_json: bool) -> None:
    person, link = invited["person"], invited["setup_link"]
    line = f"for {person['name']} ({text_of(person['roles'])}), within 24 hours, once:\n{link}"
    payload = {"schema": "kedge/invitation/v1", "person": person, "setup_link": link}
    emit(payload, as_json, lambda target: target.print(line, highlight=False, soft_wrap=True))


def _print_person(person: dict[str, Any], as_json: bool) -> int:
    emit({"schema": "kedge/person/v1", "person": person}, as_json, lambda target: _draw(target, [person]))
    return exit_codes.OK


def _draw(target: Console, rows: list[dict[str, Any]]) -> None:
    print_rows(target, COLUMNS, [[text_of(row[name]) for name in COLUMNS] for row in rows])
