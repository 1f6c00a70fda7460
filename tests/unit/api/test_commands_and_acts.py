"""Commands and acts over HTTP: who may, what is durable before the answer, repeats that are one command, and who reads who did what."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.unit.api.people_world import Browser, World, in_world

from kedge.domain.events import Command
from kedge.domain.people import Role
from kedge.ops.state_folder import inbox_path
from kedge.services.inbox import Inbox

COMMANDS = "/api/v1/commands"


def told(reason: str = "drill", command: str = "halt") -> dict[str, str]:
    return {"command": command, "reason": reason}


def waiting(state: Path) -> list[tuple[Command, str]]:
    with Inbox(inbox_path(state)) as inbox:
        return [(one.command, one.reason) for one in inbox.waiting()]


def test_a_command_is_durable_and_names_its_person_before_the_answer(tmp_path: Path):
    async def then(world: World) -> None:
        ada = await world.first()
        answer = await ada.make(COMMANDS, told())
        assert answer.status == 202
        with Inbox(inbox_path(tmp_path)) as inbox:
            (left,) = inbox.waiting()
        person_id = (await ada.get("/api/v1/me"))["person_id"]
        assert (left.actor, left.roles, left.source) == (person_id, (Role.ADMIN, Role.TRADER, Role.VIEWER), "browser")
        assert answer.headers["Location"] == f"{COMMANDS}/{left.command_id}"
        assert answer.body == {
            "id": left.command_id,
            "command": "halt",
            "reason": "drill",
            "person_id": person_id,
            "source": "browser",
            "at": answer.body["at"],
        }
        shown = await ada.get(answer.headers["Location"])
        assert (shown["state"], shown["run_id"], shown["roles"]) == ("waiting", None, ["admin", "trader", "viewer"])
        with Inbox(inbox_path(tmp_path)) as inbox:
            inbox.claim(left.command_id, "paper-1")
            inbox.taken(left.command_id)
        shown = await ada.get(answer.headers["Location"])
        assert (shown["state"], shown["run_id"]) == ("taken", "paper-1")

    in_world(tmp_path, then)


def test_the_same_key_is_the_same_command_and_another_body_under_it_is_refused(tmp_path: Path):
    async def then(world: World) -> None:
        ada = await world.first()
        first = await ada.post(COMMANDS, told(), **{"Idempotency-Key": "k-1"})
        again = await ada.post(COMMANDS, told(), **{"Idempotency-Key": "k-1"})
        assert (again.status, again.body) == (202, first.body)
        assert "Idempotent-Replayed" not in first.headers
        assert again.headers["Idempotent-Replayed"] == "true"
        for body in (told("another"), told(command="flatten")):
            other = await ada.post(COMMANDS, body, **{"Idempotency-Key": "k-1"})
            assert (other.status, other.body["code"]) == (422, "KEY_REUSED")
        assert waiting(tmp_path) == [(Command.HALT, "drill")]

    in_world(tmp_path, then)


def test_twenty_repeats_at_once_are_one_command_and_one_act(tmp_path: Path):
    async def then(world: World) -> None:
        ada = await world.first()
        answers = await asyncio.gather(*(ada.post(COMMANDS, told(), **{"Idempotency-Key": "k-1"}) for _ in range(20)))
        assert {answer.status for answer in answers} == {202}
        assert len({answer.text for answer in answers}) == 1
        assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
        assert waiting(tmp_path) == [(Command.HALT, "drill")]
        acts = (await world_acts(world))["halt"]
        assert [act["subject"] for act in acts] == [answers[0].body["id"]]

    in_world(tmp_path, then)


async def world_acts(world: World) -> dict[str, list[Any]]:
    """The acts of the journal by what was done."""
    found: dict[str, list[Any]] = {}
    for stored in world.desk.acts.page(200).acts:
        act = {"subject": stored.act.subject, "outcome": stored.act.outcome, "code": stored.act.code, "ref": stored.act.correlation_id}
        found.setdefault(stored.act.action, []).append(act)
    return found


def test_a_stop_needs_no_key_and_everything_else_does(tmp_path: Path):
    async def then(world: World) -> None:
        ada = await world.first()
        assert (await ada.post(COMMANDS, told())).status == 202
        assert (await ada.post(COMMANDS, told())).status == 202
        for command in ("resume", "flatten"):
            refused = await ada.post(COMMANDS, told(command=command))
            assert (refused.status, refused.body["code"]) == (400, "KEY_MISSING")
        assert len(waiting(tmp_path)) == 2

    in_world(tmp_path, then)


def test_resuming_takes_a_fresh_proof_and_stopping_does_not(tmp_path: Path):
    async def then(world: World) -> None:
        ada = await world.first()
        world.clock.wait_s(301)
        refused = await ada.make(COMMANDS, told(command="resume"))
        assert (refused.status, refused.body["code"]) == (403, "STEP_UP_REQUIRED")
        assert (await ada.make(COMMANDS, told())).status == 202
        await ada.step_up()
        assert (await ada.make(COMMANDS, told(command="resume"))).status == 202
        acts = await world_acts(world)
        assert [(act["outcome"], act["code"]) for act in acts["resume"]] == [("done", ""), ("refused", "STEP_UP_REQUIRED")]

    in_world(tmp_path, then)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"command": "dance", "reason": "x"}, 422),
        ({"command": "cancel_all", "reason": "x"}, 422),
        ({"command": "halt"}, 422),
        ({"command": "halt", "reason": "  "}, 422),
        ({"command": "halt", "reason": "x" * 501}, 422),
        ({"command": "halt", "reason": "x", "actor": "ann"}, 422),
    ],
)
def test_what_is_no_command_is_refused_by_name(tmp_path: Path, body: dict[str, str], status: int):
    async def then(world: World) -> None:
        ada = await world.first()
        refused = await ada.make(COMMANDS, body)
        assert (refused.status, refused.body["code"]) == (status, "INVALID_INPUT")
        assert not inbox_path(tmp_path).exists() or waiting(tmp_path) == []

    in_world(tmp_path, then)


def test_without_a_person_nothing_is_told_with_and_without_accounts(tmp_path: Path):
    async def then(world: World) -> None:
        stranger = Browser(world)
        assert (await stranger.make(COMMANDS, told())).status == 401
        assert (await stranger.ask("GET", COMMANDS)).body == {"items": [], "next_cursor": None}
        await world.first()
        assert (await stranger.make(COMMANDS, told())).status == 401
        assert (await stranger.ask("GET", COMMANDS)).status == 401
        assert not inbox_path(tmp_path).exists()

    in_world(tmp_path, then)


def test_roles_and_scopes_decide_who_tells_what(tmp_path: Path):
    async def then(world: World) -> None:
        ada = await world.first()
        bob = await world.invited(ada, "bob", "viewer")
        refused = await bob.make(COMMANDS, told())
        assert (refused.status, refused.body["code"]) == (403, "FORBIDDEN")
        stopper, looker = await world.token(ada, "brake:engage"), await world.token(ada, "read")
        for token, command, status in (
            (stopper, "halt", 202),
            (stopper, "flatten", 202),
            (stopper, "resume", 403),
            (looker, "halt", 403),
        ):
            headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": f"{command}-{status}"}
            assert (await world.ask("POST", COMMANDS, told(command=command), **headers)).status == status
        assert [command for command, _ in waiting(tmp_path)] == [Command.HALT, Command.FLATTEN]

    in_world(tmp_path, then)


def test_pages_of_commands_go_to_the_past_and_show_those_from_the_terminal(tmp_path: Path):
    async def then(world: World) -> None:
        ada = await world.first()
        with Inbox(inbox_path(tmp_path)) as inbox:
            inbox.put(Command.CANCEL_ALL, "local:ann", "an older hand", wall_ns=1)
        for n in range(3):
            await ada.make(COMMANDS, told(f"n{n}"))
        page = await ada.get(f"{COMMANDS}?limit=2")
        assert [row["reason"] for row in page["items"]] == ["n2", "n1"]
        rest = await ada.get(f"{COMMANDS}?limit=2&cursor={page['next_cursor']}")
        assert [(row["reason"], row["source"]) for row in rest["items"]] == [("n0", "browser"), ("an older hand", None)]
        assert rest["next_cursor"] is None
        assert (await ada.ask("GET", f"{COMMANDS}?cursor=nonsense")).status == 422
        assert (await ada.ask("GET", f"{COMMANDS}/none")).status == 404

    in_world(tmp_path, then)


def test_an_inbox_that_cannot_be_read_is_said_and_kept(tmp_path: Path):
    async def then(world: World) -> None:
        ada = await world.first()
        db = sqlite3.connect(inbox_path(tmp_path))
        db.execute("PRAGMA application_id = 7")
        db.execute("CREATE TABLE x (y)")
        db.close()
        assert (await ada.make(COMMANDS, told())).body["code"] == "INTEGRITY"
        assert (await ada.ask("GET", COMMANDS)).status == 500

    in_world(tmp_path, then)


def test_those_who_audit_read_who_did_what_newest_first_and_nobody_else(tmp_path: Path):
    async def then(world: World) -> None:
        ada = await world.first()
        await ada.make(COMMANDS, told("first"))
        left = await ada.make(COMMANDS, told("second"))
        page = await ada.get("/api/v1/acts?limit=1")
        assert len(page["items"]) == 1
        following = await ada.get(f"/api/v1/acts?limit=1&cursor={page['next_cursor']}")
        assert following["items"][0]["seq"] < page["items"][0]["seq"]
        me = (await ada.get("/api/v1/me"))["person_id"]
        halts = (await ada.get(f"/api/v1/acts?action=halt&person={me}"))["items"]
        assert [row["reason"] for row in halts] == ["second", "first"]
        assert halts[0]["subject"] == left.body["id"]
        assert halts[0]["roles"] == ["admin", "trader", "viewer"]
        assert halts[0]["correlation_id"] == left.headers["X-Correlation-Id"]
        assert (await ada.get("/api/v1/acts?action=halt&person=nobody"))["items"] == []
        assert (await ada.ask("GET", "/api/v1/acts?action=dance")).status == 422
        bob = await world.invited(ada, "bob", "trader")
        assert (await bob.ask("GET", "/api/v1/acts")).status == 403

    in_world(tmp_path, then)
