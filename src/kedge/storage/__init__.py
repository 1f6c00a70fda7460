"""Stores: the journal's files, and the keys that sign it. The only rooms below `services` that write to disk.

Rules: what is reported as written is durable; a damaged file is an IntegrityError with its place, never a traceback. Names are imported
when they are asked for: who only reads does not pay for cryptography.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kedge.storage.journal_memory import MemoryJournal
    from kedge.storage.journal_reader import SqliteJournalReader
    from kedge.storage.journal_sqlite import SqliteJournal
    from kedge.storage.journal_verify import verify_journal
    from kedge.storage.keys import PublicKey, SigningKey, load_or_create_key, load_public_key

_MODULES: Final = {
    "MemoryJournal": "journal_memory",
    "PublicKey": "keys",
    "SigningKey": "keys",
    "SqliteJournal": "journal_sqlite",
    "SqliteJournalReader": "journal_reader",
    "load_or_create_key": "keys",
    "load_public_key": "keys",
    "verify_journal": "journal_verify",
}

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


def __getattr__(name: str) -> Any:
    """A public name, from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
