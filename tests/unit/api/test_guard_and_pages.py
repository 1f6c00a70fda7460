"""Headers, hosts and origins of every answer, and the dashboard's files."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from kedge.api.guard import POLICY

from .served import Client, served

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@pytest.fixture
def built(tmp_path: Path) -> Path:
    folder = tmp_path / "built"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>the page</title>")
    (folder / "assets" / "index-abc123.js").write_text("export {}")
    (folder / "robots.txt").write_text("User-agent: *")
    (tmp_path / "secret.txt").write_text("not yours")
    return folder


@pytest.mark.parametrize("path", ["/", "/api/v1/overview", "/api/v1/nothing", "/health/live", "/assets/none.js"])
def test_every_answer_keeps_a_browser_strict(tmp_path: Path, path: str) -> None:
    async def then(client: Client) -> None:
        for headers in ({}, {"Origin": "http://evil.example"}):
            answer = await client.ask(path, **headers)
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS
            assert answer.headers["Cache-Control"] == "no-store"
            assert "Server" not in answer.headers
            assert "Access-Control-Allow-Origin" not in answer.headers

    served(tmp_path, then, follow=False)


def test_no_inline_script_or_style_is_allowed() -> None:
    assert "default-src 'self'" in POLICY
    assert "unsafe" not in POLICY


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "evil.example"}, "FOREIGN_HOST"),
        ({"Host": "["}, "FOREIGN_HOST"),
        ({"Host": "0.0.0.0"}, "FOREIGN_HOST"),
        ({"Origin": "http://evil.example"}, "FOREIGN_ORIGIN"),
        ({"Origin": "null"}, "FOREIGN_ORIGIN"),
        ({"Origin": "http://localhost:1"}, "FOREIGN_ORIGIN"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/v1/overview", "/health/live"])
def test_a_foreign_host_or_origin_is_refused_everywhere(tmp_path: Path, path: str, headers: dict[str, str], code: str) -> None:
    async def then(client: Client) -> None:
        answer = await client.ask(path, **headers)
        assert (answer.status, answer.body["code"]) == (403, code)

    served(tmp_path, then, follow=False)


def test_the_pages_own_origin_is_taken(tmp_path: Path) -> None:
    async def then(client: Client) -> None:
        assert (await client.ask("/api/v1/overview", Origin=client.url)).status == 200

    served(tmp_path, then, follow=False)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/api/v1/overview", "/assets/x.js"])
def test_only_reading_is_allowed(tmp_path: Path, method: str, path: str) -> None:
    async def then(client: Client) -> None:
        answer = await client.ask(path, method)
        assert (answer.status, answer.body["code"], answer.headers["Allow"]) == (405, "METHOD_NOT_ALLOWED", "GET, HEAD")

    served(tmp_path, then, follow=False)


def test_head_is_get_without_a_body(tmp_path: Path, built: Path) -> None:
    async def then(client: Client) -> None:
        for path in ("/api/v1/overview", "/", "/api/v1/runs"):
            answer = await client.ask(path, "HEAD")
            assert (answer.status, answer.text) == (200, "")
            assert int(answer.headers["Content-Length"]) > 10

    served(tmp_path, then, follow=False, dashboard=built)


@pytest.mark.parametrize("path", ["/", "/chart", "/lineage", "/lineage/fill-1/more?x=1"])
def test_views_are_the_page(tmp_path: Path, built: Path, path: str) -> None:
    async def then(client: Client) -> None:
        answer = await client.ask(path)
        assert (answer.status, "the page" in answer.text) == (200, True)
        assert answer.headers["Content-Type"].startswith("text/html")
        assert answer.headers["Cache-Control"] == "no-cache"

    served(tmp_path, then, follow=False, dashboard=built)


def test_hashed_files_are_kept_for_ever_and_others_asked_again(tmp_path: Path, built: Path) -> None:
    async def then(client: Client) -> None:
        script = await client.ask("/assets/index-abc123.js")
        assert (script.text, "immutable" in script.headers["Cache-Control"]) == ("export {}", True)
        assert "javascript" in script.headers["Content-Type"]
        assert (await client.ask("/robots.txt")).headers["Cache-Control"] == "no-cache"

    served(tmp_path, then, follow=False, dashboard=built)


@pytest.mark.parametrize(
    "path", ["/../secret.txt", "/%2e%2e/secret.txt", "/assets/..%2f..%2fsecret.txt", "/%00", "/assets", "//etc/passwd", "/none.js"]
)
def test_nothing_outside_the_build_is_given_out(tmp_path: Path, built: Path, path: str) -> None:
    async def then(client: Client) -> None:
        import yarl

        async with client.session.get(yarl.URL(client.url + path, encoded=True)) as answer:
            assert answer.status == 404
            assert "not yours" not in await answer.text()

    served(tmp_path, then, follow=False, dashboard=built)


def test_where_nothing_is_built_the_page_names_the_command(tmp_path: Path) -> None:
    async def then(client: Client) -> None:
        answer = await client.ask("/chart")
        assert (answer.status, "make web" in answer.text) == (200, True)
        assert "<script" not in answer.text

    served(tmp_path, then, follow=False)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"this is not HTTP\r\n\r\n", 400),
        (b"FETCH / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
        (b"GET /" + b"a/" * 40_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 300 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
        (b"GET /api/v1/runs/" + b"%F0%9F%98%80" * 100 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
        (b"GET /api/v1/runs/a%00b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
        (b"GET /a%00b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
        (b"TRACE / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405),
        (b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
    ],
    ids=lambda value: None if isinstance(value, int) else value[:30].decode(),
)
def test_whatever_comes_in_is_answered_with_a_problem(tmp_path: Path, request_: bytes, status: int) -> None:
    async def then(client: Client) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(request_)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        body = json.loads(await reader.readexactly(length))
        writer.close()
        assert (int(head.split()[1]), body["status"], bool(body["fix"])) == (status, status, True)
        assert "content-type: application/problem+json" in head
        for name, value in HEADERS.items():
            assert f"{name}: {value}".lower() in head

    served(tmp_path, then, follow=False)
