"""What a stranger, another site's page, or a broken program may try: forged requests, doubled headers, hidden paths, oversized bodies."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kedge.api import body as body_module

from .people_world import Browser, World, in_world

BOB = {"name": "bob", "display_name": "Bob", "roles": ["viewer"]}


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"X-Kedge-CSRF": ""}, "CSRF_REFUSED"),
        ({"X-Kedge-CSRF": "0" * 64}, "CSRF_REFUSED"),
        ({"X-Kedge-CSRF": "\u00e9"}, "CSRF_REFUSED"),
        ({"Sec-Fetch-Site": "cross-site"}, "CSRF_REFUSED"),
        ({"Sec-Fetch-Site": "same-site"}, "CSRF_REFUSED"),
        ({"Origin": "http://evil.example"}, "FOREIGN_ORIGIN"),
        ({"Origin": "null"}, "FOREIGN_ORIGIN"),
    ],
)
def test_another_sites_page_cannot_act_with_somebodys_cookie(tmp_path: Path, headers: dict[str, str], code: str) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        refused = await ada.make("/api/v1/people", BOB, **headers)
        assert (refused.status, refused.body["code"]) == (403, code)
        assert len((await ada.get("/api/v1/people"))["items"]) == 1

    in_world(tmp_path, then)


def test_a_cookie_alone_without_any_word_of_where_it_comes_from_changes_nothing(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        refused = await ada.ask("DELETE", "/api/v1/session", bare=True, **{"X-Kedge-CSRF": ada.csrf})
        assert (refused.status, refused.body["code"]) == (403, "CSRF_REFUSED")
        assert (await ada.get("/api/v1/session"))["signed_in"] is True

    in_world(tmp_path, then)


def test_the_token_of_another_session_is_no_proof(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada, other = await world.first(), Browser(world)
        await other.sign_in(code=ada.recovery_codes[0])
        refused = await ada.make("/api/v1/people", BOB, **{"X-Kedge-CSRF": other.csrf})
        assert (refused.status, refused.body["code"]) == (403, "CSRF_REFUSED")

    in_world(tmp_path, then)


def test_a_form_of_another_site_cannot_sign_a_browser_in(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        await world.first()
        given = json.dumps({"name": "ada", "password": "x", "code": "1"}).encode()
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
            refused = await world.ask("POST", "/api/v1/sign-in/password", given, **{"Content-Type": kind})
            assert (refused.status, refused.body["code"]) == (415, "BODY_TYPE"), kind
        refused = await world.ask("POST", "/api/v1/sign-in/password", given, **{"Sec-Fetch-Site": "cross-site"})
        assert (refused.status, refused.body["code"]) == (403, "CSRF_REFUSED")

    in_world(tmp_path, then)


def test_a_token_needs_no_csrf_sets_no_cookie_and_is_worth_nothing_once_revoked(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        text = await world.token(ada, "read", "brake:engage")
        bearer = {"Authorization": f"Bearer {text}"}
        session = await world.ask("GET", "/api/v1/session", **bearer)
        assert (session.body["source"], session.body["scopes"], session.body["csrf"]) == ("token", ["brake:engage", "read"], None)
        halted = await world.ask("POST", "/api/v1/commands", {"command": "halt", "reason": "drill"}, **bearer, **{"Idempotency-Key": "k1"})
        assert (halted.status, "Set-Cookie" in halted.headers) == (202, False)
        row = (await ada.get("/api/v1/me/tokens"))["items"][0]
        assert text not in json.dumps(row)
        assert (await ada.ask("DELETE", f"/api/v1/me/tokens/{row['token_id']}")).status == 200
        for method, path in (("GET", "/api/v1/overview"), ("GET", "/api/v1/session"), ("POST", "/api/v1/stream-tickets")):
            replayed = await world.ask(method, path, **bearer)
            assert (replayed.status, replayed.body["code"]) == (401, "NOT_SIGNED_IN"), path

    in_world(tmp_path, then)


def test_a_token_does_no_more_than_its_scopes_and_makes_no_other_token(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        bearer = {"Authorization": f"Bearer {await world.token(ada, 'read')}", "Idempotency-Key": "k"}
        for path, given in (
            ("/api/v1/commands", {"command": "halt", "reason": "x"}),
            ("/api/v1/people", BOB),
            ("/api/v1/me/tokens", {"label": "more", "scopes": ["admin"]}),
        ):
            refused = await world.ask("POST", path, given, **bearer)
            assert (refused.status, refused.body["code"]) == (403, "FORBIDDEN"), path

    in_world(tmp_path, then)


def test_a_cookie_and_a_token_at_once_are_refused(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        text = await world.token(ada, "read")
        for path in ("/api/v1/overview", "/api/v1/session"):
            refused = await ada.ask("GET", path, Authorization=f"Bearer {text}")
            assert (refused.status, refused.body["code"]) == (400, "TWO_IDENTITIES")

    in_world(tmp_path, then)


@pytest.mark.parametrize(
    "host", ["a@localhost", "localhost/", "localhost?x", "localhost.", "localhost:99999", "localhost:x", "[::1", "0x7f.1"]
)
def test_a_host_that_is_not_plainly_a_name_and_a_port_is_refused_and_brings_nothing_down(tmp_path: Path, host: str) -> None:
    async def then(world: World) -> None:
        refused = await world.ask("GET", "/api/v1/session", Host=host)
        assert (refused.status, refused.body["code"]) == (403, "FOREIGN_HOST")

    in_world(tmp_path, then)


def test_another_blank_before_a_cookies_name_makes_it_another_cookie(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        for blank in ("\u00a0", "\u0085"):
            session = await world.ask("GET", "/api/v1/session", Cookie=f"{blank}__Host-kedge={ada.session_cookie}")
            assert session.body["signed_in"] is False

    in_world(tmp_path, then)


async def raw(world: World, lines: list[str], body: bytes = b"") -> tuple[int, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        text = await reader.readexactly(length)
    finally:
        writer.close()
        await writer.wait_closed()
    return int(head.split()[1]), json.loads(text) if "json" in head else text


@pytest.mark.parametrize(
    ("target", "more", "expected"),
    [
        ("/api/v1/people", ["Host: evil.example"], {400, 403}),
        ("/api/v1/people", ["Authorization: Bearer a", "Authorization: Bearer b"], {400}),
        ("/api/v1/people", ["Origin: http://127.0.0.1", "Origin: http://evil.example"], {400, 403}),
        ("/api/v1/people", ["Cookie: __Host-kedge=a", "Cookie: __Host-kedge=b"], {400}),
        ("/api/v1/people", ["Cookie: __Host-kedge=a; __Host-kedge=b"], {400}),
        ("/api/v1/people", ["Cookie: x=" + "y" * 9000], {431}),
        ("/api/v1/people", ["If-Match: \"1\"", "If-Match: \"2\""], {400}),
        ("//api/v1/people", [], {404}),
        ("/api/v1//people", [], {404}),
        ("/api/v1/../v1/people", [], {404}),
        ("/api/v1/%2e%2e/v1/people", [], {404}),
        ("/api/v1%2Fpeople", [], {404}),
        ("/api/v1/people%2f", [], {404}),
        ("/api/v1\\people", [], {400, 404}),
        ("/api/v1%5cpeople", [], {404}),
        ("/api/v1/people/", [], {404}),
        ("/API/V1/people", [], {404}),
        ("/api/v1/people;x=1", [], {404}),
        ("/api/v1/people%00", [], {404}),
        ("http://127.0.0.1/api/v1/people", [], {400}),
        ("http://evil.example/api/v1/people", [], {400}),
        ("evil.example:443", [], {400}),
    ],
)  # fmt: skip
def test_no_trick_of_path_or_header_gets_past_who_asks(tmp_path: Path, target: str, more: list[str], expected: set[int]) -> None:
    async def then(world: World) -> None:
        await world.first()
        status, told = await raw(world, [f"GET {target} HTTP/1.1", f"Host: 127.0.0.1:{world.port}", *more])
        assert status in expected, told
        assert told["status"] == status

    in_world(tmp_path, then)


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 2", "Content-Length: 20"],
        ["Content-Length: 2", "Transfer-Encoding: chunked"],
        ["Content-Length: -1"],
        ["Content-Length: 99999999999999999999999"],
        ["Transfer-Encoding: chunked, identity"],
        ["Content-Length : 2"],
    ],
)
def test_two_lengths_or_a_broken_one_end_the_request(tmp_path: Path, lines: list[str]) -> None:
    async def then(world: World) -> None:
        start = ["POST /api/v1/sign-in/password HTTP/1.1", f"Host: 127.0.0.1:{world.port}", "Content-Type: application/json"]
        status, told = await raw(world, [*start, *lines], b"{}")
        assert status in (400, 413), told

    in_world(tmp_path, then)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b'{"name": "a", "name": "b"}', 400, "BODY_BROKEN"),
        (b"[1, 2]", 400, "BODY_BROKEN"),
        (b"{", 400, "BODY_BROKEN"),
        (b"\xff\xfe", 400, "BODY_BROKEN"),
        (b'{"name": NaN}', 400, "BODY_BROKEN"),
        (b'{"name": ' + b"9" * 5000 + b"}", 400, "BODY_BROKEN"),
        (b'{"name": "\\ud800"}', 400, "BODY_BROKEN"),
        (b'{"name": ["\\uDE00\\uD83D"]}', 400, "BODY_BROKEN"),
        (b'{"name": "\\ud83d\\ude00"}', 422, "INVALID_INPUT"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, 400, "BODY_BROKEN"),
        (b'{"a":' * 9000 + b"1" + b"}" * 9000, 400, "BODY_BROKEN"),
        (b'{"name": "' + b"x" * 70_000 + b'"}', 413, "BODY_TOO_LONG"),
        (b'{"name": "a", "password": "b", "code": "c", "admin": true}', 422, "INVALID_INPUT"),
        (b'{"name": 7, "password": "b", "code": "c"}', 422, "INVALID_INPUT"),
        (b"", 422, "INVALID_INPUT"),
    ],
)  # fmt: skip
def test_a_body_that_programs_may_read_differently_is_refused(tmp_path: Path, sent: bytes, status: int, code: str) -> None:
    async def then(world: World) -> None:
        answer = await world.ask("POST", "/api/v1/sign-in/password", sent)
        assert (answer.status, answer.body["code"]) == (status, code)

    in_world(tmp_path, then)


def test_an_endless_body_is_cut_off(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        async def endless() -> Any:
            for _ in range(40):
                yield b"x" * 4096

        async with world.http.post(
            f"{world.url}/api/v1/sign-in/password", data=endless(), headers={"Content-Type": "application/json"}
        ) as answer:
            assert (answer.status, (await answer.json(content_type=None))["code"]) == (413, "BODY_TOO_LONG")

    in_world(tmp_path, then)


def test_a_body_that_never_comes_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "BODY_WAIT_S", 0.05)

    async def then(world: World) -> None:
        start = ["POST /api/v1/sign-in/password HTTP/1.1", f"Host: 127.0.0.1:{world.port}", "Content-Type: application/json"]
        status, told = await raw(world, [*start, "Content-Length: 20"], b"{")
        assert (status, told["code"]) == (408, "BODY_LATE")

    in_world(tmp_path, then)


def test_a_fetch_that_a_browser_aborts_is_no_defect_and_the_server_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def then(world: World) -> None:
        start = ["POST /api/v1/sign-in/password HTTP/1.1", f"Host: 127.0.0.1:{world.port}", "Content-Type: application/json"]
        _, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write("\r\n".join([*start, "Content-Length: 20", "", ""]).encode("latin-1") + b"{")
        await writer.drain()
        writer.close()
        async with asyncio.timeout(10):
            while not any("whoever asked is gone" in record.message for record in caplog.records):
                await asyncio.sleep(0.01)
        assert (await world.ask("GET", "/api/v1/session")).status == 200

    in_world(tmp_path, then)
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_route_that_takes_no_body_takes_none(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        assert (await world.ask("POST", "/api/v1/sign-in/options", {"name": "ada"})).status == 422
        assert (await world.ask("POST", "/api/v1/sign-in/options", {})).status == 200
        assert (await world.ask("POST", "/api/v1/sign-in/options")).status == 200

    in_world(tmp_path, then)


def test_no_answer_repeats_what_somebody_typed_as_a_secret(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        await world.first()
        for given in (
            {"name": "ada", "password": ["canary-secret-1"], "code": "canary-secret-2"},
            {"name": "ada", "password": "canary-secret-1", "code": {"canary-secret-2": 1}},
            {"name": "ada", "password": "canary-secret-1" * 100, "code": "canary-secret-2" * 10},
            {"name": "ada", "password": "canary-secret-1", "code": "canary-secret-2"},
        ):
            assert "canary-secret" not in (await world.ask("POST", "/api/v1/sign-in/password", given)).text
        for headers in ({"Authorization": "Bearer canary-secret-3"}, {"Cookie": "__Host-kedge=canary-secret-3"}):
            assert "canary-secret" not in (await world.ask("GET", "/api/v1/me", **headers)).text

    in_world(tmp_path, then)


def test_methods_that_an_address_takes_are_named(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        wrong = await world.ask("PUT", "/api/v1/me")
        assert (wrong.status, wrong.body["code"], wrong.headers["Allow"]) == (405, "METHOD_NOT_ALLOWED", "GET, HEAD, PATCH")
        wrong = await world.ask("GET", "/api/v1/sign-in/options")
        assert wrong.status in (404, 405)

    in_world(tmp_path, then)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", ""])
def test_another_sites_page_cannot_open_the_stream(tmp_path: Path, origin: str) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        headers = {"Cookie": f"__Host-kedge={ada.session_cookie}", "Host": ada.host, **({"Origin": origin} if origin else {})}
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await world.http.ws_connect(f"{world.url}/ws/v1", headers=headers)
        assert refused.value.status == 403

    in_world(tmp_path, then)
