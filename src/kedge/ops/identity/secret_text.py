"""The text of secrets that people and machines hold: cookies, links, tokens, device codes, recovery codes; and the hash kept of them.

Rules: every one has at least 160 bits of randomness, recovery codes 80 and user codes 34 (used once, within minutes, with attempts
counted); kept is SHA-256 alone. API tokens begin with `kedge_pat_` and end with their own checksum, so that scanners find leaked ones.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from typing import Final

RandomBytes = Callable[[int], bytes]

TOKEN_PREFIX: Final = "kedge_pat_"
TOKEN_CHARS: Final = 40
CHECK_CHARS: Final = 6
BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
USER_CODE_ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""Consonants alone, as RFC 8628 advises: no word is made by chance, and no digit looks like a letter."""
USER_CODE_CHARS: Final = 8
RECOVERY_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base32: without i, l, o and u."""
RECOVERY_CHARS: Final = 16
RECOVERY_GROUP: Final = 4
_LOOKS_LIKE: Final = str.maketrans({"o": "0", "i": "1", "l": "1"})


def hash_of(secret: str) -> str:
    """What is kept of a random secret. Passwords are no such secrets: they take argon2."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def new_secret(random_bytes: RandomBytes) -> str:
    """32 random bytes as hex: a cookie, a link, a ticket, a device code."""
    return random_bytes(32).hex()


def new_token(random_bytes: RandomBytes) -> str:
    """An API token."""
    body = _drawn(random_bytes, BASE62, TOKEN_CHARS)
    return TOKEN_PREFIX + body + _checksum(body)


def is_token(text: str) -> bool:
    """Whether this has the shape and the checksum of a token: told without a look into the store."""
    body, check = text[len(TOKEN_PREFIX) : -CHECK_CHARS], text[-CHECK_CHARS:]
    well_made = text.startswith(TOKEN_PREFIX) and len(body) == TOKEN_CHARS and all(character in BASE62 for character in body)
    return well_made and check == _checksum(body)


def new_user_code(random_bytes: RandomBytes) -> str:
    """What a person reads on a terminal and compares in the browser: `BCDF-GHJK`."""
    code = _drawn(random_bytes, USER_CODE_ALPHABET, USER_CODE_CHARS)
    return f"{code[:4]}-{code[4:]}"


def user_code_of(typed: str) -> str:
    """The code as it was shown, whatever blanks, dashes and case were typed; empty where it can be none."""
    letters = [character for character in typed.upper()[:64] if character in USER_CODE_ALPHABET]
    return f"{''.join(letters[:4])}-{''.join(letters[4:])}" if len(letters) == USER_CODE_CHARS else ""


def new_recovery_code(random_bytes: RandomBytes) -> str:
    """`xxxx-xxxx-xxxx-xxxx`."""
    code = _drawn(random_bytes, RECOVERY_ALPHABET, RECOVERY_CHARS)
    return "-".join(code[at : at + RECOVERY_GROUP] for at in range(0, RECOVERY_CHARS, RECOVERY_GROUP))


def recovery_hash(typed: str) -> str:
    """The hash of a recovery code, whatever dashes, blanks and look-alikes were typed."""
    return hash_of("recovery:" + "".join(typed.casefold()[:256].split()).replace("-", "").translate(_LOOKS_LIKE))


def _drawn(random_bytes: RandomBytes, alphabet: str, count: int) -> str:
    """Characters of equal chance: a byte past the last whole multiple of the alphabet is drawn again."""
    fair = 256 - 256 % len(alphabet)
    drawn: list[str] = []
    while len(drawn) < count:
        drawn += [alphabet[byte % len(alphabet)] for byte in random_bytes(count) if byte < fair]
    return "".join(drawn[:count])


def _checksum(body: str) -> str:
    rest, digits = zlib.crc32(body.encode("utf-8", "surrogatepass")), ""
    for _ in range(CHECK_CHARS):
        rest, digit = divmod(rest, len(BASE62))
        digits = BASE62[digit] + digits
    return digits
