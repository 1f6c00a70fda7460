"""Whatever somebody does to blobs and index beside a journal's rows, verification finds it, and what is read is right or refused."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.canonical import digest
from kedge.domain.errors import IntegrityError, NotFound
from kedge.domain.events import BarClosed, OrderCanceled
from kedge.domain.outputs import Decided, Predicted
from kedge.storage import SigningKey, SqliteJournal, SqliteJournalReader, verify_journal

from .test_journal_tampering import START

KEY = SigningKey.generate()
Told = dict[str, bytes]


def bodies() -> st.SearchStrategy[list[bytes]]:
    """Features of a few predictions; some are equal."""
    return st.lists(st.binary(min_size=0, max_size=12), min_size=1, max_size=8)


@contextmanager
def journal(features: list[bytes], group_size: int, *, rest: bool = True) -> Iterator[tuple[Path, Told]]:
    """A file with a prediction and a decision per bar, and a cancel between them."""
    with tempfile.TemporaryDirectory() as folder:
        path, told = Path(folder) / "run.journal", {}
        with SqliteJournal(path, signer=KEY, source="test", group_size=group_size) as store:
            store.start(START)
            for n, body in enumerate(features, 1):
                name = digest(body)
                told[name] = body
                store.keep({name: body})
                predicted = Predicted(
                    prediction_id=f"run-1.p{n}", instrument="v:A", model_sha256="1" * 64, features_sha256=name, score_hex="0" * 16,
                    probability_hex="0" * 16, probability_e8=0, expected_return_e8=0, horizon_ns=1,
                )  # fmt: skip
                decided = Decided(
                    decision_id=f"run-1.{n}", strategy="model", instrument="v:A", exposure_e8=0, target_lots=0, mark_ticks=1, equity_e8=1,
                    prediction_id=f"run-1.p{n}",
                )  # fmt: skip
                store.commit(BarClosed(n + 1, "v:A", n, 10, 12, 9, 11, n), (predicted, decided))
                if rest:
                    store.commit(OrderCanceled(n, f"c{n}", "by us"), ())
        yield path, told


@given(bodies(), st.integers(1, 6))
def test_what_was_kept_is_read_found_and_whole(features: list[bytes], group_size: int) -> None:
    with journal(features, group_size) as (path, told), SqliteJournalReader(path) as reader:
        assert {name: reader.blob(name) for name in told} == told
        for n in range(1, len(features) + 1):
            seq = 2 * n - 1
            assert reader.find(f"run-1.p{n}") == [("decided", seq), ("predicted", seq)]
            assert reader.find(f"c{n}") == [("canceled", seq + 1)]
        report = verify_journal(path, KEY.public)
        assert report.ok, report.findings


@given(bodies(), st.data())
def test_any_other_bytes_under_a_name_are_found_and_refused(features: list[bytes], data: st.DataObject) -> None:
    with journal(features, 3) as (path, told):
        name = data.draw(st.sampled_from(sorted(told)), label="blob")
        other = data.draw(st.binary(max_size=12).filter(lambda body: body != told[name]) | st.none() | st.text(max_size=4), label="other")
        with closing(sqlite3.connect(path)) as db, db:
            if other is None:
                db.execute("DELETE FROM blobs WHERE sha256 = ?", (bytes.fromhex(name),))
            else:
                db.execute("UPDATE blobs SET body = ? WHERE sha256 = ?", (other, bytes.fromhex(name)))
        assert any(name[:16] in finding.detail for finding in verify_journal(path, KEY.public).findings)
        with SqliteJournalReader(path) as reader, pytest.raises((IntegrityError, NotFound), match=name[:16]):
            reader.blob(name)


@given(bodies(), st.data())
def test_any_entry_put_in_taken_out_or_changed_in_the_index_is_found_and_a_lone_answer_stays_right(
    features: list[bytes], data: st.DataObject
) -> None:
    with journal(features, 3) as (path, _):
        with closing(sqlite3.connect(path)) as db, db:
            entries = db.execute("SELECT id, kind, seq FROM ids ORDER BY id, seq, kind").fetchall()
            id, kind, seq = data.draw(st.sampled_from(entries), label="entry")
            how = data.draw(st.sampled_from(["delete", "move", "add"]), label="how")
            if how != "add":
                db.execute("DELETE FROM ids WHERE (id, kind, seq) = (?, ?, ?)", (id, kind, seq))
            if how != "delete":
                shift = data.draw(st.integers(1, 50), label="shift")
                db.execute("INSERT INTO ids VALUES (?, ?, ?)", (id, kind, seq + shift + 2 * len(features)))
        assert {str(finding.kind) for finding in verify_journal(path, KEY.public).findings} == {"index"}
        if how != "delete" or [entry[0] for entry in entries].count(id) == 1:
            with SqliteJournalReader(path) as reader:
                assert reader.find(id) == [(one_kind, at) for one_id, one_kind, at in entries if one_id == id]
