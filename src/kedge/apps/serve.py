"""`kedge serve`: the process that answers for the others over HTTP: health, the API, its stream, the dashboard, and its people.

The rule: the link that makes the first account is a secret: it is printed for who started the server, and written nowhere.
"""

from __future__ import annotations

import asyncio
import gc
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from kedge.apps import exit_codes
from kedge.apps.output import emit
from kedge.apps.system_loop import Stopping, run_until_stopped
from kedge.domain.errors import InvalidInput
from kedge.ops.config import Config, load_config
from kedge.ops.health_file import SERVER, remove_health_file, write_health_file
from kedge.ops.logs import fields, logging_to
from kedge.ops.state_folder import journal_path

if TYPE_CHECKING:
    from kedge.services.people.desk import PeopleDesk
    from kedge.services.replica_follow import Follower

DEFAULT_PORT = 8080
PORT_MAX = 65_535
SETUP_WORDS = "nobody has an account yet; this link makes the first one, once, within 24 hours"


def serve(
    *,
    port: int = DEFAULT_PORT,
    host: str = "127.0.0.1",
    run: str = "",
    state_dir: str | None = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    hide_setup_link: bool = False,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Show this state folder: the dashboard at `/`, the API under `/api/v1`, the stream at `/ws/v1`, and `/health`. Ctrl-C stops it.

    It follows the trader's run, or the newest, and writes to no run's journal. It keeps the accounts of this state folder and the journal
    of their acts; while there is no account it prints a one-time link that makes the first one. Without TLS only loopback addresses are
    listened on.

    Parameters
    ----------
    port
        To listen on; 0 takes a free one.
    host
        A loopback address.
    run
        Follow this run (its id or first letters, or a journal file) and no other.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    hide_setup_link
        Do not print the link that makes the first account: for when the output is kept in a file.
    as_json
        Print the address as JSON.
    """
    from kedge.api.loopback import check_host

    check_port(port)
    check_host(host)
    settings = load_config(config, flags={"state_dir": state_dir})
    folder = settings.state_folder
    if run:
        journal_path(folder, run)
    from kedge.api.server import ApiServer
    from kedge.services.people.desk import PeopleDesk

    solo_reason = settings.settings.governance.solo_reason

    async def main(stopping: Stopping) -> int:
        server = ApiServer(folder, run=run, people=lambda origin: PeopleDesk.open(folder, solo_reason=solo_reason, public_origin=origin))
        taken = await server.start(host, port)
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{taken}"
        try:
            write_health_file(folder, SERVER, {"url": url}, datetime.now(UTC))
            logger.info("serving", extra=fields(url=url))
            payload = {"schema": "kedge/serve/v1", "url": url, "health": f"{url}/health", "api": f"{url}/api/v1"}
            setup_url = None if hide_setup_link else await server.setup_url()
            emit({**payload, "setup_url": setup_url}, as_json, lambda target: _draw(target, url, setup_url))
            beside = [asyncio.create_task(_settle(server.follower))]
            if server.people is not None:
                beside.append(asyncio.create_task(_keep_drills(settings, server.people)))
            await stopping.asked.wait()
            logger.info("stopping", extra=fields(reason=stopping.reason))
            for task in beside:
                task.cancel()
        finally:
            remove_health_file(folder, SERVER)
            await server.close()
        return exit_codes.OK

    with logging_to(folder, SERVER, secrets=settings.secret_values()) as logger:
        return run_until_stopped(main)


def _draw(target: Any, url: str, setup_url: str | None) -> None:
    target.print(f"dashboard at {url}, health at {url}/health", highlight=False)
    if setup_url is not None:
        target.print(f"{SETUP_WORDS}: {setup_url}", highlight=False, soft_wrap=True)


async def _keep_drills(settings: Config, desk: PeopleDesk) -> None:
    from kedge.apps.drill_clerk import keep_drills

    argv = ["brake", "test", "--state-dir", str(settings.state_folder), "--json"]
    await keep_drills(settings.state_folder, desk, argv, holds=settings.settings.guard.drills)


async def _settle(follower: Follower) -> None:
    """Once the first run has been read, spare the garbage collector what stays for good: walking it takes a tenth of a second."""
    news = asyncio.Event()
    follower.listeners.add(news)
    try:
        while not follower.caught_up:
            news.clear()
            await news.wait()
        gc.collect()
        gc.freeze()
    finally:
        follower.listeners.discard(news)


def check_port(port: int) -> int:
    """A port number that exists.

    Raises
    ------
    InvalidInput
        It does not.
    """
    if not 0 <= port <= PORT_MAX:
        raise InvalidInput(
            f"--port is {port}", why=f"ports go from 0 to {PORT_MAX}", fix=f"such as --port {DEFAULT_PORT}, 0 for any free one"
        )
    return port
