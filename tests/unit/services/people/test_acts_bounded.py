"""Refused acts are written, and no attacker can fill the journal with them; what is over is shed."""

from __future__ import annotations

import pytest
from tests.unit.storage.people import act, device, person

from kedge.services.people import refusals
from kedge.services.people.refusals import OTHERS, WINDOW_NS, note_refused, tell_refusals
from kedge.services.people.upkeep import FAILURES_KEPT_NS, sweep
from kedge.storage.people_rows import Challenge, Device, Failure, IdempotencyRow, Link, Person, RefusedActs, Session, Token
from kedge.storage.people_store import PeopleStore


@pytest.fixture
def store(tmp_path):
    with PeopleStore(tmp_path / "people" / "people.sqlite") as made:
        yield made


def refused(number, wall_ns, **changes):
    given = {"wall_ns": wall_ns, "outcome": "refused", "code": "FORBIDDEN", "reason": "may not", "details": {"address": "a"}, "ref": "s-1"}
    return act(number, **{**given, **changes})


def due(store):
    with store.reading() as tx:
        return [one.act for one in tx.acts_due()]


def note(store, one, source="127.0.0.1"):
    with store.writing() as tx:
        return note_refused(tx, one, source=source)


def test_the_first_refusal_is_written_and_those_after_it_are_told_by_one_act(store):
    assert [note(store, refused(number, 100 + number)) for number in range(50)] == [True] + [False] * 49
    assert due(store) == [refused(0, 100)]
    with store.writing() as tx:
        tell_refusals(tx, 100 + WINDOW_NS - 1)
    assert due(store) == [refused(0, 100)]
    with store.writing() as tx:
        tell_refusals(tx, 100 + WINDOW_NS)
        assert tx.count(RefusedActs) == 0
    _, told = due(store)
    assert (told.wall_ns, told.outcome, told.code, told.person_id) == (100 + WINDOW_NS, "refused", "FORBIDDEN", "p-1")
    assert told.details == {"repeated": "49", "since_wall_ns": "100"}
    assert (told.subject, told.reason, told.ref) == ("", "", "")


def test_one_refusal_alone_has_no_act_about_repeats(store):
    note(store, refused(1, 100))
    with store.writing() as tx:
        tell_refusals(tx, 100 + WINDOW_NS)
    assert due(store) == [refused(1, 100)]


def test_the_next_refusal_after_a_quarter_of_an_hour_tells_what_was_counted_and_is_written(store):
    for number in range(3):
        note(store, refused(number, 100))
    assert note(store, refused(9, 100 + WINDOW_NS))
    first, told, again = due(store)
    assert (first.act_id, told.details["repeated"], again) == ("act-0", "2", refused(9, 100 + WINDOW_NS))


def test_sources_actions_and_codes_are_counted_apart(store):
    note(store, refused(1, 100))
    assert note(store, refused(2, 100), source="127.0.0.2")
    assert note(store, refused(3, 100, action="halt"))
    assert note(store, refused(4, 100, code="STEP_UP_REQUIRED"))
    assert not note(store, refused(5, 100))


def test_beyond_so_many_sources_all_others_are_one(store, monkeypatch):
    monkeypatch.setattr(refusals, "SOURCES_MAX", 3)
    written = [note(store, refused(number, 100), source=f"10.0.0.{number}") for number in range(20)]
    assert sum(written) == 4
    assert not note(store, refused(21, 100), source="10.0.0.1")
    with store.reading() as tx:
        others = [row for row in tx.find(RefusedActs) if row.source_key.endswith(OTHERS)]
    assert [row.count for row in others] == [16]


def test_what_was_counted_is_told_after_a_restart(tmp_path):
    path = tmp_path / "people" / "people.sqlite"
    with PeopleStore(path) as store:
        for number in range(4):
            note(store, refused(number, 100))
    with PeopleStore(path) as store:
        sweep(store, 100 + WINDOW_NS)
        sweep(store, 100 + WINDOW_NS)
        assert [one.details.get("repeated") for one in due(store)] == [None, "3"]


def rows_expiring_at(wall_ns):
    end = {"expires_wall_ns": wall_ns}
    named = {"session_id": f"s{wall_ns}", "person_id": "p-1", "made_wall_ns": 0, "seen_wall_ns": 0}
    yield Session(session_hash=f"h{wall_ns}", method="passkey", agent="", address="", csrf="", **named, **end)
    yield Challenge(challenge_id=f"c{wall_ns}", purpose="sign-in", value="00", **end)
    yield Link(link_hash=f"l{wall_ns}", purpose="first", made_wall_ns=0, **end)
    yield device(f"d{wall_ns}", user_code=f"code {wall_ns}", **end)
    yield IdempotencyRow(key=f"k{wall_ns}", actor_id="p-1", route="r", fingerprint="f", state="done", **end)
    yield Failure(bucket=f"b{wall_ns}", count=3, until_wall_ns=wall_ns - FAILURES_KEPT_NS)


def test_what_is_over_is_shed_and_nothing_else(store):
    token = Token(
        token_hash="h",
        token_id="t",
        person_id="p-1",
        label="",
        scopes=(),
        addresses=(),
        made_wall_ns=0,
        expires_wall_ns=1,
        revoked_wall_ns=1,
    )
    with store.writing() as tx:
        for row in (person(), token, *rows_expiring_at(100), *rows_expiring_at(101)):
            tx.put(row)
    assert sweep(store, 100) == 6
    with store.reading() as tx:
        assert [tx.count(kind) for kind in (Session, Challenge, Link, Device, IdempotencyRow, Failure)] == [1] * 6
        assert [tx.count(kind) for kind in (Person, Token)] == [1, 1]
    assert sweep(store, 100) == 0


def test_a_clock_that_was_ahead_silences_no_refusal(store):
    note(store, refused(1, 10 * WINDOW_NS))
    assert note(store, refused(2, 100)) is True
    note(store, refused(3, 10 * WINDOW_NS), source="elsewhere")
    with store.writing() as tx:
        tell_refusals(tx, 101)
        assert [row.source_key.rsplit(" ", 1)[1] for row in tx.find(RefusedActs)] == ["127.0.0.1"]
