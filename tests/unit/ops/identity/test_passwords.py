"""Which passwords are allowed, and what their hashes cost."""

from __future__ import annotations

import threading

import pytest
from argon2 import extract_parameters

from kedge.domain.errors import InvalidInput, TooMany
from kedge.ops.identity.common_passwords import COMMON_LETTERS, COMMON_PASSWORDS
from kedge.ops.identity.passwords import VERIFICATIONS_AT_ONCE, WAITING_MAX, Argon2Cost, Passwords, Verdict, check_password

CHEAP = Argon2Cost(memory_kib=64, passes=1, lanes=1)


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(CHEAP)


def test_todays_parameters_are_above_the_floor_of_owasp() -> None:
    made = extract_parameters(Passwords().hash("violet tractor moon 77"))
    assert made.type.name == "ID"
    assert made.memory_cost >= 19 * 1024
    assert made.time_cost >= 2
    assert (made.salt_len, made.hash_len, made.version) == (16, 32, 19)


def test_a_hash_fits_its_password_alone(passwords: Passwords) -> None:
    phc = passwords.hash("violet tractor moon 77")
    assert passwords.verify(phc, "violet tractor moon 77") == Verdict(True, False)
    for other in ("violet tractor moon 78", "Violet tractor moon 77", "", "violet tractor moon 77 "):
        assert not passwords.verify(phc, other).fits
    assert passwords.hash("violet tractor moon 77") != phc


def test_the_same_letters_from_another_keyboard_fit(passwords: Passwords) -> None:
    assert passwords.verify(passwords.hash("cafe\u0301 tractor moon"), "caf\u00e9 tractor moon").fits


def test_nobodys_password_never_fits_and_is_hashed_all_the_same(passwords: Passwords) -> None:
    before = passwords.computed
    assert not passwords.verify(None, "violet tractor moon 77").fits
    assert passwords.computed == before + 1


def test_nobodys_hash_costs_what_a_persons_does() -> None:
    made = Passwords()
    assert extract_parameters(made._nobodys) == extract_parameters(made.hash("violet tractor moon 77"))


@pytest.mark.parametrize("phc", ["", "x", "$argon2id$v=19$m=64,t=1,p=1$AAAA", "plain text"])
def test_a_damaged_hash_fits_nothing(passwords: Passwords, phc: str) -> None:
    assert passwords.verify(phc, "violet tractor moon 77") == Verdict(False, False)


def test_a_hash_of_other_parameters_is_told_when_it_fits(passwords: Passwords) -> None:
    old = Passwords(Argon2Cost(memory_kib=128, passes=2, lanes=1)).hash("violet tractor moon 77")
    assert passwords.verify(old, "violet tractor moon 77") == Verdict(True, True)
    assert passwords.verify(old, "something else 123") == Verdict(False, False)


def test_odd_and_endless_passwords_fit_nothing_and_do_no_harm(passwords: Passwords) -> None:
    phc = passwords.hash("violet tractor moon 77")
    for odd in ("\udcff", "\x00", "x" * 1_000_000, "violet tractor moon 77" + "\x00"):
        assert not passwords.verify(phc, odd).fits


def test_at_most_two_are_hashed_at_once_two_more_wait_and_others_are_sent_away(passwords: Passwords) -> None:
    phc = passwords.hash("violet tractor moon 77")
    inside, most, lock, full, go = 0, 0, threading.Lock(), threading.Event(), threading.Event()

    real = passwords._fits

    def slowly(given: str, password: str) -> bool:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
            if inside == VERIFICATIONS_AT_ONCE:
                full.set()
        go.wait(60)
        try:
            return real(given, password)
        finally:
            with lock:
                inside -= 1

    passwords._fits = slowly  # type: ignore[method-assign]
    told: list[bool] = []

    def ask() -> None:
        try:
            told.append(passwords.verify(phc, "x" * 12).fits)
        except TooMany:
            sent.release()

    sent = threading.Semaphore(0)
    threads = [threading.Thread(target=ask) for _ in range(VERIFICATIONS_AT_ONCE + WAITING_MAX + 3)]
    for thread in threads:
        thread.start()
    assert full.wait(60)
    assert all(sent.acquire(timeout=60) for _ in range(3))
    go.set()
    for thread in threads:
        thread.join()
    assert most == VERIFICATIONS_AT_ONCE
    assert told == [False] * (VERIFICATIONS_AT_ONCE + WAITING_MAX)
    assert passwords.verify(phc, "violet tractor moon 77").fits


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short pass1", "fewer than 12"),
        ("x" * 50 + "abcdefgh" * 20, "more than 128"),
        ("aabbaabbabab", "fewer than 5 different"),
        ("aaaaaaaaaaaaaaaa", "different"),
        ("Password1234", "common"),
        ("P@ssw0rd2026!!", "common"),
        ("qwertyuiop12", "common"),
        ("correct horse battery staple", "common"),
        ("abcdeabcdeabcde", "repeats"),
        ("tiger7tiger7tiger7", "repeats"),
        ("abcdefghijklmn", "repeats or counts"),
        ("98765432109876", "repeats or counts"),
        ("kedgekedge123", "mainly"),
        ("adalovelace1!", "mainly"),
        ("Kedge-2026-ada", "mainly"),
    ],
)
def test_what_somebody_would_try_first_is_refused(password: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as refused:
        check_password(password, name="adalovelace", display_name="Ada Lovelace")
    assert password not in str(refused.value)


@pytest.mark.parametrize(
    "password",
    ["violet tractor moon 77", "x9$Kqp2!mZr7", "пароль из четырёх слов", "i met ada in 1843 on a train", "            a 5 z q w e r"],
)
def test_what_nobody_would_try_is_allowed(password: str) -> None:
    check_password(password, name="ada", display_name="")


def test_the_list_holds_what_its_rules_say() -> None:
    assert all(word == word.casefold() for word in COMMON_PASSWORDS | COMMON_LETTERS)
    assert min(map(len, COMMON_PASSWORDS)) >= 12
