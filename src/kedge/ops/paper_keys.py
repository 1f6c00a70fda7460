"""The keys of paper accounts: made once, kept in `<state>/paper/keys.json`, readable by their owner only, never shown.

Rules: exchange, trader and guard read the same file, so that nobody types a secret; trader and guard have a key each, on one account; a
file that is damaged or open to others is refused, never replaced, because a run may still depend on it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from kedge.domain.errors import InvalidConfig
from kedge.domain.units import E8

FOLDER: Final = "paper"
FILE: Final = "keys.json"
TRADER: Final = "trader"
GUARD: Final = "guard"
NAMES: Final = (TRADER, GUARD)
ACCOUNT: Final = "10000001"
"""The paper account's number at the exchange; its user id there."""
PERMISSIONS: Final = ("ContractTrade.Order", "ContractTrade.Position")
"""What a trader and a guard need; every key may read its own wallet, and none of these may move money."""
WALLET_E8: Final = 100_000 * E8


class PaperKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key of one paper account. `wallet_e8` is what the account is opened with, in 1e-8 of the quote currency."""

    name: str
    api_key: str
    api_secret: str
    account: str
    permissions: tuple[str, ...] = PERMISSIONS
    wallet_e8: int = WALLET_E8
    created_ns: int = 0

    def __repr__(self) -> str:
        return f"PaperKey(name={self.name!r}, account={self.account!r})"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: str
    keys: list[PaperKey]


_SCHEMA: Final = "kedge/paper-keys/v1"


def paper_keys_file(state_folder: Path) -> Path:
    """Where the keys are kept."""
    return state_folder / FOLDER / FILE


def load_or_create_paper_keys(state_folder: Path) -> list[PaperKey]:
    """The paper keys of a state folder, made on first use: one for the trader, one for the guard of the same account.

    A file of before there was a guard gets its key.

    Raises
    ------
    InvalidConfig
        The file is damaged, holds no key, or others than its owner may read it.
    """
    path = paper_keys_file(state_folder)
    if not path.exists():
        _create(path, [_made(name) for name in NAMES])
    keys = _load(path)
    if _lacks_guard(keys):
        with _alone(path.parent):  # else each of the processes that start together would go by a key of its own
            keys = _load(path)
            if _lacks_guard(keys):
                keys = [*keys, _made(GUARD, next(key for key in keys if key.name == TRADER))]
                _replace(path, keys)
    return keys


def _lacks_guard(keys: list[PaperKey]) -> bool:
    """Whether the file is one of before there was a guard."""
    names = {key.name for key in keys}
    return TRADER in names and GUARD not in names


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def paper_key(state_folder: Path, name: str = TRADER) -> PaperKey:
    """The key of one name.

    Raises
    ------
    InvalidConfig
        As `load_or_create_paper_keys`, or no key has this name.
    """
    keys = load_or_create_paper_keys(state_folder)
    for key in keys:
        if key.name == name:
            return key
    known = ", ".join(key.name for key in keys)
    raise InvalidConfig(f"no paper key {name!r}", why=f"{paper_keys_file(state_folder)} holds {known}", fix="use one of these names")


def _made(name: str, beside: PaperKey | None = None) -> PaperKey:
    """A new key, on the account of the one beside it."""
    return PaperKey(
        name=name,
        api_key=secrets.token_hex(9),
        api_secret=secrets.token_hex(18),
        account=ACCOUNT if beside is None else beside.account,
        wallet_e8=WALLET_E8 if beside is None else beside.wallet_e8,
        created_ns=time.time_ns(),
    )


def _create(path: Path, keys: list[PaperKey]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = _draft(path, keys)
    try:
        # a link fails where another process was faster, and then its keys are the keys
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _replace(path: Path, keys: list[PaperKey]) -> None:
    _draft(path, keys).replace(path)


def _draft(path: Path, keys: list[PaperKey]) -> Path:
    draft = path.parent / f".{FILE}.{os.getpid()}.{secrets.token_hex(4)}"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(_File(_SCHEMA, keys)), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return draft


def _load(path: Path) -> list[PaperKey]:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise InvalidConfig(
            f"paper keys {path} have permissions {mode:04o}", why="others than their owner can read or change them", fix=f"chmod 600 {path}"
        )
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_File)
    except msgspec.DecodeError as error:
        raise InvalidConfig(
            f"paper keys {path} are damaged", why=str(error), fix="restore the file, or move it away to have new keys made for a new market"
        ) from None
    names = [key.name for key in found.keys]
    blank = any(not (key.name and key.api_key and key.api_secret and key.account.isdigit()) for key in found.keys)
    if (
        not names
        or len(set(names)) < len(names)
        or len({key.api_key for key in found.keys}) < len(names)
        or blank
        or found.schema != _SCHEMA
    ):
        raise InvalidConfig(
            f"paper keys {path} are damaged",
            why=f"needed: schema {_SCHEMA}, one key or more, names and keys unique and not empty, accounts of digits",
            fix="restore the file, or move it away to have new keys made for a new market",
        )
    return found.keys
