"""`kedge brake`: where the brake stands, engaging it, asking for its release, and what the guard recorded.

Rules: engaging asks nobody who they are, never waits for long and works with database, API and trader down: it goes to the guard itself,
and where that does not answer it leaves a file that the guard takes when it turns again, and says so. Releasing takes a signed-in person,
and another one who approves.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from kedge.apps import exit_codes
from kedge.apps.asking import ConfigFile, Folder, Json, Server, api_of, new_key
from kedge.apps.output import emit, print_rows
from kedge.domain.brake import BrakeLevel, worse
from kedge.domain.errors import InvalidInput, KedgeError, NotFound
from kedge.ops.config import Config, load_config

if TYPE_CHECKING:
    from rich.console import Console

Level = Literal["reduce-only", "halt", "flatten"]
HISTORY_MAX: Final = 1_000
READINGS: Final = ("seen", "baseline")
"""Kinds of records that say what was read, not what was done."""


def status(*, state_dir: Folder = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """Show where the brake stands, why, how far each trigger is, and whether the guard turns. Exits 9 unless it runs and the brake is off.

    Parameters
    ----------
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    settings = load_config(config, flags={"state_dir": state_dir})
    found = _found(settings)
    emit({"schema": "kedge/brake/v1", **found}, as_json, lambda target: _draw_status(target, found))
    return exit_codes.OK if found["fresh"] and found["latch"]["level"] == BrakeLevel.RUNNING else exit_codes.FINDINGS


def engage(
    *, level: Level, reason: str, dry_run: bool = False, state_dir: Folder = None, config: ConfigFile = None, as_json: Json = False
) -> int:
    """Engage the brake now. One person is enough; a milder level than the one in force changes nothing.

    Exits 8 when the guard does not answer and the request waits in a file for it: then nothing is stopped yet.

    Parameters
    ----------
    level
        reduce-only: nothing that adds risk. halt: nothing at all, resting orders are cancelled, position stops stay. flatten: all orders
        are cancelled and every position is closed, in slices that never trade beyond the collar.
    reason
        Why; stands in the guard's journal, with the system's name for you.
    dry_run
        Only say what it would do.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    from kedge.services import guard_door
    from kedge.services.people.telling import local_actor

    settings = load_config(config, flags={"state_dir": state_dir})
    if not reason.strip():
        raise InvalidInput("--reason is empty", why="somebody will want to know later", fix="say why in a sentence")
    wanted = guard_door.level_of(level)
    if dry_run:
        found = _found(settings)
        would = {"schema": "kedge/brake-dry-run/v1", "asked": str(wanted), "would": _would(found, wanted), "as_of_s": found["age_s"]}
        emit(would, as_json, lambda target: target.print("\n".join(would["would"]), highlight=False, soft_wrap=True))
        return exit_codes.OK
    actor = local_actor()
    done = guard_door.engage(settings.state_folder, wanted, actor_id=actor.name, reason=reason, source="cli", wall_ns=time.time_ns())
    payload = {
        "schema": "kedge/brake-engage/v1", "via": done.via, "asked": str(wanted), "level": str(done.level), "generation": done.generation,
        "is_durable": done.is_durable, "reason": done.reason, "actor_id": done.actor_id, "why": done.why,
    }  # fmt: skip
    emit(payload, as_json, lambda target: target.print(_engaged_words(payload), highlight=False, soft_wrap=True))
    return exit_codes.OK if done.via == guard_door.ENGAGED_BY_DOOR else exit_codes.UNAVAILABLE


def release(
    *,
    reason: str,
    root_cause: str,
    reset_high_water: bool = False,
    server: Server = None,
    state_dir: Folder = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Ask for the release of the brake as it is now. Another person approves it; then it is carried out, if the guard finds clean books.

    Parameters
    ----------
    reason
        Why it may go off.
    root_cause
        What made it come on, found out.
    reset_high_water
        Let drawdown count from equity now; without it a drawdown that still is too large keeps the brake on.
    server
        Its address; by default KEDGE_SERVER, else the server of this state folder.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    settings = load_config(config, flags={"state_dir": state_dir})
    latch = _found(settings)["latch"]
    if latch["level"] == BrakeLevel.RUNNING:
        raise InvalidInput("the brake is not on", why="there is nothing to release", fix="kedge brake status")
    payload = {
        "account": latch["account"],
        "generation": latch["generation"],
        "high_water": "reset" if reset_high_water else "keep",
        "reason": reason,
        "root_cause": root_cause,
    }
    asked = api_of(server, state_dir, config).post(
        "approvals", {"kind": "brake-release", "payload": payload, "reason": reason}, key=new_key()
    )
    approval = asked.document
    emit({"schema": "kedge/approval/v1", **approval}, as_json, lambda target: _draw_request(target, approval, latch))
    return exit_codes.OK


def history(*, limit: int = 50, readings: bool = False, state_dir: Folder = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """Print what the guard recorded, newest first: what fired, what was latched, cancelled and closed, who released it.

    Parameters
    ----------
    limit
        How many records at most.
    readings
        Also what it merely read.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    from kedge.ops.latch_file import guard_folder
    from kedge.storage.guard_journal import GUARD_JOURNAL, PAGE_MAX, read_page

    if not 1 <= limit <= HISTORY_MAX:
        raise InvalidInput(f"--limit is {limit}", why=f"it is 1 to {HISTORY_MAX}", fix="leave it out for the newest 50")
    path = guard_folder(load_config(config, flags={"state_dir": state_dir}).state_folder) / GUARD_JOURNAL
    if not path.is_file():
        raise NotFound("no guard has run here", why=f"{path} does not exist", fix="kedge up, or kedge guard")
    rows: list[dict[str, Any]] = []
    before: int | None = None
    while len(rows) < limit:
        page = read_page(path, PAGE_MAX, before)
        rows += [one._asdict() for one in page.records if readings or one.kind not in READINGS][: limit - len(rows)]
        before = page.before_seq
        if before is None:
            break
    emit({"schema": "kedge/brake-history/v1", "records": rows}, as_json, lambda target: _draw_history(target, rows))
    return exit_codes.OK


def _found(settings: Config) -> dict[str, Any]:
    """The guard's last word; where no guard turns the latch is read from its own file."""
    from kedge.services import guard_door

    try:
        found = guard_door.status(settings.state_folder)
    except KedgeError:
        found = {"account": settings.settings.account, "age_s": None, "alive": False, "fresh": False, "source": "latch", "readings": []}
    if not found["fresh"]:
        found["latch"] = guard_door.latch_on_disk(settings.state_folder, settings.settings.account)
        found["permits"] = "no guard is running here"
    return found


def _would(found: dict[str, Any], level: BrakeLevel) -> list[str]:
    """What engaging would do now, a sentence each."""
    now = BrakeLevel(found["latch"]["level"])
    if worse(now, level) is now:
        return [f"nothing: the brake is {now} already"]
    words = [f"the brake goes from {now} to {level}; no permit for new risk from that instant on"]
    orders = found.get("orders")
    if orders is None:
        return [*words, "what is open is not known: the guard has not said"]
    if level is not BrakeLevel.REDUCE_ONLY:
        words.append(f"{orders['resting']} resting orders are cancelled; {orders['stops']} position stops stay")
    if level is BrakeLevel.FLATTENING:
        for one in found["positions"]:
            words.append(
                f"{one['instrument']}: {one['lots']} lots are closed, notional {abs(one['notional_e8']) / 1e8:,.2f}, within the collar"
            )
        words.append("then orders of every kind are cancelled" if found["positions"] else "there is no position to close")
    return words


def _engaged_words(done: dict[str, Any]) -> str:
    if done["via"] == "request":
        return (
            f"THE GUARD DOES NOT ANSWER ({done['why']}). A request for {done['level']} waits in its folder and holds new risk back; "
            "resting orders and positions stay as they are until it runs. Start it (kedge guard), or tell the trader: kedge halt"
        )
    kept = "on the disk" if done["is_durable"] else "IN THE GUARD'S MEMORY ONLY: its file could not be written"
    milder = "" if done["level"] == done["asked"] else f" (asked for was {done['asked']}, which is milder)"
    return f"the brake is {done['level']}{milder}, generation {done['generation']}, {kept}"


def _draw_status(target: Console, found: dict[str, Any]) -> None:
    latch = found["latch"]
    heard = {"guard": "answers", "file": "does not answer", "latch": "never ran"}[found["source"]]
    age = "" if found["age_s"] is None else f", heard {found['age_s']:.1f} s ago"
    rows = [
        ("level", str(latch["level"]).upper()),
        ("trigger", f"{latch['trigger'] or ''} {latch['observed']}{' over ' + latch['limit'] if latch['limit'] else ''}".strip()),
        ("reason", latch["reason"]),
        ("by", latch["actor_id"]),
        ("since", _time(latch["engaged_wall_ns"])),
        ("generation", latch["generation"]),
        ("guard", f"{heard}{age}"),
        ("permits", found["permits"] or "granted"),
    ]
    print_rows(target, ("brake", found["account"]), rows)
    if found["readings"]:
        head = ("trigger", "instrument", "now", "limit", "room", "engages")
        print_rows(target, head, [_reading(one) for one in found["readings"]])
    for page in found.get("pages") or ():
        target.print(f"calls for a person: {page}", markup=False, highlight=False, soft_wrap=True)


def _reading(one: dict[str, Any]) -> tuple[str, ...]:
    import msgspec

    from kedge.risk.brake.triggers import Reading, in_words

    reading = msgspec.convert(one, Reading)
    room = "breached" if reading.is_breached else f"{reading.room_e8 / 1e6:.0f} %"
    words = in_words(reading, reading.observed), in_words(reading, reading.limit)
    return (str(reading.trigger), reading.instrument, *words, room, str(reading.level))


def _draw_request(target: Console, approval: dict[str, Any], latch: dict[str, Any]) -> None:
    name = approval["id"]
    lines = (
        f"{name}: asked for the release of {latch['level']}, generation {latch['generation']}",
        f"1. another person, within the hour: kedge approval approve {name}, or the page Approvals",
        f"2. then, within 15 minutes: kedge approval use {name}",
        "3. the trader stays halted until a person lets it go on: kedge resume",
    )
    target.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _draw_history(target: Console, rows: list[dict[str, Any]]) -> None:
    cells = [(row["seq"], _time(row["recorded_wall_ns"]), row["kind"], _content(row["content"])) for row in rows]
    print_rows(target, ("record", "time", "what", "details"), cells)


def _content(content: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in content.items() if value not in ("", None, [], {}) and name != "wall_ns")


def _time(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S") if wall_ns else ""
