"""Attacks on proofs of identity, approvals, set-up links and the stream, over the sockets of a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from tests.integration.people_session import DEVICE, SESSION, Answer, Browser, Served, first_person, serving


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Admin and trader of a server of its own."""
    with serving(tmp_path_factory.mktemp("proofs") / "state") as served:
        yield first_person(served)


@pytest.fixture(scope="module")
def bob(ada: Browser) -> Browser:
    return ada.invite("bob", "trader")


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer.text


# proofs ---------------------------------------------------------------------------------------------------------------


def test_an_answer_to_a_question_counts_once(ada: Browser) -> None:
    answer = ada.assertion("/api/v1/sign-in")
    assert Browser(ada.served).post("/api/v1/sign-in/passkey", answer).status == 200
    refused(Browser(ada.served).post("/api/v1/sign-in/passkey", answer), 404, "LINK_REFUSED")


def test_an_answer_for_one_purpose_or_person_is_none_for_another(ada: Browser, bob: Browser) -> None:
    refused(ada.post("/api/v1/step-up/passkey", ada.assertion("/api/v1/sign-in")), 404, "LINK_REFUSED")
    refused(Browser(ada.served).post("/api/v1/sign-in/passkey", ada.assertion("/api/v1/step-up")), 404, "LINK_REFUSED")
    refused(bob.post("/api/v1/step-up/passkey", ada.assertion("/api/v1/step-up")), 404, "LINK_REFUSED")
    question = ada.post("/api/v1/step-up/options").body
    lent = {"challenge_id": question["challenge_id"], "credential": bob.passkeys.get({**question["public_key"], "allowCredentials": []})}
    refused(ada.post("/api/v1/step-up/passkey", lent), 401, "SIGN_IN_REFUSED")
    new = ada.post("/api/v1/me/passkeys/options").body
    made = ada.passkeys.create(new["public_key"])
    ada.passkeys.keys.pop()
    refused(bob.post("/api/v1/me/passkeys", {"challenge_id": new["challenge_id"], "credential": made}), 404, "LINK_REFUSED")
    assert len(bob.get("/api/v1/me/passkeys")["items"]) == 1


@pytest.mark.parametrize(
    "lies",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://localhost"},
        {"cross_origin": True},
        {"rp_id": "evil.example"},
        {"unverified": True},
        {"type": "webauthn.create"},
        {"challenge": "AAAA"},
        {"count": 0},
        {"user_id": b"p-somebody-else"},
    ],
    ids=repr,
)
def test_a_lying_authenticator_signs_nobody_in(ada: Browser, lies: dict[str, Any]) -> None:
    count = ada.passkeys.keys[0].count
    answer = Browser(ada.served).post("/api/v1/sign-in/passkey", ada.assertion("/api/v1/sign-in", **lies))
    ada.passkeys.keys[0].count = count + 1
    refused(answer, 401, "SIGN_IN_REFUSED")
    assert not answer.cookies


def test_a_passkey_that_signed_one_approval_decides_no_other(ada: Browser) -> None:
    rita = ada.invite("rita", "viewer")
    ada.grant(rita, "risk", "viewer")
    rita.sign_in()
    carl, cora = ada.invite("carl", "viewer"), ada.invite("cora", "viewer")
    one, other = ada.request_grant(carl, "auditor", "viewer"), ada.request_grant(cora, "auditor", "viewer")
    signed = rita.assertion("/api/v1/step-up", {"binds": one["binds"]})
    refused(rita.decide(other, **signed), 404, "LINK_REFUSED")
    refused(rita.decide(one, **signed), 404, "LINK_REFUSED")
    signed = rita.assertion("/api/v1/step-up", {"binds": one["payload_sha256"]})
    refused(rita.decide(one, **signed), 404, "LINK_REFUSED")
    refused(rita.decide(one, **rita.assertion("/api/v1/step-up")), 404, "LINK_REFUSED")
    lent = ada.assertion("/api/v1/step-up", {"binds": one["binds"]})
    refused(rita.decide(one, **lent), 404, "LINK_REFUSED")
    changed = {**one, "payload_sha256": other["payload_sha256"]}
    refused(rita.decide(changed), 409, "PAYLOAD_CHANGED")
    refused(ada.decide(one), 409, "OWN_REQUEST")
    ada.served.age_proof(rita.session_id)
    refused(rita.decide(one, bare=True), 403, "STEP_UP_REQUIRED")
    assert rita.decide(one).status == 200
    refused(rita.decide(one), 409, "ALREADY_DECIDED")
    assert ada.post(f"/api/v1/approvals/{one['id']}/use").status == 200
    refused(ada.post(f"/api/v1/approvals/{one['id']}/use"), 409, "ALREADY_USED")
    refused(ada.post(f"/api/v1/approvals/{other['id']}/use"), 409, "NOT_APPROVED")


def test_who_makes_a_link_for_somebody_does_not_come_into_the_role_that_two_people_gave(ada: Browser) -> None:
    rita = next(row for row in ada.get("/api/v1/people")["items"] if row["name"] == "rita")
    ida = ada.invitation("ida", "viewer")
    row = next(row for row in ada.get("/api/v1/people")["items"] if row["name"] == "ida")
    asked = ada.make(
        "/api/v1/approvals", {"kind": "role-grant", "payload": {"person_id": row["person_id"], "roles": ["risk"]}, "reason": "x"}
    )
    assert asked.status in (201, 409)
    taken = Browser(ada.served).set_up(ida)
    assert "risk" not in taken.get("/api/v1/session")["roles"]
    again = ada.make(f"/api/v1/people/{rita['person_id']}/setup-links", {}).body["setup_link"]
    assert "risk" not in Browser(ada.served).set_up(again).get("/api/v1/session")["roles"]


# the stream -----------------------------------------------------------------------------------------------------------


def opened(served: Served, path: str = "/ws/v1", **headers: str) -> int:
    """The status that a handshake is answered with: 101 where the stream opens."""

    async def main() -> int:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            try:
                async with http.ws_connect(f"{served.url}{path}", headers={"Host": f"localhost:{served.port}", **headers}):
                    return 101
            except aiohttp.WSServerHandshakeError as error:
                return error.status

    return asyncio.run(main())


def test_the_stream_opens_for_a_page_of_ours_with_a_session_and_for_nobody_else(ada: Browser) -> None:
    cookie, own = f"{SESSION}={ada.cookies[SESSION]}", ada.served.origin
    assert opened(ada.served, Cookie=cookie, Origin=own) == 101
    assert opened(ada.served) == 401
    assert opened(ada.served, Origin=own) == 401
    assert opened(ada.served, Cookie=f"{SESSION}={'f' * 64}", Origin=own) == 401
    assert opened(ada.served, Cookie=f"{DEVICE}={ada.cookies[DEVICE]}", Origin=own) == 401
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{ada.served.port}", "http://localhost:1", f"{own}.evil.example"):
        assert opened(ada.served, Cookie=cookie, Origin=origin) == 403, origin
    assert opened(ada.served, Cookie=cookie) == 403
    assert opened(ada.served, "/ws/v1?ticket=nonsense", Cookie=cookie, Origin=own) == 401
    assert opened(ada.served, f"/ws/v1?token={ada.token('read')}", Origin=own) == 401
    assert opened(ada.served, "/ws/v2", Cookie=cookie, Origin=own) == 404


def test_a_ticket_is_worth_nothing_once_its_session_ended(ada: Browser) -> None:
    one = ada.elsewhere()
    ticket = one.post("/api/v1/stream-tickets").body["ticket"]
    assert one.ask("DELETE", "/api/v1/session").status == 200
    assert opened(ada.served, f"/ws/v1?ticket={ticket}") == 401


def test_an_open_stream_ends_with_its_session(ada: Browser) -> None:
    one = ada.elsewhere()

    async def main() -> int | None:
        headers = {"Host": f"localhost:{one.served.port}", "Origin": one.served.origin, "Cookie": f"{SESSION}={one.cookies[SESSION]}"}
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
            http.ws_connect(f"{one.served.url}/ws/v1", headers=headers) as stream,
        ):
            await asyncio.to_thread(one.ask, "DELETE", "/api/v1/session")
            async with asyncio.timeout(20):
                while not stream.closed:
                    await stream.receive()
            return stream.close_code

    assert asyncio.run(main()) == 1008


def test_a_state_folder_holds_nothing_that_others_may_read(ada: Browser) -> None:
    for path in ("people", "people/people.sqlite", "people/sealing.key", "people/acts"):
        assert not (ada.served.state / path).stat().st_mode & 0o077, path


def test_a_first_link_is_worth_nothing_once_there_is_an_account(ada: Browser) -> None:
    assert ada.served.setup_url is not None
    token = ada.served.setup_url.partition("#")[2]
    names = {"name": "mallory", "display_name": "Mallory"}
    refused(Browser(ada.served).post("/api/v1/setup/options", {"token": token, **names}), 404, "LINK_REFUSED")
    refused(
        Browser(ada.served).post("/api/v1/setup/password", {"token": token, "password": "long enough 123", **names}), 404, "LINK_REFUSED"
    )
