"""Ed25519 keys that sign journals, kept in a folder of the user's state.

Rules: the private key is made once, is readable by its owner only, and is refused where others could read it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from kedge.domain.errors import InvalidConfig, InvalidInput, NotFound

KEY_FILE = "journal.key"
PUBLIC_FILE = "journal.pub"
_PREFIX = "ed25519:"


class PublicKey:
    """Checks signatures; a `kedge.journal.Verifier`."""

    def __init__(self, raw: bytes) -> None:
        if len(raw) != 32:
            raise InvalidInput(f"public key of {len(raw)} bytes", why="Ed25519 public keys have 32", fix="pass the line from journal.pub")
        self._key = Ed25519PublicKey.from_public_bytes(raw)
        self.raw = raw
        self.key_id = hashlib.sha256(raw).hexdigest()[:16]

    @classmethod
    def from_text(cls, text: str) -> PublicKey:
        """Read `ed25519:` and 64 hex digits."""
        try:
            if not text.strip().startswith(_PREFIX):
                raise ValueError
            digits = text.strip().removeprefix(_PREFIX)
            raw = bytes.fromhex(digits)
            if raw.hex() != digits:
                raise ValueError
            return cls(raw)
        except ValueError:
            raise InvalidInput(
                f"public key is {text[:80]!r}", why=f"must be {_PREFIX} and 64 hex digits", fix="pass the line from journal.pub"
            ) from None

    @property
    def text(self) -> str:
        return _PREFIX + self.raw.hex()

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether this key signed the message."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """Signs heads; a `kedge.journal.Signer`. Its text form never shows the private part."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key().public_bytes_raw())
        self.key_id = self.public.key_id

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key that is not kept anywhere."""
        return cls(Ed25519PrivateKey.generate())

    def __repr__(self) -> str:
        return f"SigningKey(key_id={self.key_id!r})"

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(message)


def load_or_create_key(folder: Path) -> SigningKey:
    """The signing key in `folder`, made on first use.

    Raises
    ------
    InvalidConfig
        Others than the owner may read the key, or the file holds no Ed25519 key.
    """
    path = folder / KEY_FILE
    if not path.exists():
        _create(folder, path)
    key = _load(path)
    public = folder / PUBLIC_FILE
    if not public.exists() or public.read_text().strip() != key.public.text:
        draft = _draft_of(public)
        draft.write_text(key.public.text + "\n")
        draft.replace(public)  # somebody may be reading it
    return key


def load_public_key(folder: Path) -> PublicKey:
    """The public key beside the signing key; needs no access to the private part."""
    path = folder / PUBLIC_FILE
    try:
        return PublicKey.from_text(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"no public key {path}", why="no journal was signed here yet", fix="name the folder or the public key") from None


def _draft_of(path: Path) -> Path:
    """A name that nobody else has: neither another thread, nor a process of the same number that died here before."""
    return path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")


def _create(folder: Path, path: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    draft = _draft_of(path)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        # a link fails where another process was faster, and then its key is the key
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _load(path: Path) -> SigningKey:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise InvalidConfig(
            f"signing key {path} has permissions {mode:04o}",
            why="others than its owner can read or change it",
            fix=f"chmod 600 {path}, and make a new key if somebody may have read it",
        )
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidConfig(f"signing key {path} is damaged", why="it holds no Ed25519 key", fix="restore it from a backup")
    return SigningKey(key)
