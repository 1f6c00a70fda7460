"""What people may be called: a name to sign in with, and one to be shown."""

from __future__ import annotations

import re
from typing import Final

from kedge.domain.errors import InvalidInput

NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,30}[A-Za-z0-9])?")
RESERVED: Final = re.compile(r"system|unknown|nobody|[a-z]+-[0-9a-f]{20}", re.IGNORECASE)
"""What acts call those who are no person, and what an id looks like: nobody may be mistaken for either."""
DISPLAY_CHARS_MAX: Final = 80
NOBODYS_NAME: Final = "-"
"""A name that nobody can have: looked up instead of text that is no name, so that the work is the same."""


def checked_name(name: str) -> str:
    """The name, if one may have it.

    Raises
    ------
    InvalidInput
        Empty, too long, or with other characters than letters, digits, dot, dash and underscore: two names must never look alike.
    """
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"name {name[:40]!r}",
            why="a name has 1 to 32 letters (a to z), digits, dots, dashes or underscores, and begins and ends with a letter or digit",
            fix="such as ada or j.doe; the displayed name may be anything",
        )
    if RESERVED.fullmatch(name):
        raise InvalidInput(f"name {name!r} is reserved", why="records use it for something else", fix="such as ada or j.doe")
    return name


def checked_display_name(given: str, otherwise: str) -> str:
    """The displayed name, if one may have it; `otherwise` where it is empty.

    Raises
    ------
    InvalidInput
        Too long, or with characters that cannot be seen.
    """
    text = " ".join(given.split())
    if len(text) > DISPLAY_CHARS_MAX or not text.isprintable():
        raise InvalidInput(f"display_name {text[:20]!r}...", why=f"at most {DISPLAY_CHARS_MAX} visible characters", fix="shorten it")
    return text or otherwise
