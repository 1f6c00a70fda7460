"""Stores: the journal's files, and the keys that sign it. The only rooms below `services` that write to disk.

Rules: what is reported as written is durable; a damaged file is an IntegrityError with its place, never a traceback.
"""

from kedge.storage.journal_memory import MemoryJournal
from kedge.storage.journal_reader import SqliteJournalReader
from kedge.storage.journal_sqlite import SqliteJournal
from kedge.storage.journal_verify import verify_journal
from kedge.storage.keys import PublicKey, SigningKey, load_or_create_key, load_public_key

__all__ = [
    "MemoryJournal",
    "PublicKey",
    "SigningKey",
    "SqliteJournal",
    "SqliteJournalReader",
    "load_or_create_key",
    "load_public_key",
    "verify_journal",
]
