"""Malformed and misleading requests against a real server: each is refused, or answered as plainly written, and never with a 5xx."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest
from tests.integration.people_session import Answer, Browser, first_person, serving
from tests.unit.services.people.authenticator import b64, unb64

CREDENTIAL = {"id": "aa", "rawId": "aa", "type": "public-key", "response": {}}


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with serving(tmp_path_factory.mktemp("requests") / "state") as served:
        yield first_person(served)
        logs = "".join(path.read_text() for path in (served.state / "logs").iterdir())
        assert "defect in the API" not in logs


def raw(ada: Browser, first: str, *lines: str, host: str = "localhost:{port}", body: bytes = b"") -> Answer:
    """A request written by hand, by somebody who has the session's cookie."""
    cookie = "; ".join(f"{name}={value}" for name, value in ada.cookies.items())
    head = [
        first,
        *([f"Host: {host}".replace("{port}", str(ada.served.port))] if host else []),
        f"Cookie: {cookie}",
        "Connection: close",
        *lines,
    ]
    return ada.served.raw("\r\n".join([*head, "", ""]).encode("latin-1") + body)


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "localhost.evil.example", "evil.example:{port}", "127.0.0.1.nip.io", "localhost@evil.example", "localhost, evil"),
        *(
            "evil@localhost",
            "evil@localhost:{port}",
            "localhost/evil.example",
            "localhost?x",
            "localhost#x",
            "localhost.",
            "localhost:99999",
        ),
        *(
            "localhost:x",
            "localhost:-1",
            "[::1",
            "[::1]x",
            "0x7f000001",
            "2130706433",
            "127.1.evil",
            "\u00e9",
            "0.0.0.0",
            "[::ffff:8.8.8.8]",
        ),
    ],
)
def test_a_host_that_is_not_plainly_this_machine_is_refused(ada: Browser, host: str) -> None:
    answer = raw(ada, "GET /api/v1/me HTTP/1.1", host=host)
    assert (answer.status, answer.code) == (403, "FOREIGN_HOST"), answer.text


@pytest.mark.parametrize(
    ("first", "lines", "status"),
    [
        ("GET //localhost/api/v1/me HTTP/1.1", (), {404}),
        ("GET /api/v1/./me HTTP/1.1", (), {404}),
        ("GET /api/v1/people/../me HTTP/1.1", (), {404}),
        ("GET /api/v1/people/%2e%2e/me HTTP/1.1", (), {404}),
        ("GET /api/v1/people%2f..%2fme HTTP/1.1", (), {404}),
        ("GET /assets/../../people.sqlite HTTP/1.1", (), {404}),
        ("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1", (), {404}),
        ("GET /..%5c..%5cetc HTTP/1.1", (), {404}),
        ("GET /api/v1/me/ HTTP/1.1", (), {404}),
        ("GET /api/v1/me. HTTP/1.1", (), {404}),
        ("GET /api/v1/me; HTTP/1.1", (), {404}),
        ("GET /api/v1/me%00 HTTP/1.1", (), {404}),
        ("GET /api/v1/ME HTTP/1.1", (), {404}),
        ("GET http://localhost/api/v1/me HTTP/1.1", (), {400}),
        ("GET http://evil.example/api/v1/me HTTP/1.1", (), {400}),
        ("GET /api/v1/\u00ff HTTP/1.1", (), {400}),
        ("GET * HTTP/1.1", (), {404}),
        ("CONNECT localhost:80 HTTP/1.1", (), {400}),
        ("TRACE /api/v1/me HTTP/1.1", (), {405}),
        ("OPTIONS /api/v1/me HTTP/1.1", (), {405}),
        ("get /api/v1/me HTTP/1.1", (), {400}),
        ("GET /api/v1/me HTTP/3.0", (), {400}),
        ("PRI * HTTP/2.0", (), {400}),
        ("GET /api/v1/me HTTP/1.1", ("Host: localhost",), {400}),
        ("GET /api/v1/me HTTP/1.1", ("Cookie: a=b",), {400}),
        ("GET /api/v1/me HTTP/1.1", ("X-A: b", " folded"), {400}),
        ("GET /api/v1/me HTTP/1.1", ("X-A: b\x00c",), {400}),
        ("GET /api/v1/me HTTP/1.1", ("X-A: b\rc",), {400}),
        ("GET /api/v1/me HTTP/1.1", ("X A: b",), {400}),
        ("GET /api/v1/me HTTP/1.1", ("X-A: " + "a" * 70_000,), {431}),
        ("POST /api/v1/stream-tickets HTTP/1.1", ("Content-Length: 2", "Content-Length: 3"), {400}),
        ("POST /api/v1/stream-tickets HTTP/1.1", ("Content-Length: 2", "Transfer-Encoding: chunked"), {400}),
        ("POST /api/v1/stream-tickets HTTP/1.1", ("Transfer-Encoding: xchunked",), {400}),
        ("POST /api/v1/stream-tickets HTTP/1.1", ("Transfer-Encoding: chunked, identity",), {400}),
        ("POST /api/v1/stream-tickets HTTP/1.1", ("Content-Length: +2",), {400}),
        ("POST /api/v1/stream-tickets HTTP/1.1", ("Content-Length: 0x2",), {400}),
    ],
    ids=lambda value: repr(value)[:60],
)  # fmt: skip
def test_a_request_that_programs_may_read_differently_reaches_nothing(
    ada: Browser, first: str, lines: tuple[str, ...], status: set[int]
) -> None:
    answer = raw(ada, first, *lines, body=b"{}")
    assert answer.status in status, answer.text
    assert answer.body["status"] == answer.status


def test_headers_that_proxies_set_change_nothing(ada: Browser) -> None:
    told = ["X-Forwarded-For: 10.9.8.7", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https", "Forwarded: for=10.9.8.7;host=evil"]
    told += ["X-Original-URL: /api/v1/people", "X-Rewrite-URL: /api/v1/people", "X-Real-IP: 10.9.8.7", "X-Forwarded-User: root"]
    answer = raw(ada, "GET /api/v1/session HTTP/1.1", *told)
    assert (answer.status, answer.body["person"]["name"]) == (200, "ada")
    begun = ada.post("/api/v1/device-codes", {"label": "x", "scopes": ["read"]}, **{"X-Forwarded-Host": "evil.example"})
    assert begun.body["verification_url"].startswith(ada.served.origin)
    assert "10.9.8.7" not in json.dumps(ada.get("/api/v1/me/sessions")) + json.dumps(ada.get("/api/v1/acts"))


def test_a_second_request_hidden_in_a_body_is_not_carried_out(ada: Browser) -> None:
    hidden = b"GET /api/v1/hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for lines in (("Content-Length: 0", "Transfer-Encoding : chunked"), ("Transfer-Encoding: chunked", "Content-Length: 5")):
        answer = raw(ada, "POST /api/v1/stream-tickets HTTP/1.1", *lines, body=b"0\r\n\r\n" + hidden)
        assert answer.status == 400
    sent = (
        f"GET /api/v1/session HTTP/1.0\r\nHost: localhost\r\nContent-Length: {len(hidden)}\r\nConnection: close\r\n\r\n".encode() + hidden
    )
    assert "hidden" not in ada.served.raw(sent).text


def test_old_and_bodiless_requests_are_answered_as_plainly_written(ada: Browser) -> None:
    assert raw(ada, "GET /api/v1/me HTTP/1.0").body["name"] == "ada"
    head = raw(ada, "HEAD /api/v1/me HTTP/1.1")
    assert (head.status, head.text) == (200, "")
    assert ada.served.raw(b"HEAD /api/v1/me HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").status == 401
    assert ada.served.raw(b"GET /api/v1/me HTTP/1.0\r\n\r\n").status == 401
    chunked = ("Content-Type: application/json", "Transfer-Encoding: chunked", f"Origin: {ada.served.origin}", f"X-Kedge-CSRF: {ada.csrf}")
    assert raw(ada, "POST /api/v1/stream-tickets HTTP/1.1", *chunked, body=b"2\r\n{}\r\n0\r\n\r\n").status == 201
    long = b"".join(b"4000\r\n" + b" " * 0x4000 + b"\r\n" for _ in range(6)) + b"0\r\n\r\n"
    assert raw(ada, "POST /api/v1/stream-tickets HTTP/1.1", *chunked, body=long).status == 413


TEXTS = [
    *(b'"\\ud800"', b'"x\\udc00"', b'"\\ude00\\ud83d"', b'"a\\u0000b"', b'"\\u202eabc"', b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\xaf"'),
    *(b"1e999", b"-1e999", b"NaN", b"Infinity", b"1" * 40, b"1" * 5000, b"-0.0", b"true", b"null", b"[]", b"{}"),
    *(b"[" * 31 + b"]" * 31, b"[" * 5000, b'{"a":1,"a":2}', b'"' + b"x" * 70_000 + b'"'),
]
"""What no text of ours may be, or only just; in place of any value of any document."""

DOCUMENTS = [
    ("POST", "sign-in/password", {"name": "ada", "password": "x", "code": "1"}),
    ("POST", "sign-in/passkey", {"challenge_id": "x", "credential": CREDENTIAL}),
    ("POST", "setup/options", {"token": "x", "name": "n", "display_name": "d"}),
    ("POST", "setup/passkey", {"challenge_id": "x", "credential": CREDENTIAL, "label": "l"}),
    ("POST", "setup/totp", {"ticket": "x", "code": "1"}),
    ("POST", "step-up/options", {"binds": "0" * 64}),
    ("POST", "device-codes", {"label": "x", "scopes": ["read"]}),
    ("POST", "device-tokens", {"device_code": "x"}),
    ("POST", "me/tokens", {"label": "x", "scopes": ["read"], "days": 3, "addresses": ["10.0.0.1"]}),
    ("PATCH", "me", {"display_name": "x"}),
    ("POST", "people", {"name": "x", "display_name": "X", "roles": ["viewer"]}),
    ("POST", "approvals", {"kind": "go-live", "payload": {"limit": "x"}, "reason": "r"}),
    ("POST", "commands", {"command": "flatten", "reason": "x"}),
]


def spelt(document: dict[str, object], place: str, text: bytes) -> bytes:
    """The document with these very bytes as one value."""
    parts = (json.dumps(name).encode() + b":" + (text if name == place else json.dumps(value).encode()) for name, value in document.items())
    return b"{" + b",".join(parts) + b"}"


@pytest.mark.parametrize(("method", "path", "document"), DOCUMENTS, ids=[path for _, path, _ in DOCUMENTS])
def test_no_text_brings_a_route_down(ada: Browser, method: str, path: str, document: dict[str, object]) -> None:
    for place in list(document)[-1:]:
        for text in TEXTS:
            headers = {"Idempotency-Key": str(uuid.uuid4()), **({"If-Match": '"999"'} if method == "PATCH" else {})}
            answer = ada.ask(method, f"/api/v1/{path}", spelt(document, place, text), **headers)
            assert answer.status < 500, (place, text[:40], answer.text)
            assert answer.status >= 400 or not ({"\0", "\u202e", "\ufffd"} & set(json.dumps(answer.body, ensure_ascii=False))), text[:40]
            assert answer.status >= 400 or "\\u0000" not in answer.text, text[:40]


def test_half_a_character_in_a_payload_is_refused_and_a_whole_one_is_not(ada: Browser) -> None:
    def ask(text: bytes) -> Answer:
        inner = spelt({"limit": 1}, "limit", text)
        return ada.make("/api/v1/approvals", spelt({"kind": "go-live", "payload": {}, "reason": "r"}, "payload", inner))

    for half in (b'"\\ud800"', b'["\\udfff"]', b'{"deep": ["\\uD83D"]}', b'"\\ude00\\ud83d"'):
        answer = ask(half)
        assert (answer.status, answer.code) == (400, "BODY_BROKEN"), half
    assert ask(b'"\\ud83d\\ude00"').status == 201
    assert ask(b'"a \\\\ud800 in words"').status == 201


UNSIGNED = range(63, 83)
"""Where a counter and the maker's id stand in the attestation object of a new passkey: nothing proves these, and nothing rests on them."""


@pytest.mark.parametrize("field", ["attestationObject", "clientDataJSON"])
def test_a_broken_new_passkey_is_refused_byte_by_byte(ada: Browser, field: str) -> None:
    for at in (at for at in range(0, 120, 3) if field == "clientDataJSON" or at not in UNSIGNED):
        question = ada.post("/api/v1/me/passkeys/options").body
        made = ada.passkeys.create(question["public_key"])
        ada.passkeys.keys.pop()
        broken = bytearray(unb64(made["response"][field]))
        broken[at % len(broken)] ^= 0xFF
        made["response"][field] = b64(bytes(broken[: len(broken) - at % 7]))
        answer = ada.post("/api/v1/me/passkeys", {"challenge_id": question["challenge_id"], "credential": made, "label": "x"})
        assert answer.status == 422, (at, answer.text)
    assert len(ada.get("/api/v1/me/passkeys")["items"]) == 1


def test_a_passkey_that_is_kept_for_somebody_is_kept_for_nobody_else(ada: Browser) -> None:
    bob = ada.invite("bob", "viewer")
    question = bob.post("/api/v1/me/passkeys/options").body
    stolen = ada.passkeys.keys[0]
    made = bob.passkeys.create(question["public_key"])
    own = bob.passkeys.keys[-1]
    attested = unb64(made["response"]["attestationObject"]).replace(own.credential_id, stolen.credential_id)
    made["response"]["attestationObject"] = b64(attested)
    made["id"] = made["rawId"] = b64(stolen.credential_id)
    answer = bob.post("/api/v1/me/passkeys", {"challenge_id": question["challenge_id"], "credential": made, "label": "x"})
    assert (answer.status, answer.code) == (409, "CONFLICT")
    assert ada.elsewhere().person["name"] == "ada"
