"""A finished journal is sealed although somebody has it open, as the dashboard's server has, and the seal stays good when they leave."""

from __future__ import annotations

from pathlib import Path

from kedge.domain.events import BarClosed
from kedge.domain.record import RunStarted
from kedge.storage import SigningKey, SqliteJournal
from kedge.storage.journal_files import seal_path
from kedge.storage.journal_reader import SqliteJournalReader
from kedge.storage.journal_verify import verify_journal


def test_an_idle_reader_does_not_keep_a_journal_from_its_seal(
    tmp_path: Path, run_started: RunStarted, bars: list[BarClosed], key: SigningKey
) -> None:
    path = tmp_path / "run.journal"
    journal = SqliteJournal(path, signer=key, source="synthetic")
    journal.start(run_started)
    reader = SqliteJournalReader(path)
    for one in bars:
        journal.commit(one, ())
    before = reader.last_seq()
    journal.close(seal=True)
    assert seal_path(path).exists()
    assert verify_journal(path, key.public).ok
    assert reader.last_seq() == before
    reader.close()
    assert verify_journal(path, key.public).ok
    with SqliteJournalReader(path) as again:
        assert len(list(again.records())) == 1 + len(bars)
    assert verify_journal(path, key.public).ok
