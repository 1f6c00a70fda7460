"""The store of people keeps whole rows in whole transactions, in a file for its owner alone, and refuses what somebody bent."""

from __future__ import annotations

import sqlite3
import stat
import threading

import msgspec
import pytest
from msgspec.structs import replace
from tests.unit.storage.people import act, device, person

from kedge.domain.errors import Conflict, IntegrityError, InvalidConfig, InvalidInput, RecordingFailed
from kedge.domain.people import Role, Scope
from kedge.journal import ActRecorded, ActsStarted
from kedge.storage import people_layout
from kedge.storage.people_rows import ROW_TYPES, Challenge, Device, IdempotencyRow, Person, Session
from kedge.storage.people_store import PeopleStore


class OnPurpose(Exception):
    """Leaves a block."""


def put_and_fail(store, row, act):
    with store.writing() as tx:
        tx.put(row)
        tx.act(act)
        raise OnPurpose


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "people" / "people.sqlite"


@pytest.fixture
def store(path):
    with PeopleStore(path) as made:
        yield made


def execute(path, *statements):
    db = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        db.execute(statement)
    db.close()


def example(row_type):
    values = {int: 7, str: "text", bool: True}
    fields = {}
    for field in msgspec.structs.fields(row_type):
        if field.required:
            kind = field.type
            literal = getattr(kind, "__args__", ("",))[0]
            fields[field.name] = values.get(kind, () if getattr(kind, "__origin__", None) is tuple else literal)
    return row_type(**fields)


@pytest.mark.parametrize("row_type", ROW_TYPES)
def test_every_row_comes_back_as_it_was_put_also_after_opening_again(path, row_type):
    row = example(row_type)
    key = tuple(getattr(row, name) for name in row_type.KEY)
    with PeopleStore(path) as store, store.writing() as tx:
        tx.put(row)
    with PeopleStore(path) as store, store.reading() as tx:
        assert (tx.get(row_type, key), tx.find(row_type), tx.count(row_type)) == (row, [row], 1)


@pytest.mark.parametrize("kind", [*ROW_TYPES, ActRecorded, ActsStarted])
def test_rows_and_records_hold_integers_and_text_only(kind):
    def types_in(info):
        inner = [getattr(info, name, ()) for name in ("fields", "item_type", "types", "key_type", "value_type", "type")]
        flat = [one for part in inner for one in (part if isinstance(part, tuple) else (part,))]
        return {type(info).__name__}.union(*(types_in(one) for one in flat if one is not None))

    found = types_in(msgspec.inspect.type_info(kind))
    assert "IntType" in found or "StrType" in found
    assert not found & {"FloatType", "DecimalType", "AnyType", "DateTimeType", "BytesType"}


def test_a_row_is_put_over_the_one_with_its_key_and_keeps_its_place(store):
    with store.writing() as tx:
        tx.put(person("p-1"))
        tx.put(person("p-2"))
        tx.put(person("p-1", state="disabled", version=2))
        assert [(row.person_id, row.version) for row in tx.find(Person)] == [("p-1", 2), ("p-2", 1)]
        assert [row.person_id for row in tx.find(Person, state="disabled")] == ["p-1"]
        assert (tx.count(Person, state="active"), tx.get(Person, "p-3")) == (1, None)


def test_a_row_that_must_be_new_is_refused_where_its_key_is_taken(store):
    with store.writing() as tx:
        tx.add(person("p-1"))
        with pytest.raises(Conflict) as caught:
            tx.add(person("p-1", name="other"))
    assert "person" in caught.value.what


def test_rows_are_deleted_by_key_by_value_and_by_time(store):
    sessions = [
        replace(example(Session), session_hash=f"h{n}", session_id=f"s{n}", person_id=f"p-{n % 2}", expires_wall_ns=n) for n in range(6)
    ]
    with store.writing() as tx:
        for row in sessions:
            tx.put(row)
        assert (tx.delete(Session, "h0"), tx.delete(Session, "h0")) == (True, False)
        assert tx.delete_all(Session, person_id="p-1") == 3
        assert tx.delete_until(Session, "expires_wall_ns", 2) == 1
        assert [row.session_hash for row in tx.find(Session)] == ["h4"]


def test_deleting_everything_by_mistake_is_refused(store):
    with store.writing() as tx, pytest.raises(InvalidInput, match="no field is named"):
        tx.delete_all(Person)


def test_a_field_without_a_column_cannot_be_compared(store):
    with store.reading() as tx, pytest.raises(InvalidInput, match=r"person\.display_name cannot be compared"):
        tx.find(Person, display_name="Ann")


def test_no_value_is_a_value_to_compare_with(store):
    with store.writing() as tx:
        tx.put(replace(example(Challenge), challenge_id="c1", person_id=None))
        tx.put(replace(example(Challenge), challenge_id="c2", person_id="p-1"))
        assert [row.challenge_id for row in tx.find(Challenge, person_id=None)] == ["c1"]


def test_a_key_of_two_fields_wants_both(store):
    row = replace(example(IdempotencyRow), actor_id="p-1", key="k")
    with store.writing() as tx:
        tx.put(row)
        assert tx.get(IdempotencyRow, ("p-1", "k")) == row
        assert tx.get(IdempotencyRow, ("p-2", "k")) is None
        with pytest.raises(InvalidInput, match="has 1 parts"):
            tx.get(IdempotencyRow, "k")


def test_pages_go_back_in_time_and_end(store):
    with store.writing() as tx:
        for number in range(5):
            tx.put(person(f"p-{number}", state="active" if number != 2 else "disabled"))
        first = tx.page(Person, 2, state="active")
        tx.put(person("p-9"))
        second = tx.page(Person, 2, first.before, state="active")
        with pytest.raises(InvalidInput, match="limit is 0"):
            tx.page(Person, 0)
    assert [row.person_id for row in first.rows + second.rows] == ["p-4", "p-3", "p-1", "p-0"]
    assert (first.before is None, second.before) == (False, None)


def test_two_people_cannot_have_the_same_name_in_any_case(store):
    with store.writing() as tx:
        tx.put(person("p-1", name="Grüße"))
        with pytest.raises(Conflict, match="the name ' GRÜSSE' is taken"):
            tx.put(person("p-2", name=" GRÜSSE"))
        assert [row.person_id for row in tx.find(Person, name="GRÜSSE")] == ["p-1"]


def test_a_user_code_may_come_again_once_the_other_is_decided(store):
    with store.writing() as tx:
        tx.put(device("d1"))
        with pytest.raises(Conflict, match="the user code 'ABCD-EFGH' is taken"):
            tx.put(device("d2"))
        tx.put(device("d1", state="used"))
        tx.put(device("d2"))
        assert tx.count(Device, user_code="ABCD-EFGH") == 2


@pytest.mark.parametrize(
    "row",
    [
        person(version=1.5),
        person(state="gone"),
        person(roles=("king",)),
        person(roles=[Role.ADMIN]),
        device("d", scopes=[Scope.READ]),
    ],
)
def test_a_row_of_another_type_than_it_says_is_refused(store, row):
    with store.writing() as tx, pytest.raises(InvalidInput, match="cannot be kept"):
        tx.put(row)
    with store.reading() as tx:
        assert not tx.count(Person)


def test_an_exception_undoes_the_whole_transaction_with_its_acts(store):
    with pytest.raises(OnPurpose):
        put_and_fail(store, person(), act())
    with store.reading() as tx:
        assert (tx.count(Person), tx.acts_due()) == (0, [])


def test_an_inner_block_is_undone_alone_where_its_exception_is_caught(store):
    with store.writing() as outer:
        outer.put(person("p-1"))
        with pytest.raises(OnPurpose):
            put_and_fail(store, person("p-2"), act())
        with store.writing() as inner:
            inner.put(person("p-3"))
    with store.reading() as tx:
        assert [row.person_id for row in tx.find(Person)] == ["p-1", "p-3"]
        assert tx.acts_due() == []


def test_an_inner_block_falls_with_the_outer_one(store):
    def put_inside():
        with store.writing():
            with store.writing() as inner:
                inner.put(person())
            raise OnPurpose

    with pytest.raises(OnPurpose):
        put_inside()
    with store.reading() as tx:
        assert not tx.count(Person)


def test_reading_inside_writing_sees_what_is_not_committed_yet(store):
    assert not store.is_writing_here
    with store.writing() as tx:
        tx.put(person())
        with store.reading() as inner:
            assert inner.count(Person) == 1
        assert store.is_writing_here


def test_a_reader_keeps_its_state_and_holds_no_writer_up(store):
    def write():
        with store.writing() as tx:
            tx.put(person())

    with store.reading() as tx:
        before = tx.count(Person)
        writer = threading.Thread(target=write)
        writer.start()
        writer.join(30)
        assert not writer.is_alive()
        with store.reading() as again:
            assert (before, tx.count(Person), again.count(Person)) == (0, 0, 0)
    with store.reading() as tx:
        assert tx.count(Person) == 1


def test_a_reader_may_write_meanwhile_and_keeps_its_state(store):
    with store.reading() as tx:
        assert not tx.count(Person)
        with store.writing() as writer:
            writer.put(person())
        assert not tx.count(Person)


def test_readers_of_many_threads_read_at_once(store):
    together = threading.Barrier(4, timeout=30)
    counts = []

    def read():
        with store.reading() as tx:
            together.wait()
            counts.append(tx.count(Person))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [0, 0, 0, 0]


def test_a_closed_store_is_not_used_and_a_reader_under_way_ends_in_peace(path):
    store = PeopleStore(path)
    with store.reading() as tx:
        store.close()
        assert not tx.count(Person)
    for use in (store.reading, store.writing):
        with pytest.raises(InvalidInput, match="was closed"), use():
            pass
    store.close()
    assert [file.name for file in path.parent.iterdir()] == ["people.sqlite"]


def test_reading_cannot_write(store):
    with store.reading() as tx, pytest.raises(RecordingFailed):
        tx.put(person())


def test_a_transaction_ends_with_its_block(store):
    with store.writing() as tx:
        pass
    for use in (lambda: tx.put(person()), lambda: tx.find(Person), lambda: tx.act(act())):
        with pytest.raises(InvalidInput, match="the transaction is over"):
            use()


def test_writers_of_many_threads_go_one_at_a_time(store):
    def count_up():
        for _ in range(10):
            with store.writing() as tx:
                row = tx.get(Person, "p-1")
                tx.put(replace(row, version=row.version + 1))

    with store.writing() as tx:
        tx.put(person(version=0))
    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.reading() as tx:
        assert tx.get(Person, "p-1").version == 40


def test_two_processes_that_open_the_file_write_by_turns(path):
    with PeopleStore(path) as one, PeopleStore(path) as other:
        with one.writing() as tx:
            tx.put(person("p-1"))
        with other.writing() as tx:
            tx.put(person("p-2"))
        with one.reading() as tx:
            assert tx.count(Person) == 2


def test_a_file_that_another_process_holds_is_busy(path, monkeypatch):
    monkeypatch.setattr("kedge.storage.people_store.BUSY_S", 0.01)
    with PeopleStore(path) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Conflict, match="busy"), store.writing():
            pass
        other.execute("ROLLBACK")
        other.close()
        with store.writing() as tx:
            tx.put(person())


def test_a_full_disk_changes_nothing_and_is_told_as_such(store):
    def put_many():
        with store.writing() as tx:
            for number in range(500):
                tx.put(person(f"p-{number}", display_name="x" * 500))

    store._writer.execute("PRAGMA max_page_count = 1")
    with pytest.raises(RecordingFailed, match="nothing was changed"):
        put_many()
    store._writer.execute("PRAGMA max_page_count = 1073741823")
    with store.writing() as tx:
        assert not tx.count(Person)
        tx.put(person())


def test_errors_of_the_caller_stay_what_they_are(store):
    with pytest.raises(sqlite3.OperationalError), store.writing():
        raise sqlite3.OperationalError("of another file")
    with pytest.raises(UnicodeDecodeError), store.reading():
        b"\xff".decode()


def test_file_and_folder_are_for_their_owner_alone(store, path):
    with store.writing() as tx:
        tx.put(person())
    files = sorted(path.parent.iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in files] == ["people.sqlite", "people.sqlite-shm", "people.sqlite-wal"]


@pytest.mark.parametrize(("which", "mode"), [("file", 0o640), ("folder", 0o755)])
def test_what_others_can_read_is_refused_with_the_remedy(path, which, mode):
    PeopleStore(path).close()
    place = path if which == "file" else path.parent
    place.chmod(mode)
    with pytest.raises(InvalidConfig) as caught:
        PeopleStore(path)
    assert f"{mode:04o}" in caught.value.what
    assert caught.value.fix.startswith("chmod ")


def test_a_place_that_cannot_hold_a_file_is_told(tmp_path):
    (tmp_path / "people").write_text("a file")
    with pytest.raises(RecordingFailed, match="cannot make"):
        PeopleStore(tmp_path / "people" / "people.sqlite")


def test_a_link_to_another_file_is_not_followed(tmp_path, path):
    path.parent.mkdir(parents=True, mode=0o700)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordingFailed, match="cannot make"):
        PeopleStore(path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (["PRAGMA application_id = 7"], "application id"),
        (["CREATE TABLE extra (x)"], "tables are not those"),
        (["DROP INDEX session_by_person_id"], "tables are not those"),
        (["CREATE TRIGGER t AFTER INSERT ON person BEGIN DELETE FROM passkey; END"], "tables are not those"),
        (["PRAGMA user_version = 0"], "nothing leads from layout 0"),
        (
            ["PRAGMA writable_schema = ON", "DELETE FROM sqlite_master WHERE name = 'person_by_state'"],
            "tables are not those",
        ),
    ],
)
def test_a_file_that_was_bent_is_refused(path, statements, expected):
    PeopleStore(path).close()
    execute(path, *statements)
    with pytest.raises(IntegrityError, match=expected):
        PeopleStore(path)


def test_a_file_of_something_else_is_refused(path):
    path.parent.mkdir(parents=True, mode=0o700)
    path.write_bytes(b"no database at all" * 100)
    path.chmod(0o600)
    with pytest.raises(IntegrityError, match="cannot be read"):
        PeopleStore(path)


def test_pages_that_were_overwritten_are_refused(path):
    with PeopleStore(path) as store, store.writing() as tx:
        for number in range(200):
            tx.put(person(f"p-{number}"))
    data = bytearray(path.read_bytes())
    for start in range(4096 * 3 + 100, len(data), 4096):
        data[start : start + 200] = b"\xff" * 200
    path.write_bytes(data)
    with pytest.raises(IntegrityError):
        PeopleStore(path)


def test_a_file_of_a_later_version_is_left_alone(path):
    PeopleStore(path).close()
    execute(path, "PRAGMA user_version = 99")
    with pytest.raises(InvalidConfig, match="has layout 99"):
        PeopleStore(path)


def test_an_earlier_layout_is_led_to_this_one_in_one_transaction(path, monkeypatch):
    with PeopleStore(path) as store, store.writing() as tx:
        tx.put(person())
    execute(path, "DROP INDEX person_by_state", "PRAGMA user_version = 0")
    index = "CREATE INDEX person_by_state ON person (state)"
    monkeypatch.setitem(people_layout.MIGRATIONS, 0, (index, "SELECT no_such_column FROM person"))
    with pytest.raises(IntegrityError, match="no_such_column"):
        PeopleStore(path)
    monkeypatch.setitem(people_layout.MIGRATIONS, 0, (index,))
    with PeopleStore(path) as store, store.reading() as tx:
        assert tx.find(Person, state="active") == [person()]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE person SET state = 'disabled'",
        "UPDATE person SET name = 'somebody else'",
        "UPDATE person SET body = replace(body, 'admin', 'king')",
        "UPDATE person SET body = CAST(replace(CAST(body AS TEXT), '\"version\":1', '\"version\":1.0') AS BLOB)",
        "UPDATE person SET body = CAST(replace(CAST(body AS TEXT), '{', '{\"strange\":1,') AS BLOB)",
        "UPDATE person SET body = CAST(CAST(body AS TEXT) || ' ' AS BLOB)",
        "UPDATE person SET body = x'00ff'",
        "UPDATE person SET body = 12",
        "UPDATE person SET name = CAST(x'ff' AS TEXT)",
    ],
)
def test_a_row_that_was_bent_is_refused_wherever_it_is_read(store, path, statement):
    with store.writing() as tx:
        tx.put(person())
    execute(path, statement)
    with store.reading() as tx:
        for read in (lambda: tx.get(Person, "p-1"), lambda: tx.find(Person), lambda: tx.page(Person, 5)):
            with pytest.raises(IntegrityError):
                read()


def test_acts_wait_in_the_order_in_which_they_were_written_each_once(store):
    with store.writing() as tx:
        for number in (3, 1, 2, 1):
            tx.act(act(number))
    with store.writing() as tx:
        due = tx.acts_due()
        assert [one.act.act_id for one in due] == ["act-3", "act-1", "act-2"]
        assert [one.act.act_id for one in tx.acts_due(1)] == ["act-3"]
        tx.forget_acts(one.number for one in due[:2])
        assert [one.act for one in tx.acts_due()] == [act(2)]


@pytest.mark.parametrize(
    "changes", [{"wall_ns": 1.5}, {"outcome": "perhaps"}, {"reason": 3}, {"details": {"n": 1}}, {"subject": "x" * 40_000}]
)
def test_an_act_that_cannot_be_recorded_is_refused_before_anything_is_kept(store, changes):
    with store.writing() as tx:
        with pytest.raises(InvalidInput):
            tx.act(act(**changes))
        assert tx.acts_due() == []


def test_an_acts_free_text_is_redacted_before_it_is_kept(store, path):
    token = "kedge_pat_" + "a" * 46
    with store.writing() as tx:
        tx.act(act(reason="password=hunter22", details={"note": f"with {token}", "token": "plain"}))
        [due] = tx.acts_due()
    assert due.act.reason == "password=REDACTED"
    assert due.act.details == {"note": "with REDACTED", "token": "REDACTED"}
    written = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"hunter22" not in written
    assert token.encode() not in written


@pytest.mark.parametrize("statement", ["UPDATE acts_due SET act_id = 'another'", "UPDATE acts_due SET body = x'00'"])
def test_an_act_that_was_bent_while_it_waited_is_refused(store, path, statement):
    with store.writing() as tx:
        tx.act(act())
    execute(path, statement)
    with store.reading() as tx, pytest.raises(IntegrityError, match="acts_due 1"):
        tx.acts_due()
