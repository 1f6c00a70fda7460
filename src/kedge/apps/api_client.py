"""The command line as a client of the server: one request at a time, its problems as our own errors.

Rules: a token travels over https or to this machine itself and nowhere else, redirects are not followed, no proxy is asked, and an answer
is believed only as far as it is the JSON that was promised.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from kedge import __version__
from kedge.api.loopback import is_loopback
from kedge.apps.credentials import token_for
from kedge.domain.errors import InvalidInput, KedgeError, NotSignedIn
from kedge.ops.health_file import SERVER, read_health_file

SERVER_VARIABLE: Final = "KEDGE_SERVER"
TIMEOUT_S: Final = 15.0
ANSWER_MAX_BYTES: Final = 8 * 1024 * 1024
PAGE_ROWS: Final = 200


class ServerSilent(KedgeError):
    """No server answers. Reaction: start it, then ask again."""

    code = "UNAVAILABLE"


class ServerSaid(KedgeError):
    """The server refused, in its own words; `code` is the server's. Reaction: by the code."""

    def __init__(self, problem: Mapping[str, Any], status: int) -> None:
        said = {name: str(problem.get(name) or "") for name in ("title", "detail", "fix", "code", "correlation_id")}
        why = said["detail"] if said["detail"] != said["fix"] else ""
        super().__init__(said["title"] or f"the server answered {status}", why=why, fix=said["fix"])
        self.code = said["code"] or "INTERNAL"
        self.status, self.correlation_id = status, said["correlation_id"]


class Answer(NamedTuple):
    """What a server answered: status, document (None where there is none), headers by lower-case name, and what cookies it set."""

    status: int
    document: Any
    headers: dict[str, str]
    cookies: tuple[str, ...] = ()


def server_url(given: str | None, state_folder: Path, environ: Mapping[str, str]) -> str:
    """The server to ask: the one that is named, else that of `KEDGE_SERVER`, else the one that serves this state folder now.

    Raises
    ------
    ServerSilent
        None serves it.
    InvalidInput
        A token may not travel there.
    """
    named = given or environ.get(SERVER_VARIABLE, "")
    if named:
        return checked_url(named)
    try:
        found = read_health_file(state_folder, SERVER, datetime.now(UTC))
    except KedgeError:
        found = {"alive": False}
    if not found["alive"]:
        raise ServerSilent("no server is running here", why=f"nothing serves {state_folder}", fix="kedge up, kedge serve, or --server URL")
    return checked_url(str(found["url"]))


def checked_url(url: str) -> str:
    """A server's address in one form: scheme, host and port, nothing else.

    Raises
    ------
    InvalidInput
        It is no such address, or http to another machine.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.path.strip("/") or parts.query or parts.fragment:
        raise InvalidInput("--server is no address of a server", why="wanted is a scheme, a host and a port", fix="http://127.0.0.1:8080")
    if parts.scheme == "http" and not is_loopback(host):
        raise InvalidInput(
            f"--server names {host} over http", why="a token may only travel encrypted, or inside this machine", fix="https://"
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port is not None else "")


class Api:
    """One server, asked with one identity.

    Parameters
    ----------
    url : str
        As `checked_url` gives it.
    token : str, optional
        Empty: asks as nobody.
    """

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url
        self._token = token
        self._extra: dict[str, str] = {}

    @classmethod
    def signed_in(cls, url: str) -> Api:
        """With the token that is kept for this server.

        Raises
        ------
        NotSignedIn
            There is none.
        """
        token = token_for(url)
        if not token:
            raise NotSignedIn(f"nobody is signed in to {url}", why="there is no token for it", fix="kedge login")
        return cls(url, token)

    def with_headers(self, **headers: str) -> Api:
        """The same server with these headers in place of the token, such as a session's cookie."""
        made = Api(self.url)
        made._extra = {name.replace("_", "-"): value for name, value in headers.items()}
        return made

    def get(self, path: str, **query: str | int | None) -> Any:
        """The document at a path below `/api/v1/`."""
        wanted = urlencode({name: value for name, value in query.items() if value is not None})
        return self.ask("GET", f"{path}?{wanted}" if wanted else path).document

    def all(self, path: str, *, limit: int, **query: str | int | None) -> Iterator[dict[str, Any]]:
        """Rows of a list, page after page, at most so many."""
        cursor: str | None = None
        while limit > 0:
            page = self.get(path, limit=min(limit, PAGE_ROWS), cursor=cursor, **query)
            yield from page["items"][:limit]
            limit -= len(page["items"])
            cursor = page.get("next_cursor")
            if cursor is None:
                return

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, key: str = "") -> Answer:
        """Ask for something to be done; `key` makes a repeat the same request."""
        return self.ask("POST", path, body or {}, {"Idempotency-Key": key} if key else {})

    def patch(self, path: str, body: Mapping[str, Any], *, etag: str) -> Answer:
        """Change something, if it is still what was read."""
        return self.ask("PATCH", path, body, {"If-Match": etag})

    def delete(self, path: str) -> None:
        """Take something away."""
        self.ask("DELETE", path)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request.

        Raises
        ------
        ServerSilent
            Nobody answers, or somebody who is no Kedge.
        ServerSaid
            A problem.
        """
        sent = {"Accept": "application/json", "User-Agent": f"kedge/{__version__}", **self._extra, **(headers or {})}
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        answer = self._exchange(method, f"/api/v1/{path}", content, sent)
        if answer.status >= 300:
            raise ServerSaid(answer.document if isinstance(answer.document, dict) else {}, answer.status)
        return answer

    def _exchange(self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]) -> Answer:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        link = (
            http.client.HTTPSConnection(host, parts.port, timeout=TIMEOUT_S, context=ssl.create_default_context())
            if parts.scheme == "https"
            else http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_S)
        )
        try:
            link.request(method, path, content, dict(headers))
            got = link.getresponse()
            raw = got.read(ANSWER_MAX_BYTES + 1)
            document = json.loads(raw) if raw and len(raw) <= ANSWER_MAX_BYTES else None
            cookies = tuple(got.headers.get_all("Set-Cookie") or ())
            return Answer(got.status, document, {name.lower(): value for name, value in got.getheaders()}, cookies)
        except (OSError, http.client.HTTPException) as error:
            raise ServerSilent(f"no server answers at {self.url}", why=str(error) or type(error).__name__, fix="kedge serve") from None
        except ValueError:
            raise ServerSilent(f"{self.url} is no Kedge server", why="its answer is no JSON", fix="name another with --server") from None
        finally:
            link.close()


def segment(text: str) -> str:
    """An id as one part of a path, whatever it holds."""
    return quote(text, safe="")
