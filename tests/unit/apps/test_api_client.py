"""The command line as a client: where a token may travel, where it lies, and what is made of every kind of answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.unit.apps.market_files import kedge, refused
from tests.unit.apps.people_server import types

from kedge.apps import credentials
from kedge.apps.api_client import Api, ServerSaid, ServerSilent, checked_url, segment, server_url
from kedge.apps.asking import session_at
from kedge.apps.credentials import Credential
from kedge.apps.exit_codes import exit_code_for
from kedge.domain.errors import InvalidConfig, InvalidInput, NotSignedIn
from kedge.ops.health_file import SERVER, health_path, write_health_file

TOKEN = "kedge_pat_CANARY0000000000000000000000000000000000000000"


@pytest.fixture(autouse=True)
def own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("KEDGE_TOKEN", raising=False)


class Counter:
    """A server of one answer, which keeps what it was asked."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                outer.asked.append((self.command, self.path, dict(self.headers), self.rfile.read(length)))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

            def log_message(self, *_: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=lambda: self.server.serve_forever(poll_interval=0.01), daemon=True).start()

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def answering() -> Iterator[Any]:
    made: list[Counter] = []

    def make(status: int = 200, document: Any = None, *, raw: bytes | None = None, **headers: str) -> Counter:
        body = raw if raw is not None else b"" if document is None else json.dumps(document).encode()
        made.append(Counter(status, body, {name.replace("_", "-"): value for name, value in headers.items()}))
        return made[-1]

    yield make
    for one in made:
        one.end()


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:8080/", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://kedge.example.org", "https://kedge.example.org"),
        ("https://kedge.example.org:8443/", "https://kedge.example.org:8443"),
    ],
)
def test_a_token_travels_inside_this_machine_or_encrypted(given: str, url: str):
    assert checked_url(given) == url


@pytest.mark.parametrize(
    "given",
    [
        "http://kedge.example.org",
        "http://192.0.2.7:8080",
        "http://127.0.0.1.example.org",
        "ftp://127.0.0.1",
        "127.0.0.1:8080",
        "http://ann:pw@127.0.0.1:8080",
        "http://127.0.0.1:8080/path",
        "http://127.0.0.1:8080/?a=1",
        "http://127.0.0.1:8080/#a",
        "http://127.0.0.1:port",
        "http://[::1",
        "",
    ],
)
def test_and_nowhere_else(given: str):
    with pytest.raises(InvalidInput):
        checked_url(given)


def test_the_server_is_the_named_one_else_the_variables_else_the_folders(tmp_path: Path):
    with pytest.raises(ServerSilent, match="no server is running") as silent:
        server_url(None, tmp_path, {})
    assert exit_code_for(silent.value) == 8
    write_health_file(tmp_path, SERVER, {"url": "http://127.0.0.1:1234"}, datetime.now(UTC))
    assert server_url(None, tmp_path, {}) == "http://127.0.0.1:1234"
    assert server_url(None, tmp_path, {"KEDGE_SERVER": "https://a.example"}) == "https://a.example"
    assert server_url("https://b.example", tmp_path, {"KEDGE_SERVER": "https://a.example"}) == "https://b.example"
    path = health_path(tmp_path, SERVER)
    path.write_text(json.dumps({**json.loads(path.read_text()), "pid": 2**22 + 1}))
    with pytest.raises(ServerSilent):
        server_url(None, tmp_path, {})


def test_a_request_carries_the_token_its_key_and_its_version_and_nothing_in_the_address(answering: Any):
    server = answering(200, {"items": []})
    api = Api(server.url, TOKEN)
    api.get("people", state="active", kind=None)
    api.post("approvals", {"a": 1}, key="k-1")
    api.patch("people/p-1", {"disabled": True}, etag='"3"')
    api.delete("me/tokens/t-1")
    assert [(method, path) for method, path, _, _ in server.asked] == [
        ("GET", "/api/v1/people?state=active"),
        ("POST", "/api/v1/approvals"),
        ("PATCH", "/api/v1/people/p-1"),
        ("DELETE", "/api/v1/me/tokens/t-1"),
    ]
    headers = [sent for _, _, sent, _ in server.asked]
    assert all(sent["Authorization"] == f"Bearer {TOKEN}" for sent in headers)
    assert (headers[1]["Idempotency-Key"], headers[2]["If-Match"]) == ("k-1", '"3"')
    assert (server.asked[1][3], headers[1]["Content-Type"]) == (b'{"a": 1}', "application/json")
    assert server.asked[0][3] == b""


def test_pages_are_followed_as_far_as_wanted(answering: Any):
    server = answering(200, {"items": [{"n": 1}, {"n": 2}], "next_cursor": "c"})
    assert len(list(Api(server.url).all("acts", limit=5))) == 5
    assert [path for _, path, _, _ in server.asked] == [
        "/api/v1/acts?limit=5",
        "/api/v1/acts?limit=3&cursor=c",
        "/api/v1/acts?limit=1&cursor=c",
    ]
    last = answering(200, {"items": [{"n": 1}], "next_cursor": None})
    assert list(Api(last.url).all("acts", limit=5)) == [{"n": 1}]


def test_a_problem_is_said_in_the_servers_words_with_its_codes_exit_code(answering: Any):
    problem = {"title": "Bob may not", "detail": "it takes admin", "fix": "ask Ada", "code": "FORBIDDEN", "correlation_id": "c-1"}
    with pytest.raises(ServerSaid) as said:
        Api(answering(403, problem).url, TOKEN).get("people")
    error = said.value
    assert (error.what, error.why, error.fix, error.code, error.status, error.correlation_id) == (
        "Bob may not",
        "it takes admin",
        "ask Ada",
        "FORBIDDEN",
        403,
        "c-1",
    )
    assert exit_code_for(error) == 7
    with pytest.raises(ServerSaid, match="the server answered 500"):
        Api(answering(500, ["no", "problem"]).url).get("people")


def test_a_redirect_is_not_followed_and_the_token_stays(answering: Any):
    elsewhere = answering(200, {})
    with pytest.raises(ServerSaid):
        Api(answering(302, {}, Location=f"{elsewhere.url}/api/v1/people").url, TOKEN).get("people")
    assert elsewhere.asked == []


def test_what_is_no_kedge_is_named_and_nobody_there_too(answering: Any):
    with pytest.raises(ServerSilent, match="is no Kedge server"):
        Api(answering(200, raw=b"<html>").url).get("people")
    gone = answering()
    gone.end()
    with pytest.raises(ServerSilent, match="no server answers") as silent:
        Api(gone.url, TOKEN).get("people")
    assert TOKEN not in str(silent.value)


def test_https_wants_a_certificate_that_can_be_trusted(answering: Any):
    """A server that speaks no TLS gets no byte of the request."""
    plain = answering(200, {})
    with pytest.raises(ServerSilent):
        Api(plain.url.replace("http://", "https://"), TOKEN).get("people")
    assert plain.asked == []


def test_an_id_is_one_part_of_a_path_whatever_it_holds():
    assert segment("../people?x#y") == "..%2Fpeople%3Fx%23y"


def test_a_code_that_nobody_confirms_in_time_gives_no_token(answering: Any):
    device = {"device_code": "d", "user_code": "AAAA-BBBB", "verification_url": "http://localhost/device", "expires_in_s": 0}
    assert refused(kedge("login", "--server", answering(201, device).url, "--json")) == (7, "NOT_SIGNED_IN")
    assert not credentials.credentials_file().exists()


def test_a_server_that_fails_at_revoking_leaves_the_token_where_it_is(answering: Any):
    server = answering(500, {"title": "broken", "detail": "a defect", "fix": "see the log", "code": "INTERNAL"})
    credentials.keep(server.url, Credential(token=TOKEN, token_id="i", name="ada"))
    assert refused(kedge("logout", "--server", server.url, "--json")) == (1, "INTERNAL")
    assert credentials.token_for(server.url, {}) == TOKEN


def test_a_payload_file_that_holds_no_object_is_refused_before_anything_is_asked(answering: Any, tmp_path: Path):
    server = answering(200, {})
    (tmp_path / "list.json").write_text("[1]")
    answer = kedge("approval", "request", "role-grant", tmp_path / "list.json", "--reason", "x", "--server", server.url, "--json")
    assert refused(answer) == (4, "INVALID_INPUT")
    assert server.asked == []


def test_a_link_made_without_a_server_leads_to_where_one_will_be(tmp_path: Path):
    assert "http://localhost:8080/setup#" in kedge("people", "setup-link", "--state-dir", tmp_path).out
    elsewhere = kedge("people", "setup-link", "--state-dir", tmp_path, "--server", "https://kedge.example.org", "--json")
    assert elsewhere.json["setup_link"].startswith("https://kedge.example.org/setup#")


class TestCredentials:
    def test_tokens_are_kept_by_server_and_forgotten_one_by_one(self):
        first, second = Credential(token="t1", token_id="i1", name="ada"), Credential(token="t2", token_id="i2", name="bob")
        credentials.keep("http://a", first)
        path = credentials.keep("http://b", second)
        assert path.stat().st_mode & 0o777 == 0o600
        assert (credentials.credential("http://a"), credentials.token_for("http://b", {})) == (first, "t2")
        credentials.forget("http://a")
        assert (credentials.credential("http://a"), credentials.token_for("http://a", {})) == (None, "")
        assert credentials.token_for("http://b", {"KEDGE_TOKEN": "t3"}) == "t3"

    def test_forgetting_where_nothing_is_kept_makes_no_file(self):
        credentials.forget("http://a")
        assert not credentials.credentials_file().exists()

    def test_twenty_at_once_lose_none(self):
        def keep(n: int) -> None:
            credentials.keep(f"http://{n}", Credential(token="t", token_id=str(n), name="ada"))

        threads = [threading.Thread(target=keep, args=(n,)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(credentials.credential(f"http://{n}") is not None for n in range(20))

    def test_a_file_that_others_can_read_is_refused(self):
        path = credentials.keep("http://a", Credential(token=TOKEN, token_id="i", name="ada"))
        path.chmod(0o644)
        with pytest.raises(InvalidConfig, match="0644") as refused:
            credentials.token_for("http://a", {})
        assert TOKEN not in str(refused.value)

    @pytest.mark.parametrize("content", ["", "[]", '{"servers": {}, "more": 1}', '{"servers": {"http://a": {"token": 1}}}'])
    def test_a_file_that_is_none_of_ours_is_refused(self, content: str):
        path = credentials.keep("http://a", Credential(token=TOKEN, token_id="i", name="ada"))
        path.write_text(content)
        with pytest.raises(InvalidConfig, match="cannot be read"):
            credentials.credential("http://a")

    @pytest.mark.parametrize("text", ["two words", "t\u00f6ken", "a\x00b"])
    def test_a_variable_that_holds_no_token_is_refused_without_being_said(self, text: str):
        with pytest.raises(InvalidInput) as refused:
            credentials.token_for("http://a", {"KEDGE_TOKEN": text})
        assert text not in str(refused.value)

    def test_a_credential_never_shows_its_token(self):
        assert TOKEN not in repr(Credential(token=TOKEN, token_id="i", name="ada"))

    def test_without_a_token_nothing_is_asked(self, answering: Any):
        server = answering(200, {})
        with pytest.raises(NotSignedIn, match="kedge login"):
            Api.signed_in(server.url)
        assert server.asked == []


class TestSessionAtTheTerminal:
    def test_it_ends_with_its_block_whatever_happens_there(self, answering: Any, monkeypatch: pytest.MonkeyPatch):
        server = answering(200, {"csrf": "c-1"}, Set_Cookie="__Host-kedge=abc; Path=/; Secure; HttpOnly; SameSite=Strict")
        types(monkeypatch, "ada", secrets=("pw", " 123456 "))

        def fails() -> None:
            with session_at(server.url, "/account") as session:
                session.post("me/tokens", {}, key="k")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fails()
        (signing_in, act, leaving) = server.asked
        assert json.loads(signing_in[3]) == {"name": "ada", "password": "pw", "code": "123456"}
        assert (act[2]["Cookie"], act[2]["X-Kedge-CSRF"], act[2]["Origin"]) == ("__Host-kedge=abc", "c-1", server.url)
        assert "Authorization" not in act[2]
        assert leaving[:2] == ("DELETE", "/api/v1/session")

    def test_a_server_that_begins_none_is_said(self, answering: Any, monkeypatch: pytest.MonkeyPatch):
        server = answering(200, {"csrf": "c-1"}, Set_Cookie="other=1")
        types(monkeypatch, "ada", secrets=("pw", "123456"))
        with pytest.raises(NotSignedIn, match="no session"), session_at(server.url, "/account"):
            raise AssertionError("nothing is done without a session")

    def test_the_name_of_the_kept_token_is_offered(self, answering: Any, monkeypatch: pytest.MonkeyPatch):
        server = answering(200, {"csrf": "c"}, Set_Cookie="__Host-kedge=abc")
        credentials.keep(server.url, Credential(token=TOKEN, token_id="i", name="ada"))
        types(monkeypatch, "", secrets=("pw", "123456"))
        with session_at(server.url, "/account"):
            pass
        assert json.loads(server.asked[0][3])["name"] == "ada"
