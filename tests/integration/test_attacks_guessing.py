"""Guessing against a real server: who exists, passwords, codes and links; and whether an attacker can lock a victim out by guessing."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import statistics
import time
from collections.abc import Iterator

import pytest
from tests.integration.people_session import DEVICE, PASSWORD, SESSION, Answer, Browser, Served, bearer, first_person, serving

WRONG = "wrong-password-of-nobody-1"


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Admin and trader, with a passkey, a password and an app."""
    with serving(tmp_path_factory.mktemp("guessing") / "state") as served:
        yield first_person(served).add_password()


def told(answer: Answer) -> tuple[int, str, str, tuple[str, ...]]:
    """What an answer tells a stranger: everything but what is random or a clock."""
    body = {name: value for name, value in (answer.body or {}).items() if name != "correlation_id"}
    quiet = {"date", "x-correlation-id", "ratelimit", "content-length", "retry-after"}
    return answer.status, json.dumps(body, sort_keys=True), repr(sorted(answer.headers.keys() - quiet)), answer.cookies


def try_name(served: Served, name: str, address: str, password: str = WRONG, code: str = "000000", cookie: str = "") -> Answer:
    headers = {"Cookie": cookie} if cookie else {}
    given = {"name": name, "password": password, "code": code}
    return served.post("/api/v1/sign-in/password", given, address=address, **headers)


def rows(served: Served, table: str) -> int:
    with contextlib.closing(sqlite3.connect(served.state / "people" / "people.sqlite")) as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def acts_of(browser: Browser, action: str) -> list[dict[str, str]]:
    return list(browser.get(f"/api/v1/acts?action={action}&limit=500")["items"])


# who exists -----------------------------------------------------------------------------------------------------------


def test_a_failed_sign_in_tells_nothing_about_who_exists_or_what_was_wrong(ada: Browser) -> None:
    ada.invitation("invited", "viewer")
    gone = ada.invite("gone", "viewer")
    assert ada.ask("PATCH", f"/api/v1/people/{gone.person_id}", {"disabled": True}, **{"If-Match": '"2"'}).status == 200
    tried = [
        ("ada", WRONG, "000000"),
        ("ada", PASSWORD, "000000"),
        ("ADA", WRONG, ada.recovery_codes[9]),
        ("nobody", WRONG, "000000"),
        ("invited", WRONG, "000000"),
        ("gone", WRONG, "000000"),
        ("' OR 1=1 --", WRONG, "000000"),
        ("a\u0000b", WRONG, "000000"),
        ("\u0430da", PASSWORD, ada.code(1)),
        ("x" * 200, WRONG, "0" * 40),
    ]
    answers = [try_name(ada.served, *one[:1], f"127.0.2.{at + 1}", *one[1:]) for at, one in enumerate(tried)]
    assert {told(answer) for answer in answers} == {told(answers[0])}
    assert (answers[0].status, answers[0].code) == (401, "SIGN_IN_REFUSED")


def test_the_first_failure_under_a_name_writes_as_much_whether_somebody_has_it_or_not(ada: Browser) -> None:
    def written() -> tuple[int, int, int]:
        return rows(ada.served, "refused_acts"), rows(ada.served, "failure"), len(acts_of(ada, "sign-in"))

    costs = []
    try_name(ada.served, "warm", "127.0.3.1")
    for name in ("stranger", "ada", "stranger-2", "invited", "gone"):
        before = written()
        assert try_name(ada.served, name, "127.0.3.1").status == 401
        costs.append(tuple(after - was for after, was in zip(written(), before, strict=True)))
    assert len(set(costs)) == 1


def test_no_open_route_tells_who_exists(ada: Browser) -> None:
    bodies = [ada.served.post("/api/v1/sign-in/options", address="127.0.3.2").body["public_key"] for _ in range(2)]
    assert all("allowCredentials" not in body or body["allowCredentials"] == [] for body in bodies)
    for name in ("ada", "nobody"):
        body = {"token": "f" * 64, "name": name, "display_name": "X"}
        assert ada.served.post("/api/v1/setup/options", body, address="127.0.3.2").code == "LINK_REFUSED"
        answer = ada.served.post("/api/v1/setup/password", {**body, "password": WRONG}, address="127.0.3.2")
        assert answer.code == "LINK_REFUSED"
    key = ada.passkeys.keys[0]
    unknown = Browser(ada.served)
    unknown.passkeys.create({"user": {"id": "cC0x"}, "rp": {"id": "localhost"}, "challenge": "AAAA"})
    answers = []
    for keys, lies in ((unknown.passkeys, {}), (ada.passkeys, {"signer": unknown.passkeys.keys[0], "key": key})):
        question = unknown.post("/api/v1/sign-in/options").body
        given = {"challenge_id": question["challenge_id"], "credential": keys.get(question["public_key"], **lies)}
        answers.append(unknown.post("/api/v1/sign-in/passkey", given))
    assert told(answers[0]) == told(answers[1])
    for path in ("people", f"people/{ada.person_id}", "people/p-nobody", "acts", "approvals", "approvals/x", "me", "commands/x", "roles"):
        assert ada.served.ask("GET", f"/api/v1/{path}").code == "NOT_SIGNED_IN", path


def test_a_viewer_cannot_tell_what_exists_from_what_does_not(ada: Browser) -> None:
    vic, rex = ada.invite("vic", "viewer"), ada.invite("rex", "viewer")
    approval = ada.request_grant(rex, "auditor", "viewer")
    asked = [
        ("GET", "people/{}", ada.person_id, None),
        ("PATCH", "people/{}", ada.person_id, {"disabled": True}),
        ("POST", "people/{}/setup-links", ada.person_id, {}),
        ("GET", "approvals/{}", approval["id"], None),
        ("POST", "approvals/{}/use", approval["id"], {}),
        ("POST", "approvals/{}/withdrawal", approval["id"], {"reason": "x"}),
        ("POST", "approvals/{}/decisions", approval["id"], {"decision": "approve", "payload_sha256": approval["payload_sha256"]}),
    ]
    for method, path, there, body in asked:
        answers = []
        for name in (there, "x" * len(there)):
            answer = vic.ask(method, f"/api/v1/{path.format(name)}", body, **{"If-Match": '"1"', "Idempotency-Key": f"{name}{path}"})
            answers.append((answer.status, answer.code))
        assert answers[0] == answers[1] == (403, "FORBIDDEN"), path


def test_anothers_idempotency_key_gives_away_nothing(ada: Browser) -> None:
    tess, otto = ada.invite("tess", "trader"), ada.invite("otto", "trader")
    body = {"command": "flatten", "reason": "of tess alone"}
    mine = tess.post("/api/v1/commands", body, **{"Idempotency-Key": "shared-key"})
    theirs = otto.post("/api/v1/commands", body, **{"Idempotency-Key": "shared-key"})
    assert (mine.status, theirs.status) == (202, 202)
    assert (theirs.body["person_id"], theirs.body["id"] == mine.body["id"]) == (otto.person_id, False)
    assert "idempotent-replayed" not in theirs.headers
    ask = {"kind": "go-live", "payload": {"limit": "of tess"}, "reason": "of tess"}
    assert tess.make("/api/v1/approvals", ask, **{"Idempotency-Key": "k"}).status == 201
    assert otto.make("/api/v1/approvals", {**ask, "reason": "of otto"}, **{"Idempotency-Key": "k"}).status == 201
    assert tess.make("/api/v1/approvals", {**ask, "reason": "other"}, **{"Idempotency-Key": "k"}).code == "KEY_REUSED"


@pytest.mark.slow
def test_time_over_the_socket_does_not_tell_who_exists(ada: Browser) -> None:
    took: dict[str, list[float]] = {"ada": [], "nobody": []}
    for number in range(24):
        for name, times in took.items():
            address = f"127.1.{len(name)}.{number + 1}"  # each guess from another place, so that none waits
            began = time.perf_counter()
            assert try_name(ada.served, name, address).status == 401
            times.append(time.perf_counter() - began)
    known, unknown = (sorted(took[name])[: len(took[name]) // 2] for name in ("ada", "nobody"))
    spread = statistics.pstdev(known + unknown)
    assert abs(statistics.mean(known) - statistics.mean(unknown)) < max(3 * spread, statistics.mean(known) / 4)


# guessing and locking out ---------------------------------------------------------------------------------------------


def test_guesses_wait_and_the_victims_own_browser_and_passkey_do_not(ada: Browser) -> None:
    statuses = [try_name(ada.served, "ada", "127.0.4.1").status for _ in range(12)]
    assert set(statuses) == {401, 429}
    assert statuses.count(401) <= 3
    waiting = try_name(ada.served, "ada", "127.0.4.1")
    assert (waiting.status, waiting.code) == (429, "TOO_MANY")
    assert int(waiting.headers["retry-after"]) >= 1
    home = f"{DEVICE}={ada.cookies[DEVICE]}"
    assert try_name(ada.served, "ada", "127.0.4.1", PASSWORD, ada.recovery_codes[0], home).status == 200
    assert Browser.sign_in(ada.elsewhere()).person["name"] == "ada"
    assert try_name(ada.served, "ada", "127.0.4.2", PASSWORD, ada.recovery_codes[1]).status == 200


def test_another_persons_device_cookie_or_a_made_up_one_is_no_way_around_the_wait(ada: Browser) -> None:
    mallory = ada.invite("mallory", "viewer")
    own, forged = mallory.cookies[DEVICE], ada.cookies[DEVICE]
    swapped = ".".join([ada.person_id, *own.split(".")[1:]])
    flipped = forged[:-1] + ("0" if forged[-1] != "0" else "1")
    for number, cookie in enumerate((own, swapped, flipped, f"{ada.person_id}..", "..", "x" * 256)):
        address = f"127.0.5.{number + 1}"
        # the first wait is a second long, which a busy machine may sleep through, and each is twice the one before
        tries = (try_name(ada.served, "ada", address, cookie=f"{DEVICE}={cookie}").status for _ in range(5))
        assert 429 in tries, cookie


def test_a_code_of_the_app_counts_once_whoever_uses_it(ada: Browser) -> None:
    newer = ada.code(1)
    home = f"{DEVICE}={ada.cookies[DEVICE]}"
    assert try_name(ada.served, "ada", "127.0.6.1", PASSWORD, newer, home).status == 200
    replays = [
        try_name(ada.served, "ada", f"127.0.6.{at + 2}", PASSWORD, code) for at, code in enumerate((newer, ada.code(), ada.code(-1)))
    ]
    assert [(one.status, one.code) for one in replays] == [(401, "SIGN_IN_REFUSED")] * 3
    for at, code in enumerate((ada.code(2), ada.code(-2), newer[:5], newer + "0", "")):
        assert try_name(ada.served, "ada", f"127.0.6.{at + 10}", PASSWORD, code).status in (401, 422), code


def test_a_recovery_code_counts_once_and_never_without_the_password_or_for_another(ada: Browser) -> None:
    code = ada.recovery_codes[2]
    assert try_name(ada.served, "ada", "127.0.7.1", WRONG, code).status == 401
    assert try_name(ada.served, "vic", "127.0.7.2", PASSWORD, code).status == 401
    spent = [try_name(ada.served, "ada", f"127.0.7.{at + 3}", PASSWORD, one).status for at, one in enumerate((code.upper(), code))]
    assert spent == [200, 401]


def test_codes_of_command_lines_are_not_found_by_guessing(ada: Browser) -> None:
    guesser = ada.invite("guesser", "trader")
    begun = ada.served.post("/api/v1/device-codes", {"label": "victim", "scopes": ["read"]}, address="127.0.7.9").body
    wrong = [guesser.ask("GET", f"/api/v1/device-codes/BCDF-GHJ{letter}") for letter in "BCDFGHJKLM"]
    assert [one.status for one in wrong][:6] == [404] * 6
    assert wrong[-1].status == 429
    assert guesser.post(f"/api/v1/device-codes/{begun['user_code']}/approval", {"approve": True}).status == 429
    assert ada.served.post("/api/v1/device-tokens", {"device_code": begun["user_code"]}).code == "LINK_REFUSED"
    pending = ada.served.post("/api/v1/device-tokens", {"device_code": begun["device_code"]})
    assert (pending.status, pending.body["state"]) == (202, "pending")
    assert ada.served.post("/api/v1/device-tokens", {"device_code": begun["device_code"]}).status == 429


def test_nobody_confirms_a_command_line_without_a_fresh_proof_or_by_token(ada: Browser) -> None:
    page = ada.elsewhere()
    begun = ada.served.post("/api/v1/device-codes", {"label": "x", "scopes": ["admin"]}, address="127.0.7.10").body
    path = f"/api/v1/device-codes/{begun['user_code']}/approval"
    ada.served.age_proof(page.session_id)
    assert page.post(path, {"approve": True}).code == "STEP_UP_REQUIRED"
    assert ada.served.post(path, {"approve": True}, **bearer(ada.token("admin", "read"))).code == "FORBIDDEN"
    assert ada.served.post(path, {"approve": True}).code == "NOT_SIGNED_IN"


def test_a_thief_of_a_session_cannot_guess_its_way_through_a_step_up(ada: Browser) -> None:
    thief = ada.elsewhere().copy()
    ada.served.age_proof(thief.session_id)
    statuses = [thief.post("/api/v1/step-up/password", {"password": WRONG, "code": "000000"}).status for _ in range(8)]
    assert statuses[-1] == 429
    assert statuses.count(401) <= 4
    assert thief.make("/api/v1/me/tokens", {"label": "x", "scopes": ["read"]}).code == "STEP_UP_REQUIRED"
    assert ada.elsewhere().step_up().cookies[SESSION]


def test_a_setup_link_is_not_found_by_guessing_and_guesses_are_limited(ada: Browser) -> None:
    link = ada.invitation("later", "viewer").partition("#")[2]
    near = [link[:-1], link + "0", link.upper(), link[::-1], f" {link}", "0" * 64]
    body = {"name": "later", "display_name": "Later"}
    for token in near:
        if token != link:
            assert ada.served.post("/api/v1/setup/options", {"token": token, **body}, address="127.0.7.11").code == "LINK_REFUSED"
    statuses = [ada.served.post("/api/v1/setup/options", {"token": "f" * 64}, address="127.0.7.12").status for _ in range(125)]
    assert (statuses[0], statuses[-1]) == (404, 429)
    assert ada.served.post("/api/v1/setup/options", {"token": link, **body}, address="127.0.7.13").status == 200
