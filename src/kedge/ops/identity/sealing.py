"""Secrets that must be read again (TOTP) are sealed with AES-256-GCM by a key file of the state folder; the same key signs device cookies.

Rules: the key is made once, is readable by its owner only, and is refused where others could read it. What is sealed is bound to what it
is for: sealed text that is moved to another person does not open.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kedge.domain.errors import IntegrityError, InvalidConfig

KEY_FILE: Final = "sealing.key"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
VERSION: Final = "v1:"


class Sealer:
    """Seals and opens short secrets, and makes codes of authentication, with keys derived from one."""

    def __init__(self, key: bytes, random_bytes: Callable[[int], bytes]) -> None:
        self._aead = AESGCM(_derived(key, b"kedge/seal/v1"))
        self._mac_key = _derived(key, b"kedge/mac/v1")
        self._random_bytes = random_bytes

    def seal(self, secret: bytes, *, bound_to: str) -> str:
        """Sealed text; only `open` with the same `bound_to` reads it."""
        nonce = self._random_bytes(NONCE_BYTES)
        return VERSION + (nonce + self._aead.encrypt(nonce, secret, bound_to.encode())).hex()

    def open(self, sealed: str, *, bound_to: str) -> bytes:
        """The secret.

        Raises
        ------
        IntegrityError
            It was altered, is for something else, or was sealed with another key.
        """
        try:
            if not sealed.startswith(VERSION):
                raise ValueError(VERSION)
            raw = bytes.fromhex(sealed.removeprefix(VERSION))
            return self._aead.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], bound_to.encode())
        except (InvalidTag, ValueError):
            raise IntegrityError(
                f"a sealed secret of {bound_to} does not open",
                why=f"it was altered, or {KEY_FILE} is not the key that sealed it",
                fix="restore the key from the backup that the store came from, or have the person set up anew",
            ) from None

    def mac(self, text: str) -> str:
        """A code of authentication that only this key makes, as hex."""
        return hmac.new(self._mac_key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def is_mac(self, text: str, code: str) -> bool:
        """Whether the code is this key's, told in constant time."""
        return hmac.compare_digest(self.mac(text).encode(), code.encode("utf-8", "replace"))


def load_or_create_sealer(folder: Path, random_bytes: Callable[[int], bytes]) -> Sealer:
    """The sealer of a folder; its key is made on first use.

    Raises
    ------
    InvalidConfig
        Others than the owner may read the key, or the file holds none.
    """
    path = folder / KEY_FILE
    if not path.exists():
        _create(folder, path, random_bytes)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise InvalidConfig(
            f"sealing key {path} has permissions {mode:04o}",
            why="others than its owner can read or change it",
            fix=f"chmod 600 {path}; if somebody may have read it, everybody sets up their authenticator app anew",
        )
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise InvalidConfig(
            f"sealing key {path} is damaged", why=f"it holds {len(key)} bytes, not {KEY_BYTES}", fix="restore it from a backup"
        )
    return Sealer(key, random_bytes)


def _create(folder: Path, path: Path, random_bytes: Callable[[int], bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = folder / f".{KEY_FILE}.{os.getpid()}.{os.urandom(4).hex()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(random_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # a link fails where another process was faster, and then its key is the key
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.new(key, purpose, hashlib.sha256).digest()
