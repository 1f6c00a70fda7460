"""`kedge guard`: the emergency brake of one account, in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kedge.apps import exit_codes
from kedge.apps.output import emit
from kedge.apps.trade import check_rung, venue_url
from kedge.ops.config import load_config

STAY = "stay"
OnStop = Literal["stay", "leave"]


def guard(
    *,
    venue: str | None = None,
    rung: Literal["paper", "demo", "testnet", "live"] = "paper",
    instrument: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    port: int | None = None,
    on_stop: OnStop = "stay",
    state_dir: str | None = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Watch one account at the venue and brake it: by its own key, connection and journal, whatever becomes of the trader.

    It permits a trader to add risk, halts or flattens when a trigger fires or a person says so, and shows the brake on a plain page of its
    own. The brake outlives it: started again it goes on where it was.

    Parameters
    ----------
    venue
        Address of the exchange, such as http://127.0.0.1:8100; by default the one that runs with this state folder.
    rung
        Where the money is: paper, demo, testnet or live.
    instrument
        Symbols that the account trades; the configured ones by default. Others are watched and closed alike.
    port
        Of its own page; the configured one by default, 0 takes a free one.
    on_stop
        What a first Ctrl-C or SIGTERM does while there is a position or an order: stay and call a person, until a second one or until all
        is flat; or leave. Permits end either way.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print the last status as JSON.
    """
    from kedge.apps.guard_process import run_guard
    from kedge.apps.serve import check_port

    check_rung(rung)
    settings = load_config(config, flags={"state_dir": state_dir})
    symbols = tuple(dict.fromkeys(text.upper() for text in instrument or settings.settings.demo.instruments))
    last = run_guard(
        settings,
        venue=venue_url(settings.state_folder, venue),
        symbols=symbols,
        port=check_port(settings.settings.guard.port if port is None else port),
        stays=on_stop == STAY,
        quiet=as_json,
    )
    words = f"the guard of {last['account']} ends: the brake is {last['latch']['level']}, {len(last['positions'])} positions"
    emit({"schema": "kedge/guard/v1", **last}, as_json, lambda target: target.print(words, highlight=False))
    return exit_codes.OK
