"""`kedge approval`: what needs two people: asking, looking, deciding, carrying out; and checking a record without the server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from kedge.apps import exit_codes
from kedge.apps.api_client import segment
from kedge.apps.asking import ConfigFile, Folder, Json, Server, api_of, new_key, session_at, url_of
from kedge.apps.output import emit, print_rows, to_json
from kedge.domain.errors import InvalidInput, NotFound
from kedge.ops.folders import state_folder
from kedge.ops.state_folder import keys_folder

if TYPE_CHECKING:
    from rich.console import Console

COLUMNS: Final = ("id", "kind", "state", "requester", "asked_at", "expires_at", "four_eyes", "mark")
LIMIT_MAX: Final = 1000


def list_(
    *,
    state: str | None = None,
    kind: str | None = None,
    limit: int = 50,
    server: Server = None,
    state_dir: Folder = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """List approvals, newest first.

    Parameters
    ----------
    state
        Only those that are requested, approved, refused, withdrawn, expired or used.
    kind
        Only those of this kind, such as role-grant.
    limit
        How many at most.
    server
        Its address; by default KEDGE_SERVER, else the server of this state folder.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    if not 1 <= limit <= LIMIT_MAX:
        raise InvalidInput(f"--limit is {limit}", why=f"it is 1 to {LIMIT_MAX}", fix="leave it out for the newest 50")
    rows = list(api_of(server, state_dir, config).all("approvals", limit=limit, state=state, kind=kind))
    cells = [[row[name] for name in COLUMNS] for row in rows]
    emit({"schema": "kedge/approvals/v1", "approvals": rows}, as_json, lambda target: print_rows(target, COLUMNS, cells))
    return exit_codes.OK


def show(
    approval_id: str,
    /,
    *,
    verify: bool = False,
    key: str = "",
    server: Server = None,
    state_dir: Folder = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Show an approval: what exactly, who asked, who decided, and how. With --verify exits 9 when a hash or signature does not fit.

    Parameters
    ----------
    approval_id
        Its id, or with --verify a file that holds its record.
    verify
        Check the payload's hash, the server's signature of every state, and what the approver's passkey signed.
    key
        The server's public key (ed25519:...), or a file that holds it; by default the one in this state folder.
    server
        Its address; by default KEDGE_SERVER, else the server of this state folder.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    path = Path(approval_id)
    if verify and path.is_file():
        record, shown = path.read_text(encoding="utf-8").strip(), {"id": approval_id}
    else:
        shown = api_of(server, state_dir, config).get(f"approvals/{segment(approval_id)}")
        record = shown["record"]
    found = _findings(record, key, state_folder(config, state_dir)) if verify else None
    payload = {"schema": "kedge/approval/v1", **shown, "verified": None if found is None else not found, "findings": found}
    emit(payload, as_json, lambda target: _draw(target, shown, found))
    return exit_codes.FINDINGS if found else exit_codes.OK


def _findings(text: str, key: str, folder: Path) -> list[str]:
    from kedge.services.people.approval_record import findings, read_record
    from kedge.storage.keys import PublicKey, load_public_key

    if key:
        path = Path(key)
        public = PublicKey.from_text(path.read_text(encoding="utf-8") if path.is_file() else key)
    else:
        public = load_public_key(keys_folder(folder))
    return findings(read_record(text), public)


def request(
    kind: str,
    payload: str,
    /,
    *,
    reason: str,
    server: Server = None,
    state_dir: Folder = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Ask for an approval of exactly this payload.

    Parameters
    ----------
    kind
        What it is for, such as role-grant.
    payload
        A JSON object, or a file that holds one.
    reason
        Why.
    server
        Its address; by default KEDGE_SERVER, else the server of this state folder.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    content = _payload(payload)
    asked = api_of(server, state_dir, config).post("approvals", {"kind": kind, "payload": content, "reason": reason}, key=new_key())
    return _told(asked.document, as_json)


def _payload(text: str) -> dict[str, Any]:
    try:
        raw = text if text.lstrip().startswith("{") else Path(text).read_text(encoding="utf-8")
        found = json.loads(raw)
    except FileNotFoundError:
        raise NotFound(f"no file {text[:80]!r}", why="a payload is a JSON object or such a file", fix="""'{"person_id": ...}'""") from None
    except ValueError as error:
        raise InvalidInput("the payload is no JSON", why=str(error)[:200], fix="""'{"person_id": ...}', or a file""") from None
    if not isinstance(found, dict):
        raise InvalidInput("the payload is no JSON object", why=f"it is a {type(found).__name__}", fix="""'{"person_id": ...}'""")
    return found


def approve(
    approval_id: str,
    /,
    *,
    reason: str = "",
    payload_sha256: Annotated[str, Parameter(name="--sha256")] = "",
    server: Server = None,
    state_dir: Folder = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Approve what is shown. Asks for password and code at the terminal; a passkey, which signs the approval itself, takes a browser.

    Parameters
    ----------
    approval_id
        Its id.
    reason
        Why.
    payload_sha256
        Refuse unless the payload has this hash; shown and taken as it is by default.
    server
        Its address; by default KEDGE_SERVER, else the server of this state folder.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    return _decide(url_of(server, state_dir, config), approval_id, "approve", reason, payload_sha256, as_json)


def refuse(
    approval_id: str,
    /,
    *,
    reason: str,
    server: Server = None,
    state_dir: Folder = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Refuse a request. Asks for password and code at the terminal.

    Parameters
    ----------
    approval_id
        Its id.
    reason
        Why.
    server
        Its address; by default KEDGE_SERVER, else the server of this state folder.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    return _decide(url_of(server, state_dir, config), approval_id, "refuse", reason, "", as_json)


def _decide(url: str, approval_id: str, decision: str, reason: str, sha256: str, as_json: bool) -> int:
    from kedge.apps.output import console

    path = f"approvals/{segment(approval_id)}"
    with session_at(url, "/approvals") as session:
        seen = session.get(path)
        if not as_json:
            _draw(console(stderr=True), seen, None)
        body = {"decision": decision, "reason": reason, "payload_sha256": sha256 or seen["payload_sha256"]}
        decided = session.post(f"{path}/decisions", body).document
    return _told(decided, as_json)


def withdraw(
    approval_id: str,
    /,
    *,
    reason: str = "",
    server: Server = None,
    state_dir: Folder = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Take your own request back.

    Parameters
    ----------
    approval_id
        Its id.
    reason
        Why.
    server
        Its address; by default KEDGE_SERVER, else the server of this state folder.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    path = f"approvals/{segment(approval_id)}/withdrawal"
    return _told(api_of(server, state_dir, config).post(path, {"reason": reason}).document, as_json)


def use(approval_id: str, /, *, server: Server = None, state_dir: Folder = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """Carry out what was approved, once.

    Parameters
    ----------
    approval_id
        Its id.
    server
        Its address; by default KEDGE_SERVER, else the server of this state folder.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    return _told(api_of(server, state_dir, config).post(f"approvals/{segment(approval_id)}/use").document, as_json)


def _told(approval: dict[str, Any], as_json: bool) -> int:
    eyes = " by one person" + (f" ({approval['mark']})" if approval["mark"] else "") if _is_alone(approval) else ""
    line = f"{approval['id']}: {approval['state']}{eyes}, payload SHA-256 {approval['payload_sha256']}"
    emit({"schema": "kedge/approval/v1", **approval}, as_json, lambda target: target.print(line, highlight=False, soft_wrap=True))
    return exit_codes.OK


def _is_alone(approval: dict[str, Any]) -> bool:
    return approval["state"] in ("approved", "used") and not approval["four_eyes"]


def _draw(target: Console, shown: dict[str, Any], found: list[str] | None) -> None:
    if "payload" in shown:
        fields = ("id", "kind", "what", "state", "requester", "reason", "asked_at", "expires_at", "four_eyes", "mark", "payload_sha256")
        print_rows(target, ("field", "value"), [(name, shown[name]) for name in fields])
        target.print(f"payload:\n{to_json(shown['payload'], indent=2)}", markup=False, highlight=False, soft_wrap=True)
        rows = [[step[name] for name in _STEP] for step in shown["steps"]]
        print_rows(target, _STEP, rows)
    if found is not None:
        words = [f"not right: {one}" for one in found] or ["payload, signatures and proof fit"]
        target.print("\n".join(words), markup=False, highlight=False, soft_wrap=True)


_STEP: Final = ("state", "at", "name", "roles", "source", "method", "reason", "mark")
