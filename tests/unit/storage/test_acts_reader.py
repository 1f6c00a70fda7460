"""Acts are read back newest first, page by page, also by one person or one action, and never half."""

from __future__ import annotations

import sqlite3

import pytest
from tests.unit.storage.people import act

from kedge.domain.errors import IntegrityError, InvalidInput
from kedge.storage import acts_reader
from kedge.storage.acts_journal import ActsWriter
from kedge.storage.acts_reader import ActReader


@pytest.fixture
def writer(tmp_path, key):
    made = ActsWriter(tmp_path / "acts" / "journal.sqlite", signer=key, engine_version="0.1.0", wall_ns=lambda: 9, random_bytes=bytes)
    yield made
    made.close()


@pytest.fixture
def reader(writer):
    return ActReader(writer.path)


def ids(page):
    return [one.act.act_id for one in page.acts]


def walk(reader, limit, **wanted):
    """All pages, one after another."""
    pages = [reader.page(limit, **wanted)]
    while pages[-1].before_seq is not None:
        pages.append(reader.page(limit, pages[-1].before_seq, **wanted))
    return pages


@pytest.mark.parametrize("group", [1, 7, 700])
@pytest.mark.parametrize("limit", [1, 3, 300])
def test_pages_hold_every_act_once_newest_first(writer, reader, group, limit):
    numbers = range(1, 32 if 1 in (limit, group) else 601)
    for first in range(numbers.start, numbers.stop, group):
        writer.append([act(number) for number in range(first, min(first + group, numbers.stop))])
    pages = walk(reader, limit)
    assert [one for page in pages for one in ids(page)] == [f"act-{number}" for number in reversed(numbers)]
    assert [stored.seq for page in pages for stored in page.acts] == list(reversed(numbers))
    assert all(len(page.acts) == limit for page in pages[:-1])


def test_what_is_written_meanwhile_moves_no_page(writer, reader):
    writer.append([act(number) for number in range(1, 6)])
    first = reader.page(2)
    writer.append([act(6)])
    assert ids(reader.page(2, first.before_seq)) == ["act-3", "act-2"]


def test_acts_of_one_person_or_one_action(writer, reader):
    writer.append([act(n, person_id=f"p-{n % 2}", action="halt" if n % 3 else "resume") for n in range(1, 13)])
    assert ids(reader.page(50, person_id="p-1")) == [f"act-{n}" for n in (11, 9, 7, 5, 3, 1)]
    assert ids(reader.page(50, action="resume")) == [f"act-{n}" for n in (12, 9, 6, 3)]
    assert ids(reader.page(50, person_id="p-1", action="resume")) == ["act-9", "act-3"]
    assert [ids(page) for page in walk(reader, 1, action="resume", person_id="p-0")] == [["act-12"], ["act-6"], []]


def test_a_rare_filter_gives_short_pages_and_never_looks_at_everything_at_once(writer, reader, monkeypatch):
    monkeypatch.setattr(acts_reader, "ROWS_LOOKED_AT_MAX", 20)
    writer.append([act(n, person_id="rare" if n == 2 else "p-1") for n in range(1, 61)])
    pages = walk(reader, 5, person_id="rare")
    assert [one for page in pages for one in ids(page)] == ["act-2"]
    assert len(pages) > 2
    assert pages[0].acts == []


def test_a_journal_that_is_empty_or_not_there_holds_no_acts(tmp_path, reader):
    assert reader.page(5) == ActReader(tmp_path / "nothing.sqlite").page(5) == ([], None)


@pytest.mark.parametrize("before", [-5, 0, 1, 10**12])
def test_a_cursor_from_nowhere_gives_a_page_all_the_same(writer, reader, before):
    writer.append([act(1)])
    assert ids(reader.page(5, before)) == (["act-1"] if before > 1 else [])


@pytest.mark.parametrize("limit", [0, -1, 501])
def test_a_page_of_no_size_or_too_large_is_refused(reader, limit):
    with pytest.raises(InvalidInput, match=f"limit is {limit}"):
        reader.page(limit)


@pytest.mark.parametrize(
    "bend",
    [
        lambda body: body.replace(b'{"act":{', b'{"act":{"strange":1,'),
        lambda body: body + b" ",
        lambda body: body.replace(b'"outcome":"done"', b'"outcome":"undone"'),
        lambda body: b"\xff",
    ],
)
def test_an_act_that_was_bent_is_refused(writer, reader, bend):
    writer.append([act(1)])
    db = sqlite3.connect(writer.path, isolation_level=None)
    [(body,)] = db.execute("SELECT body FROM rows WHERE seq = 2")
    db.execute("UPDATE rows SET body = ? WHERE seq = 2", (bend(body),))
    db.close()
    with pytest.raises(IntegrityError, match="row 2"):
        reader.page(5)


def test_the_newest_act_that_fits_is_found_however_far_back(writer, reader):
    assert ActReader(writer.path.with_name("none")).newest(lambda act: True) is None
    writer.append([act(number) for number in range(600)])
    assert reader.newest(lambda one: True) == act(599)
    assert reader.newest(lambda one: one.act_id == "act-3") == act(3)
    assert reader.newest(lambda one: one.subject == "nothing") is None
