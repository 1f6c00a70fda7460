"""`kedge halt`, `kedge flatten` and `kedge resume`: what a person tells the trader from the terminal.

Rules: stopping never waits and asks nobody: it goes straight into the trader's durable inbox, in the name of the system's user, with
server, accounts and trader up or down. Letting trading go on takes a person who is signed in, once anybody has an account, and goes
through the server.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kedge.apps import exit_codes
from kedge.apps.asking import ConfigFile, Folder, Json, Server, new_key
from kedge.apps.output import emit
from kedge.domain.errors import InvalidInput, NotFound
from kedge.domain.events import Command
from kedge.ops.config import load_config
from kedge.ops.state_folder import inbox_path

if TYPE_CHECKING:
    from kedge.domain.people import Actor

SCHEMA: Final = "kedge/command/v1"


def halt(*, reason: str, state_dir: Folder = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """Tell the trader to stop adding risk and cancel its orders. Never asks who you are, and also reaches a trader that is down now.

    Parameters
    ----------
    reason
        Why; stands in the journal, with the system's name for you.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    return _leave(Command.HALT, reason, _trader_folder(state_dir, config), as_json)


def flatten(*, reason: str, confirm: str = "", state_dir: Folder = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """Tell the trader to close every position at the market and stay flat. That may cost: it wants the word `flatten` typed once more.

    Parameters
    ----------
    reason
        Why; stands in the journal, with the system's name for you.
    confirm
        The word `flatten`; asked for at a terminal when left out.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    folder = _trader_folder(state_dir, config)
    if not confirm and sys.stdin.isatty():
        print("every position is closed at the market. Type flatten to go on: ", end="", file=sys.stderr, flush=True)
        confirm = sys.stdin.readline().strip()
    if confirm != Command.FLATTEN.value:
        raise InvalidInput("nothing was told to the trader", why="closing every position wants a second word", fix="--confirm flatten")
    return _leave(Command.FLATTEN, reason, folder, as_json)


def resume(*, reason: str, server: Server = None, state_dir: Folder = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """Tell a halted trader to trade again. Takes a signed-in person once anybody has an account: kedge login.

    Parameters
    ----------
    reason
        Why; stands in the journal, with your name.
    server
        Its address; by default KEDGE_SERVER, else the server of this state folder.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    from kedge.governance.actions import Action
    from kedge.governance.roles import may
    from kedge.services.people.local import accounts_exist
    from kedge.services.people.telling import local_actor

    folder = load_config(config, flags={"state_dir": state_dir}).state_folder
    actor = local_actor()
    elsewhere = server or os.environ.get("KEDGE_SERVER")
    if not elsewhere and may(actor, Action.RESUME, now_wall_ns=time.time_ns(), accounts_exist=accounts_exist(folder)):
        return _leave(Command.RESUME, reason, _trader_folder(state_dir, config), as_json, actor)
    return _ask(Command.RESUME, reason, server, folder, as_json)


def _trader_folder(state_dir: str | None, config: Path | None) -> Path:
    folder = load_config(config, flags={"state_dir": state_dir}).state_folder
    if not folder.is_dir():
        raise NotFound("no trader has run here", why=f"{folder} does not exist", fix="kedge up, or name another --state-dir")
    return folder


def _leave(command: Command, reason: str, folder: Path, as_json: bool, actor: Actor | None = None) -> int:
    from kedge.services.inbox import Inbox
    from kedge.services.people.telling import leave, local_actor

    with Inbox(inbox_path(folder)) as inbox:
        left = leave(inbox, actor or local_actor(), command, reason, wall_ns=time.time_ns())
    return _told(command, left.command_id, as_json)


def _ask(command: Command, reason: str, server: str | None, folder: Path, as_json: bool) -> int:
    from kedge.apps.api_client import Api, server_url

    api = Api.signed_in(server_url(server, folder, os.environ))
    given = api.post("commands", {"command": command.value, "reason": reason}, key=new_key()).document
    return _told(command, given["id"], as_json)


def _told(command: Command, command_id: str, as_json: bool) -> int:
    payload = {"schema": SCHEMA, "command": command.value, "id": command_id, "durable": True}
    emit(payload, as_json, lambda target: target.print(f"{command.value}: left for the trader as {command_id}", highlight=False))
    return exit_codes.OK
