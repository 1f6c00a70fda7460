"""Attacks on sessions, cookies and tokens, over the sockets of a real server: fixation, theft, replay, forgery."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.integration.people_session import SESSION, Answer, Browser, bearer, first_person, serving

BOB = {"name": "somebody", "display_name": "Somebody", "roles": ["viewer"]}


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Admin and trader of a server of its own."""
    with serving(tmp_path_factory.mktemp("sessions") / "state") as served:
        yield first_person(served)


@pytest.fixture(scope="module")
def bob(ada: Browser) -> Browser:
    return ada.invite("bob", "trader")


def is_nobody(browser: Browser) -> bool:
    return browser.get("/api/v1/session")["signed_in"] is False


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer.text


# sessions -------------------------------------------------------------------------------------------------------------


def test_a_cookie_that_an_attacker_planted_before_the_sign_in_is_not_the_session_after_it(ada: Browser) -> None:
    for planted in ("f" * 64, ada.elsewhere().cookies[SESSION]):
        victim = Browser(ada.served)
        victim.passkeys, victim.cookies[SESSION] = ada.passkeys, planted
        victim.sign_in()
        assert victim.cookies[SESSION] != planted
        attacker = Browser(ada.served)
        attacker.cookies[SESSION] = planted
        assert is_nobody(attacker)


def test_a_stolen_cookie_is_worth_nothing_once_its_owner_proves_who_they_are_again(ada: Browser) -> None:
    here = ada.elsewhere()
    thief = here.copy()
    assert thief.get("/api/v1/me")["name"] == "ada"
    here.step_up()
    refused(thief.ask("GET", "/api/v1/me"), 401, "NOT_SIGNED_IN")
    refused(thief.make("/api/v1/people", BOB), 401, "NOT_SIGNED_IN")
    assert here.get("/api/v1/me")["name"] == "ada"


def test_a_step_up_of_one_session_makes_no_other_one_fresh(ada: Browser) -> None:
    stale, other = ada.elsewhere(), ada.elsewhere()
    ada.served.age_proof(stale.session_id)
    other.step_up()
    refused(stale.make("/api/v1/people", BOB), 403, "STEP_UP_REQUIRED")
    crossed = stale.assertion("/api/v1/step-up")
    refused(other.post("/api/v1/step-up/passkey", crossed), 404, "LINK_REFUSED")
    refused(stale.post("/api/v1/step-up/passkey", crossed), 404, "LINK_REFUSED")


def test_a_signed_out_ended_or_idle_session_is_nobody_from_its_next_request_on(ada: Browser) -> None:
    def sign_out(one: Browser) -> None:
        copy = one.copy()
        assert copy.ask("DELETE", "/api/v1/session").status == 200

    def end(one: Browser) -> None:
        assert ada.ask("DELETE", f"/api/v1/me/sessions/{one.session_id}").status == 200

    def idle(one: Browser) -> None:
        ada.served.age_use(one.session_id, 30 * 60 * 10**9)

    endings: tuple[Callable[[Browser], None], ...] = (sign_out, end, idle)
    for ending in endings:
        one = ada.elsewhere()
        ending(one)
        assert is_nobody(one)
        refused(one.make("/api/v1/commands", {"command": "flatten", "reason": "x"}), 401, "NOT_SIGNED_IN")


def test_nobody_ends_or_sees_anothers_session_token_or_passkey(ada: Browser, bob: Browser) -> None:
    key = ada.get("/api/v1/me/passkeys")["items"][0]["credential_id"]
    token = ada.token("read")
    token_id = ada.get("/api/v1/me/tokens")["items"][0]["token_id"]
    for path in (f"me/sessions/{ada.session_id}", f"me/tokens/{token_id}", f"me/passkeys/{key}"):
        known, unknown = bob.ask("DELETE", f"/api/v1/{path}"), bob.ask("DELETE", f"/api/v1/{path[:-1]}x")
        assert (known.status, known.code, unknown.status, unknown.code) == (404, "NOT_FOUND", 404, "NOT_FOUND")
    assert ada.served.ask("GET", "/api/v1/me", **bearer(token)).status == 200


# cookies --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cookie", "status"),
    [
        ("__Host-kedge={good}; __Host-kedge={planted}", 400),
        ("__Host-kedge={planted}; other=1; __Host-kedge={good}", 400),
        ("kedge={good}", 200),
        ("__Secure-kedge={good}", 200),
        ("__host-kedge={good}", 200),
        ("__HOST-KEDGE={good}", 200),
        ("__Host-kedge ={good}", 200),
        ("\u00a0__Host-kedge={good}", 200),
        ("\u0085__Host-kedge={good}", 200),
        ('__Host-kedge="{good}"', 200),
        ("__Host-kedge={good}x", 200),
        ("__Host-kedge=%s" % ("a" * 5000), 200),
        ("%s__Host-kedge={good}" % ("x=1; " * 2000), 431),
        ("__Host-kedge", 200),
        ("=__Host-kedge={good}", 200),
        ("__Host-kedge=={good}", 200),
    ],
)  # fmt: skip
def test_no_other_cookie_is_taken_for_the_session(ada: Browser, cookie: str, status: int) -> None:
    sent = cookie.replace("{good}", ada.cookies[SESSION]).replace("{planted}", "f" * 64)
    answer = ada.served.ask("GET", "/api/v1/session", Cookie=sent, address=ada.address)
    assert answer.status == status
    assert status != 200 or answer.body["signed_in"] is False


# forgery --------------------------------------------------------------------------------------------------------------

FORGED: tuple[dict[str, str], ...] = (
    {"X-Kedge-CSRF": ""},
    {"X-Kedge-CSRF": "0" * 64},
    {"X-Kedge-CSRF": "{other}"},
    {"X-Kedge-CSRF": "{upper}"},
    {"Origin": "null"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://localhost"},
    {"Origin": "https://localhost.evil.example"},
    {"Origin": "", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "", "Sec-Fetch-Site": "same-site"},
    {"Origin": "", "Sec-Fetch-Site": ""},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "SAME-ORIGIN"},
)


@pytest.mark.parametrize("headers", FORGED, ids=repr)
def test_a_forged_request_changes_nothing(ada: Browser, bob: Browser, headers: dict[str, str]) -> None:
    put = {name: value.replace("{other}", bob.csrf).replace("{upper}", ada.csrf.upper()) for name, value in headers.items()}
    answer = ada.make("/api/v1/people", {**BOB, "name": "forged"}, **put)
    assert (answer.status, answer.code) in ((403, "CSRF_REFUSED"), (403, "FOREIGN_ORIGIN")), answer.text
    assert "forged" not in {row["name"] for row in ada.get("/api/v1/people")["items"]}


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/json", ""])
def test_what_a_form_can_send_is_no_request(ada: Browser, kind: str) -> None:
    answer = ada.make("/api/v1/commands", {"command": "halt", "reason": "x"}, **{"Content-Type": kind or "x"})
    assert answer.status == 415


def test_a_get_changes_nothing_whatever_method_its_headers_and_parameters_name(ada: Browser) -> None:
    before = ada.get("/api/v1/commands")["items"]
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "_method"):
        answer = ada.ask("GET", "/api/v1/commands", **{name: "POST"})
        assert (answer.status, answer.body["items"]) == (200, before)
        assert ada.ask("DELETE", "/api/v1/commands", **{name: "POST"}).status == 405
    assert ada.ask("GET", "/api/v1/session?_method=DELETE").status == 422
    assert ada.get("/api/v1/session")["signed_in"] is True
    for path in ("sign-in/options", "setup/options", "step-up/options", "device-codes", "device-tokens", "stream-tickets"):
        assert ada.ask("GET", f"/api/v1/{path}").status in (404, 405), path


# tokens ---------------------------------------------------------------------------------------------------------------


def test_a_token_that_was_revoked_or_whose_owner_was_disabled_is_replayed_in_vain(ada: Browser) -> None:
    eve = ada.invite("eve", "trader")
    one, two = eve.token("read"), eve.token("read", "brake:engage")
    named = {row["label"]: row for row in eve.get("/api/v1/me/tokens")["items"]}
    assert len(named) == 1
    newest = eve.get("/api/v1/me/tokens")["items"][0]["token_id"]
    assert eve.ask("DELETE", f"/api/v1/me/tokens/{newest}").status == 200
    refused(ada.served.ask("GET", "/api/v1/me", **bearer(two)), 401, "NOT_SIGNED_IN")
    assert ada.served.ask("GET", "/api/v1/me", **bearer(one)).status == 200
    thief = eve.copy()
    version = ada.ask("GET", f"/api/v1/people/{eve.person_id}").headers["etag"]
    assert ada.ask("PATCH", f"/api/v1/people/{eve.person_id}", {"disabled": True}, **{"If-Match": version}).status == 200
    refused(ada.served.ask("GET", "/api/v1/me", **bearer(one)), 401, "NOT_SIGNED_IN")
    assert is_nobody(thief)
    version = ada.ask("GET", f"/api/v1/people/{eve.person_id}").headers["etag"]
    assert ada.ask("PATCH", f"/api/v1/people/{eve.person_id}", {"disabled": False}, **{"If-Match": version}).status == 200
    refused(ada.served.ask("GET", "/api/v1/me", **bearer(one)), 401, "NOT_SIGNED_IN")
    assert is_nobody(thief)


def test_a_token_loses_what_its_owner_loses(ada: Browser) -> None:
    dan = ada.invite("dan", "trader")
    token, thief = dan.token("read", "brake:engage"), dan.copy()
    halt = {"command": "flatten", "reason": "drill"}
    assert ada.served.post("/api/v1/commands", halt, **bearer(token, **{"Idempotency-Key": "a"})).status == 202
    version = ada.ask("GET", f"/api/v1/people/{dan.person_id}").headers["etag"]
    assert ada.ask("PATCH", f"/api/v1/people/{dan.person_id}", {"roles": ["viewer"]}, **{"If-Match": version}).status == 200
    refused(ada.served.post("/api/v1/commands", halt, **bearer(token, **{"Idempotency-Key": "b"})), 403, "FORBIDDEN")
    refused(ada.served.post("/api/v1/commands", halt, **bearer(token, **{"Idempotency-Key": "a"})), 403, "FORBIDDEN")
    assert is_nobody(thief)


def test_a_command_line_that_was_let_in_gets_no_token_once_its_person_was_disabled(ada: Browser) -> None:
    fay = ada.invite("fay", "trader")
    begun = ada.served.post("/api/v1/device-codes", {"label": "thief", "scopes": ["read"]}).body
    assert fay.post(f"/api/v1/device-codes/{begun['user_code']}/approval", {"approve": True}).status == 200
    for disabled in (True, False):
        version = ada.ask("GET", f"/api/v1/people/{fay.person_id}").headers["etag"]
        assert ada.ask("PATCH", f"/api/v1/people/{fay.person_id}", {"disabled": disabled}, **{"If-Match": version}).status == 200
    refused(ada.served.post("/api/v1/device-tokens", {"device_code": begun["device_code"]}), 403, "FORBIDDEN")


@pytest.mark.parametrize("change", ["check", "body", "long", "prefix", "blank", "lower", "empty", "nul"])
def test_a_token_with_another_character_is_none(ada: Browser, change: str) -> None:
    good = ada.token("read")
    bad = {
        "check": good[:-1] + ("A" if good[-1] != "A" else "B"),
        "body": good[:20] + ("A" if good[20] != "A" else "B") + good[21:],
        "long": good + "A",
        "prefix": good.replace("kedge_pat_", "kedge_put_"),
        "blank": good[:30] + " " + good[30:],
        "lower": good.lower(),
        "empty": "",
        "nul": good + "\u00ff",
    }[change]
    answer = ada.served.ask("GET", "/api/v1/me", Authorization=f"Bearer {bad}")
    assert (answer.status, answer.code) == (401, "NOT_SIGNED_IN")
    assert bad[12:] not in answer.text or not bad


def test_a_token_counts_in_its_header_alone_and_never_beside_a_cookie(ada: Browser) -> None:
    token = ada.token("read")
    for path in ("access_token", "token", "bearer", "ticket", "authorization"):
        assert ada.served.ask("GET", f"/api/v1/overview?{path}={token}").status == 401
    for kind in ("Basic", "Token", "Bearer:"):
        assert ada.served.ask("GET", "/api/v1/me", Authorization=f"{kind} {token}").status == 401
    for name in ("X-Api-Key", "X-Auth-Token", "Proxy-Authorization"):
        assert ada.served.ask("GET", "/api/v1/me", **{name: f"Bearer {token}"}).status == 401
    assert ada.served.ask("GET", "/api/v1/me", Cookie=f"{SESSION}={token}").status == 401
    refused(ada.ask("GET", "/api/v1/me", **bearer(token)), 400, "TWO_IDENTITIES")
    refused(ada.served.ask("GET", "/api/v1/me", **bearer(token, Cookie=f"{SESSION}=x")), 400, "TWO_IDENTITIES")


def test_a_token_for_other_networks_is_none_whatever_the_request_says_about_where_it_comes_from(ada: Browser) -> None:
    token = ada.token("read", addresses=["10.1.2.3", "127.0.0.77"])
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP", "X-Client-IP"):
        said = "for=10.1.2.3" if name == "Forwarded" else "10.1.2.3"
        refused(ada.served.ask("GET", "/api/v1/me", **bearer(token, **{name: said})), 401, "NOT_SIGNED_IN")
    assert ada.served.ask("GET", "/api/v1/me", address="127.0.0.77", **bearer(token)).status == 200
