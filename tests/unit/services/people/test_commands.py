"""Commands that people give: in the inbox first, an act in any case, once whatever dies, and the terminal's own picked up."""

from __future__ import annotations

import os
import pwd
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.services.people.world import Known, World, world

from kedge.domain.canonical import encode
from kedge.domain.errors import Forbidden, IntegrityError, InvalidInput, NotFound
from kedge.domain.events import Command
from kedge.domain.people import Act, Role, Source
from kedge.ops.state_folder import inbox_path
from kedge.services.inbox import Inbox
from kedge.services.people import telling
from kedge.services.people.local import accounts_exist, local_setup_link
from kedge.services.people.telling import command_act, leave, local_actor


@pytest.fixture
def one(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def ada(one: World) -> Known:
    return one.first("ada")


def given(one: World) -> list[Act]:
    return [act for act in one.acts() if act.action in ("halt", "resume", "flatten")]


def test_a_command_is_in_the_inbox_with_its_person_and_in_the_journal_of_acts(one: World, ada: Known):
    told = one.desk.commands.give(ada.actor, Command.HALT, "drill", key="k-1", correlation_id="c-7")
    assert (told.repeated, told.fits) == (False, True)
    command = one.desk.commands.get(told.command.command_id)
    assert (command.actor, command.roles, command.source) == (ada.person_id, ada.actor.roles, Source.BROWSER)
    (act,) = given(one)
    assert (act.action, act.subject, act.reason, act.correlation_id, act.roles) == (
        "halt",
        command.command_id,
        "drill",
        "c-7",
        (Role.ADMIN, Role.TRADER, Role.VIEWER),
    )


def test_the_same_key_is_one_command_whatever_it_says_and_only_for_one_person(one: World, ada: Known):
    first = one.desk.commands.give(ada.actor, Command.HALT, "drill", key="k-1")
    one.clock.move(90_000)
    again = one.desk.commands.give(ada.actor, Command.HALT, "drill", key="k-1")
    assert (again.command, again.repeated, again.fits) == (first.command, True, True)
    assert one.desk.commands.give(ada.actor, Command.FLATTEN, "drill", key="k-1").fits is False
    assert one.desk.commands.give(ada.actor, Command.HALT, "other", key="k-1").fits is False
    other = one.desk.commands.give(local_actor(), Command.HALT, "drill", key="k-1")
    assert other.command.command_id != first.command.command_id
    assert len(given(one)) == 2


def test_without_a_key_each_is_a_command_of_its_own(one: World, ada: Known):
    ids = {one.desk.commands.give(ada.actor, Command.HALT, "drill").command.command_id for _ in range(3)}
    assert len(ids) == len(given(one)) == 3


def test_an_act_that_waits_in_the_inbox_is_journalled_once_though_it_was_journalled_before(one: World, ada: Known):
    """As after a death between the journal and the note that the journal has it."""
    told = one.desk.commands.give(ada.actor, Command.HALT, "drill", key="k-1")
    with Inbox(inbox_path(one.folder)) as inbox:
        assert inbox.acts_due() == []
        leave(inbox, ada.actor, Command.FLATTEN, "storm", wall_ns=1, command_id="c-2")
    text = encode(given(one)[0]).decode()
    db = sqlite3.connect(inbox_path(one.folder))
    db.execute("UPDATE commands SET act = ? WHERE id = ?", (text, told.command.command_id))
    db.commit()
    db.close()
    one.desk.upkeep()
    assert sorted(act.subject for act in given(one)) == sorted([told.command.command_id, "c-2"])
    with Inbox(inbox_path(one.folder)) as inbox:
        assert inbox.acts_due() == []


def test_what_the_terminal_left_becomes_an_act_of_the_systems_user(one: World):
    with Inbox(inbox_path(one.folder)) as inbox:
        leave(inbox, local_actor(), Command.HALT, "by hand", wall_ns=7)
    one.desk.upkeep()
    (act,) = given(one)
    user = pwd.getpwuid(os.getuid()).pw_name
    assert (act.person_id, act.name, act.source, act.wall_ns) == (f"local:{user}", user, Source.LOCAL, 7)


def test_a_user_without_a_name_is_known_by_number(monkeypatch: pytest.MonkeyPatch):
    def nameless(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(telling.pwd, "getpwuid", nameless)
    assert local_actor().person_id == f"local:{os.getuid()}"


def test_an_act_that_cannot_be_read_stops_and_stays(one: World, ada: Known):
    with Inbox(inbox_path(one.folder)) as inbox:
        inbox.put(Command.HALT, "ann", "drill", wall_ns=1, act="{")
        leave(inbox, local_actor(), Command.HALT, "by hand", wall_ns=7)
    with pytest.raises(IntegrityError, match="1 acts"):
        one.desk.commands.settle()
    with Inbox(inbox_path(one.folder)) as inbox:
        assert len(inbox.acts_due()) == 1
    assert [act.reason for act in given(one)] == ["by hand"]
    one.desk.commands.give(ada.actor, Command.HALT, "a stop goes through all the same")
    assert len(given(one)) == 2


@pytest.mark.parametrize(
    "told", [{"person_id": "p-ada"}, {"action": "approval-decide"}, {"act_id": "act-1"}, {"outcome": "refused"}, {"roles": ("admin",)}]
)
def test_an_act_that_tells_of_something_or_somebody_else_than_its_command_is_not_vouched_for(one: World, told: dict[str, Any]):
    actor = local_actor()
    act = command_act(actor, Command.HALT, "drill", "c-1", 7)
    text = encode(replace(act, **told)).decode()
    with Inbox(inbox_path(one.folder)) as inbox:
        inbox.add("c-1", Command.HALT, actor.person_id, "drill", wall_ns=7, source=Source.LOCAL, act=text)
    with pytest.raises(IntegrityError, match="c-1"):
        one.desk.commands.settle()
    assert one.acts() == []


def test_a_damaged_inbox_is_told_and_keeps_nobody_out(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    tmp_path.chmod(0o700)
    inbox_path(tmp_path).write_bytes(b"no inbox at all " * 64)
    with world(tmp_path) as one:
        ada = one.first("ada")
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert "is no Kedge inbox" in caplog.records[0].problem  # type: ignore[attr-defined]
        with pytest.raises(IntegrityError) as refused:
            one.desk.commands.give(ada.actor, Command.HALT, "drill")
        assert "move it away" in refused.value.fix
        inbox_path(tmp_path).rename(tmp_path / "evidence")
        one.desk.commands.give(ada.actor, Command.HALT, "drill")
        assert len(given(one)) == 1


def test_a_stop_never_fails_for_what_its_reason_holds(one: World, ada: Known):
    """Bytes of a shell that are no text, and what a terminal would obey, become blanks."""
    told = one.desk.commands.give(ada.actor, Command.HALT, "sto\udcffrm \x1b[2Jnow\u202e", key="k")
    assert (told.command.reason, told.fits) == ("sto rm  [2Jnow", True)
    assert one.desk.commands.give(ada.actor, Command.HALT, "sto\udcffrm \x1b[2Jnow\u202e", key="k").fits is True
    assert given(one)[0].reason == "sto rm  [2Jnow"


def test_without_a_reason_nothing_is_told(one: World, ada: Known):
    with pytest.raises(InvalidInput, match="reason"):
        one.desk.commands.give(ada.actor, Command.HALT, " ")
    assert one.desk.commands.newest(10) == []


def test_before_anybody_told_anything_there_is_nothing_and_no_file(one: World):
    assert one.desk.commands.newest(10) == []
    with pytest.raises(NotFound):
        one.desk.commands.get("c-1")
    one.desk.commands.settle()
    assert not inbox_path(one.folder).exists()


def test_the_machine_knows_whether_anybody_has_an_account(one: World, tmp_path: Path):
    assert accounts_exist(tmp_path / "elsewhere") is False
    assert accounts_exist(one.folder) is False
    assert len(local_setup_link(one.folder)) == 64
    one.first("ada")
    assert accounts_exist(one.folder) is True
    with pytest.raises(Forbidden):
        local_setup_link(one.folder)
    with pytest.raises(NotFound):
        local_setup_link(one.folder, "nobody")
    assert len(local_setup_link(one.folder, "ADA")) == 64
