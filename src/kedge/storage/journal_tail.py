"""Reads the end of a journal before it is continued, and refuses to continue what does not end as its writer left it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from kedge.domain.canonical import GENESIS, chain_hash
from kedge.domain.errors import IntegrityError
from kedge.journal import Head, Signer, Tail, decode_head
from kedge.storage.journal_files import head_path, read_if_there
from kedge.storage.journal_head import newest_copy

_FIX = "keep the files as evidence, run `kedge audit verify`, restore a backup or start another journal"


def read_tail(db: sqlite3.Connection, path: Path, key: Signer) -> tuple[Tail | None, Head | None, bool]:
    """Where the journal ends.

    Returns
    -------
    tail, head, lags
        The tail to continue from and its head (both None in an empty journal), and whether the head file lags by
        the one group that a crash leaves behind.

    Raises
    ------
    IntegrityError
        Rows after the last signed head, a head file ahead of the journal or of another journal, or another key.
    """
    last_two = db.execute("SELECT seq, hash, body FROM rows ORDER BY seq DESC LIMIT 2").fetchall()
    copy = read_if_there(head_path(path))
    if not last_two:
        if copy is not None:
            raise _refuse(path, "the journal is empty and its head file is not: the tail was cut")
        return None, None, False
    seq, stored, body = last_two[0]
    if not all(type(value) is bytes for row in last_two for value in row[1:]):
        raise _refuse(path, f"row {seq} or the one before holds another type where bytes belong")
    previous = last_two[1][1] if len(last_two) > 1 else GENESIS
    head = decode_head(body)
    if head is None:
        raise _refuse(path, f"row {seq} comes after the last signed head: the tail was lengthened")
    _check_head(path, head, key, seq=seq, previous=previous, link_holds=chain_hash(previous, body) == stored)
    tail = Tail(head.run_id, seq + 1, head.count, head.group + 1, stored)
    return tail, head, _lags(path, head, copy, key)


def _check_head(path: Path, head: Head, key: Signer, *, seq: int, previous: bytes, link_holds: bool) -> None:
    if head.key_id != key.key_id:
        raise _refuse(path, f"it is signed with key {head.key_id}, this process has {key.key_id}")
    if not _signed(head, key):
        raise _refuse(path, f"the signature of the head in row {seq} is wrong")
    if head.seq != seq or head.last_hash != previous.hex() or not link_holds:
        raise _refuse(path, f"the head in row {seq} does not follow from row {seq - 1}")


def _signed(head: Head, key: Signer) -> bool:
    # Ed25519 is deterministic, so the signer can check its own signature
    return head.key_id == key.key_id and head.signature == key.sign(head.claim()).hex()


def _lags(path: Path, head: Head, file: bytes | None, key: Signer) -> bool:
    copy = None if file is None else decode_head(newest_copy(file, lambda slot: _signed(slot, key)).body)
    if file is not None and (copy is None or not _signed(copy, key)):
        raise _refuse(path, "the head file is damaged or signed with another key")
    if copy is not None and copy.run_id != head.run_id:
        raise _refuse(path, f"the head file belongs to run {copy.run_id}, the journal holds {head.run_id}")
    copied_group = -1 if copy is None else copy.group
    if copied_group > head.group:
        raise _refuse(path, f"the head file is {copied_group - head.group} groups ahead of the journal: the tail was cut")
    if head.group - copied_group > 1:
        raise _refuse(path, f"the head file is {head.group - copied_group} groups behind the journal; a crash leaves one")
    if copied_group == head.group and copy != head:
        raise _refuse(path, f"the head file and row {head.seq} hold different heads")
    return copied_group < head.group


def _refuse(path: Path, why: str) -> IntegrityError:
    return IntegrityError(f"journal {path} cannot be continued", why=why, fix=_FIX)
