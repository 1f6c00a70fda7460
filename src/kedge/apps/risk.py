"""`kedge risk show|var|stress|limits|explain`: how close to every limit, what could be lost, and why an order was refused or let pass.

The server of the state folder is asked where one runs; without one the run's own journal is read, which takes a while where it is long.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from kedge.apps import exit_codes
from kedge.apps.asking import ConfigFile, Folder, Json, Server, new_key
from kedge.apps.output import emit, print_rows
from kedge.domain.errors import InvalidInput
from kedge.ops.folders import state_folder

if TYPE_CHECKING:
    from rich.console import Console

Run = Annotated[str, Parameter(name="--run")]
PERCENT_PLACES: Final = 2


def show(*, run: Run = "", server: Server = None, state_dir: Folder = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """Print every measure with its levels, what is left to the next one, and who measured it; exit 9 when a hard level is reached.

    Parameters
    ----------
    run
        Read this run's journal instead of asking a server: its id, its first letters, or a journal file.
    server
        Its address; by default KEDGE_SERVER, else the server of this state folder.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    found = _document("status", run, server, state_dir, config)
    emit({"schema": "kedge/risk-status/v1", **found}, as_json, lambda target: _draw_status(target, found))
    reached = any(one["state"] in ("hard", "brake") for one in found["measures"])
    return exit_codes.FINDINGS if reached else exit_codes.OK


def var(*, run: Run = "", server: Server = None, state_dir: Folder = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """Print VaR 99 % and ES 97.5 % of one day by every method, with how each did in its daily backtest.

    Parameters
    ----------
    run
        Read this run's journal instead of asking a server: its id, its first letters, or a journal file.
    server
        Its address; by default KEDGE_SERVER, else the server of this state folder.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    found = _document("var", run, server, state_dir, config)
    emit({"schema": "kedge/risk-var/v1", **found}, as_json, lambda target: _draw_var(target, found))
    return exit_codes.OK


def stress(*, run: Run = "", server: Server = None, state_dir: Folder = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """Print what the book loses in every named crisis, counting liquidation on the way; exit 9 when one ends the account.

    Parameters
    ----------
    run
        Read this run's journal instead of asking a server: its id, its first letters, or a journal file.
    server
        Its address; by default KEDGE_SERVER, else the server of this state folder.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    found = _document("stress", run, server, state_dir, config)
    emit({"schema": "kedge/risk-stress/v1", **found}, as_json, lambda target: _draw_stress(target, found))
    return exit_codes.FINDINGS if any(one["liquidated"] for one in found["scenarios"]) else exit_codes.OK


def explain(
    wanted: Annotated[str, Parameter(name="id")],
    /,
    *,
    run: Run = "",
    state_dir: Folder = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Say why an order was let pass or refused: what the journal holds, and every rule judged again on the books as they were.

    Exits 9 where judging again comes out otherwise than the record.

    Parameters
    ----------
    wanted
        A client order id, or a decision's id for all of its orders.
    run
        Look in this run only: its id, its first letters, or a journal file; by default in all, the newest first.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    import msgspec

    from kedge.apps.risk_local import explained

    found = msgspec.to_builtins(explained(state_folder(config, state_dir), wanted, run))
    emit({"schema": "kedge/risk-explain/v1", **found}, as_json, lambda target: _draw_explained(target, found))
    return exit_codes.OK if all(one["agrees"] for one in found["orders"]) else exit_codes.FINDINGS


def limits(
    *,
    tighten: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    reason: str = "",
    run: Run = "",
    server: Server = None,
    state_dir: Folder = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Print the limits in force and every change of them, or tighten some at once. Loosening takes two people: see kedge approval request.

    Parameters
    ----------
    tighten
        NAME=VALUE, one or more, none looser than now; takes a signed-in trader or risk officer.
    reason
        Why; stands in the document and in the journal.
    run
        Read this run's journal instead of asking a server: its id, its first letters, or a journal file.
    server
        Its address; by default KEDGE_SERVER, else the server of this state folder.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    if tighten:
        from kedge.apps.asking import api_of

        body = {"changes": changes_of(tighten), "reason": reason}
        done = api_of(server, state_dir, config).post("risk/limits", body, key=new_key()).document
        emit({"schema": "kedge/limits-tightened/v1", **done}, as_json, lambda target: _draw_tightened(target, done))
        return exit_codes.OK
    found = _document("limits", run, server, state_dir, config)
    emit({"schema": "kedge/risk-limits/v1", **found}, as_json, lambda target: _draw_limits(target, found))
    return exit_codes.OK


def changes_of(given: list[str]) -> dict[str, str]:
    """`NAME=VALUE` texts as a document.

    Raises
    ------
    InvalidInput
        One is none, or a name comes twice.
    """
    changes: dict[str, str] = {}
    for text in given:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name or not value or name in changes:
            raise InvalidInput(
                f"--tighten {text!r}", why="wanted is NAME=VALUE, each name once", fix="such as --tighten drawdown_soft=0.04"
            )
        changes[name] = value
    return changes


def _document(what: str, run: str, server: str | None, state_dir: str | None, config: Path | None) -> dict[str, Any]:
    from kedge.apps.risk_local import local_document, server_document

    folder = state_folder(config, state_dir)
    found = None if run else server_document(folder, server, f"risk/{what}")
    return found if found is not None else local_document(folder, run, what)


# drawn --------------------------------------------------------------------------------------------------------


def shown(value: str | None, unit: str = "frac") -> str:
    """A fraction as per cent, a multiple as such; a dash for what is not known."""
    if value is None:
        return "-"
    from decimal import Decimal

    number = Decimal(value)
    return f"{number:.2f} x" if unit == "multiple" else f"{number * 100:.{PERCENT_PLACES}f} %"


def _draw_status(target: Console, found: dict[str, Any]) -> None:
    columns = ("measure", "value", "state", "target", "soft", "hard", "brake", "headroom", "by")
    rows = []
    for one in found["measures"]:
        unit = one["unit"]
        brake = " ".join(f"{shown(mark['value'], unit)} {mark['level']}" for mark in one["brake"]) or "-"
        by = " ".join(f"{reading['source']}:{reading['state']}" for reading in one["readings"]) or "-"
        left = "-" if one["headroom"] is None else f"{shown(one['headroom'], unit)} to {one['headroom_to']}"
        state = f"{one['state']}, stale" if one["stale"] else one["state"]
        levels = (shown(one[name], unit) for name in ("target", "soft", "hard"))
        rows.append((one["name"], shown(one["value"], unit), state, *levels, brake, left, by))
    print_rows(target, columns, rows)
    if found["concentration"]:
        names = ("instrument", "side", "notional", "equity_share", "liquidation_distance", "liquidation_price")
        print_rows(target, names, [[one[name] for name in names] for one in found["concentration"]])
    guard = found["guard"]
    line = f"run {found['run_id']} at {found['as_of']}; guard {guard['state']}" + (f": {guard['why']}" if guard["why"] else "")
    target.print(line, markup=False, highlight=False, soft_wrap=True)


def _draw_var(target: Console, found: dict[str, Any]) -> None:
    columns = ("method", "var99", "es975", "var99_money", "days", "backtest", "exceptions", "flags")
    rows = [
        (
            one["method"] + (" *" if one["chosen"] else ""), shown(one["var99"]), shown(one["es975"]), one["var99_money"], one["n"],
            one["colour"], "-" if one["exceptions"] is None else f"{one['exceptions']} of {one['days']}", "; ".join(one["flags"]),
        )
        for one in found["methods"]
    ]  # fmt: skip
    print_rows(target, columns, rows)
    chosen = next((one for one in found["methods"] if one["chosen"]), None)
    words = found["why"] if chosen is None else f"* the limits act on it; losses are positive; {chosen['convention']}"
    target.print(words, markup=False, highlight=False, soft_wrap=True)


def _draw_stress(target: Console, found: dict[str, Any]) -> None:
    columns = ("scenario", "loss", "loss_frac", "margin_ratio", "account", "flags")
    rows = [
        (
            one["scenario"], one["loss"], shown(one["loss_frac"]), shown(one["margin_ratio"]),
            "LIQUIDATED" if one["liquidated"] else "survives", "; ".join(one["flags"]),
        )
        for one in found["scenarios"]
    ]  # fmt: skip
    print_rows(target, columns, rows)
    for one in found["reverse"]:
        moves = ", ".join(f"{asset} {shown(move)}" for asset, move in one["shocks"].items()) or one["why"]
        far = "" if one["distance"] is None else f" ({one['distance']} daily standard deviations)"
        target.print(f"smallest shock to {one['target']}: {moves}{far}", markup=False, highlight=False, soft_wrap=True)
    if found["why"]:
        target.print(found["why"], markup=False, highlight=False, soft_wrap=True)


def _draw_explained(target: Console, found: dict[str, Any]) -> None:
    decision = found["decision"]
    if decision is not None:
        fields = (
            "decision_id", "at", "instrument", "strategy", "exposure", "allowed", "bound_by", "target", "reason", "code", "observed",
            "limit",
        )  # fmt: skip
        print_rows(target, ("field", "value"), [(name, decision[name]) for name in fields if decision[name]])
    for one in found["orders"]:
        what = f"{one['side']} {one['qty']} {one['instrument']} {one['kind']} {one['price']}{', reduce only' if one['reduce_only'] else ''}"
        why = f"{one['code']}: observed {one['observed']}, limit {one['limit']}" if one["code"] else f"limits {one['limits_version']}"
        words = f"{one['client_order_id']} at {one['at']}: {what}\n{one['outcome']}, {why}"
        target.print(words, markup=False, highlight=False, soft_wrap=True)
        if not one["agrees"]:
            target.print("judged again it comes out otherwise: the record counts", markup=False, highlight=False, soft_wrap=True)
        columns = ("rule", "control", "verdict", "observed", "limit")
        print_rows(target, columns, [[rule[name] or "-" for name in columns] for rule in one["rules"]])


def _draw_limits(target: Console, found: dict[str, Any]) -> None:
    print_rows(target, ("limit", "value", "unit"), [(one["name"], one["value"], one["unit"]) for one in found["limits"]])
    names = ("number", "version", "made_at", "actor", "reason", "approval_id")
    print_rows(target, names, [[one[name] for name in names] for one in found["history"]])
    if found["why"]:
        target.print(found["why"], markup=False, highlight=False, soft_wrap=True)


def _draw_tightened(target: Console, done: dict[str, Any]) -> None:
    changes = ", ".join(f"{name} {what}" for name, what in done["changes"].items())
    target.print(f"limits no. {done['number']} ({done['version']}): {changes}", markup=False, highlight=False, soft_wrap=True)
