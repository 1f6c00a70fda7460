"""The text of tokens and codes."""

from __future__ import annotations

import os
import re
import zlib
from collections import Counter

import pytest

from kedge.ops.identity import secret_text
from kedge.ops.identity.secret_text import BASE62, is_token, new_recovery_code, new_token, new_user_code, recovery_hash, user_code_of


def test_a_token_is_marked_long_and_ends_with_its_checksum() -> None:
    token = new_token(os.urandom)
    assert re.fullmatch(r"kedge_pat_[0-9A-Za-z]{46}", token)
    body, check = token[10:50], token[50:]
    value = 0
    for digit in check:
        value = value * 62 + BASE62.index(digit)
    assert value == zlib.crc32(body.encode())
    assert is_token(token)


def test_a_mistyped_token_is_told_without_a_look_into_the_store() -> None:
    token = new_token(os.urandom)
    for place in range(len(token)):
        other = "0" if token[place] != "0" else "1"
        assert not is_token(token[:place] + other + token[place + 1 :])
    for text in ("", token[:-1], token + "0", token.upper(), "kedge_pat_" + "ä" * 46):
        assert not is_token(text)


def test_every_character_has_the_same_chance() -> None:
    counts = Counter("".join(new_token(os.urandom)[10:50] for _ in range(3000)))
    assert set(counts) == set(BASE62)
    expected = 3000 * 40 / 62
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 130  # chi-squared, 61 degrees, about 1 in a million


def test_a_user_code_has_no_vowels_and_is_read_as_people_type_it() -> None:
    code = new_user_code(os.urandom)
    assert re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", code)
    for typed in (code, code.lower(), code.replace("-", ""), f" {code.replace('-', ' ')} "):
        assert user_code_of(typed) == code


@pytest.mark.parametrize("typed", ["", "BCDF", "BCDF-GHJKL", "AEIO-UAEI", "x" * 1000])
def test_what_is_no_user_code_is_none(typed: str) -> None:
    assert user_code_of(typed) == ""


def test_a_recovery_code_is_read_as_people_copy_it() -> None:
    code = new_recovery_code(lambda count: bytes(range(count)))
    assert code == "0123-4567-89ab-cdef"
    for typed in ("0123 4567 89AB CDEF", "oi23-4567-89ab-cdef", "Ol23456789abcdef"):
        assert recovery_hash(typed) == recovery_hash(code)
    assert recovery_hash("0123-4567-89ab-cdeg") != recovery_hash(code)


def test_what_is_kept_is_a_hash() -> None:
    assert secret_text.hash_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert len(secret_text.new_secret(os.urandom)) == 64
