"""A real server killed with SIGKILL while it carries out a request: the same key afterwards gives one effect, one act, one answer."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.integration.commands import SOURCES, environment
from tests.integration.dying_server import CHEAP, ORDER

from kedge.domain.people import Role, Scope
from kedge.ops.state_folder import inbox_path
from kedge.services.inbox import Inbox
from kedge.services.people.desk import PeopleDesk
from kedge.storage.people_rows import ApprovalRow, Password, Person

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 30.0


class Answer(NamedTuple):
    """One answer; None as status where the server died instead."""

    status: int | None
    body: Any
    replayed: bool


class Server:
    """One process."""

    def __init__(self, state: Path) -> None:
        self._state = state
        env = environment(PYTHONPATH=f"{SOURCES}:{ROOT}")
        arguments = [sys.executable, "-m", "tests.integration.dying_server", str(state)]
        self.process = subprocess.Popen(arguments, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self._port = int(self.process.stdout.readline())

    def post(self, path: str, token: str, key: str, body: dict[str, Any]) -> Answer:
        link = http.client.HTTPConnection("127.0.0.1", self._port, timeout=WAIT_S)
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key, "Content-Type": "application/json"}
        try:
            link.request("POST", path, json.dumps(body), headers)
            got = link.getresponse()
            return Answer(got.status, json.loads(got.read()), got.getheader("Idempotent-Replayed") == "true")
        except (ConnectionError, http.client.HTTPException):
            return Answer(None, None, False)
        finally:
            link.close()

    def end(self) -> None:
        self.process.kill()
        self.process.wait(WAIT_S)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Server]]:
    running: list[Server] = []

    def starting() -> Server:
        running.append(Server(tmp_path))
        return running[-1]

    yield starting
    for server in running:
        server.end()


@pytest.fixture
def token(tmp_path: Path) -> str:
    """Of the one person here, an admin and trader."""
    tmp_path.chmod(0o700)
    ada = Person(
        person_id="p-ada",
        name="ada",
        display_name="Ada",
        roles=(Role.ADMIN, Role.TRADER, Role.VIEWER),
        state="active",
        version=1,
        made_wall_ns=1,
    )
    bob = Person(person_id="p-bob", name="bob", display_name="Bob", roles=(Role.VIEWER,), state="active", version=1, made_wall_ns=1)
    with PeopleDesk.open(tmp_path, cost=CHEAP) as desk, desk.store.writing() as tx:
        tx.add(ada)
        tx.add(bob)
        tx.add(Password(person_id=bob.person_id, phc="-", made_wall_ns=1))
        return desk.tokens.mint(tx, ada.person_id, "test", tuple(Scope)).text


def acts(state: Path, action: str) -> list[str]:
    """Subjects of the acts of one kind, once everything that is due is journalled."""
    with PeopleDesk.open(state, cost=CHEAP) as desk:
        return [stored.act.subject for stored in desk.acts.page(100, action=action).acts if stored.act.outcome == "done"]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["inbox", "commit", "answer"])
def test_a_command_repeated_after_a_kill_is_one_command(tmp_path: Path, token: str, start: Callable[[], Server], place: str):
    server = start()
    (tmp_path / ORDER).write_text(place)
    body = {"command": "halt", "reason": "drill"}
    assert server.post("/api/v1/commands", token, "k-1", body).status is None
    assert server.process.wait(WAIT_S) == -9
    with Inbox(inbox_path(tmp_path)) as inbox:
        (left,) = inbox.waiting()  # durable, though nobody was told

    server = start()
    answers = [server.post("/api/v1/commands", token, "k-1", body) for _ in range(3)]
    assert [(answer.status, answer.replayed) for answer in answers] == [(202, True)] * 3
    assert answers[0].body == answers[1].body == answers[2].body
    assert answers[0].body["id"] == left.command_id
    assert server.post("/api/v1/commands", token, "k-1", {**body, "reason": "another"}).body["code"] == "KEY_REUSED"
    server.end()
    with Inbox(inbox_path(tmp_path)) as inbox:
        assert [one.command_id for one in inbox.waiting()] == [left.command_id]
    assert acts(tmp_path, "halt") == [left.command_id]


def approvals(state: Path) -> list[str]:
    with PeopleDesk.open(state, cost=CHEAP) as desk, desk.store.reading() as tx:
        return [row.approval_id for row in tx.find(ApprovalRow)]


@pytest.mark.slow
@pytest.mark.parametrize(("place", "was_made"), [("effect", False), ("commit", True), ("answer", True)])
def test_a_request_repeated_after_a_kill_is_one_approval(
    tmp_path: Path, token: str, start: Callable[[], Server], place: str, was_made: bool
):
    server = start()
    (tmp_path / ORDER).write_text(place)
    body = {"kind": "role-grant", "payload": {"person_id": "p-bob", "roles": ["auditor"]}, "reason": "audit"}
    assert server.post("/api/v1/approvals", token, "k-1", body).status is None
    assert server.process.wait(WAIT_S) == -9

    server = start()
    answers = [server.post("/api/v1/approvals", token, "k-1", body) for _ in range(3)]
    assert [(answer.status, answer.replayed) for answer in answers] == [(201, was_made), (201, True), (201, True)]
    assert answers[0].body == answers[1].body == answers[2].body
    server.end()
    assert approvals(tmp_path) == [answers[0].body["id"]]
    assert acts(tmp_path, "approval-request") == [answers[0].body["id"]]
