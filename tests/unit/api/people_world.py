"""A server that keeps accounts, and clients that use it as a browser or a machine does: cookies, tokens and headers by hand."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pyotp

from kedge.api.cookies import DEVICE_COOKIE, SESSION_COOKIE
from kedge.api.pages import Dashboard
from kedge.api.server import ApiServer
from kedge.domain.people import Role
from kedge.ops.identity.passwords import Argon2Cost
from kedge.services.people.desk import PeopleDesk
from kedge.storage.people_rows import Person

CHEAP = Argon2Cost(memory_kib=64, passes=1)
PASSWORD = "violet-anchor-9-marble-tide"
NS = 1_000_000_000


def seeded(desk: PeopleDesk | None, name: str = "ada", roles: tuple[Role, ...] = (Role.ADMIN, Role.TRADER)) -> Person:
    """An account straight in the store, for tests that are not about how one comes to have it."""
    assert desk is not None
    with desk.store.writing() as tx:
        person = tx.get(Person, f"p-{name}")
        if person is None:
            person = Person(person_id=f"p-{name}", name=name, display_name=name, roles=roles, state="active", version=1, made_wall_ns=1)
            tx.add(person)
    return person


class Clock:
    """Wall time that a test moves."""

    def __init__(self) -> None:
        self.now_ns = 1_790_000_000 * NS

    def __call__(self) -> int:
        return self.now_ns

    def wait_s(self, seconds: float) -> None:
        self.now_ns += int(seconds * NS)


class Answer(NamedTuple):
    """One answer; `body` is JSON where it is JSON."""

    status: int
    headers: Any
    text: str
    body: Any


class Browser:
    """A page of the server's own origin: keeps cookies as a browser would, and sends its session's CSRF token."""

    def __init__(self, world: World, host: str = "localhost") -> None:
        self.world = world
        self.origin = f"http://{host}:{world.port}"
        self.host = f"{host}:{world.port}"
        self.cookies: dict[str, str] = {}
        self.csrf = ""
        self.totp_secret = ""
        self.recovery_codes: list[str] = []

    async def ask(self, method: str, path: str, body: Any = None, *, bare: bool = False, **headers: str) -> Answer:
        """Ask as the page does; `bare` leaves the CSRF token and the origin away."""
        sent = {"Host": self.host}
        if not bare:
            sent |= {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"}
            sent |= {"X-Kedge-CSRF": self.csrf} if self.csrf and method not in ("GET", "HEAD") else {}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = await self.world.ask(method, path, body, **{**sent, **headers})
        for text in answer.headers.getall("Set-Cookie", []):
            assert all(part in text for part in ("Path=/", "Secure", "HttpOnly", "SameSite=Strict")), text
            name, _, rest = text.partition("=")
            self.cookies[name] = rest.split(";")[0]
            if "Max-Age=0;" in text:
                del self.cookies[name]
        return answer

    async def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return await self.ask("POST", path, {} if body is None else body, **headers)

    async def make(self, path: str, body: Any, **headers: str) -> Answer:
        """Post with a new Idempotency-Key, unless one is given."""
        return await self.post(path, body, **{"Idempotency-Key": str(uuid.uuid4()), **headers})

    async def get(self, path: str) -> Any:
        answer = await self.ask("GET", path)
        assert answer.status == 200, (path, answer.text)
        return answer.body

    @property
    def session_cookie(self) -> str:
        return self.cookies[SESSION_COOKIE]

    @property
    def device_cookie(self) -> str:
        return self.cookies[DEVICE_COOKIE]

    def code(self) -> str:
        """The authenticator app's code now; the next one after each use, because each is worth something once."""
        self.world.clock.wait_s(30)
        return pyotp.TOTP(self.totp_secret).at(self.world.clock.now_ns // NS)

    def believe(self, session: Any) -> None:
        self.csrf = session["csrf"]

    async def set_up(self, link: str, name: str | None = "ada", display_name: str | None = "Ada Lovelace") -> None:
        """Set an account up by its link, with password and authenticator app."""
        token = link.partition("#")[2]
        given = {"token": token, "password": PASSWORD}
        given |= {"name": name, "display_name": display_name} if name else {}
        offer = await self.post("/api/v1/setup/password", given)
        assert offer.status == 200, offer.text
        self.totp_secret = offer.body["totp_secret"]
        done = await self.post("/api/v1/setup/totp", {"ticket": offer.body["ticket"], "code": self.code()})
        assert done.status == 200, done.text
        self.recovery_codes = done.body["recovery_codes"]
        self.believe(done.body["session"])

    async def sign_in(self, name: str = "ada", password: str = PASSWORD, code: str = "") -> Answer:
        answer = await self.post("/api/v1/sign-in/password", {"name": name, "password": password, "code": code or self.code()})
        if answer.status == 200:
            self.believe(answer.body)
        return answer

    async def step_up(self) -> Answer:
        answer = await self.post("/api/v1/step-up/password", {"password": PASSWORD, "code": self.code()})
        assert answer.status == 200, answer.text
        self.believe(answer.body)
        return answer


class World:
    """One server with accounts."""

    def __init__(self, server: ApiServer, port: int, http: aiohttp.ClientSession, clock: Clock) -> None:
        self.server, self.port, self.http, self.clock = server, port, http, clock
        self.url = f"http://127.0.0.1:{port}"

    @property
    def desk(self) -> PeopleDesk:
        assert self.server.people is not None
        return self.server.people

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if data is not None:
            headers = {"Content-Type": "application/json", **headers}
        async with self.http.request(method, self.url + path, data=data, headers=headers, skip_auto_headers=("Content-Type",)) as got:
            text = await got.text()
            is_json = "json" in got.headers.get("Content-Type", "") and text
            return Answer(got.status, got.headers, text, json.loads(text) if is_json else None)

    async def first(self) -> Browser:
        """A browser in which the first account was set up: admin and trader."""
        browser = Browser(self)
        link = await self.server.setup_url()
        assert link is not None
        await browser.set_up(link)
        return browser

    async def invited(self, admin: Browser, name: str, *roles: str) -> Browser:
        """A browser of somebody whom the admin invited."""
        answer = await admin.make("/api/v1/people", {"name": name, "display_name": name.title(), "roles": list(roles)})
        assert answer.status == 201, answer.text
        browser = Browser(self)
        await browser.set_up(answer.body["setup_link"], None)
        return browser

    async def token(self, owner: Browser, *scopes: str, **more: Any) -> str:
        answer = await owner.make("/api/v1/me/tokens", {"label": "test", "scopes": list(scopes), **more})
        assert answer.status == 201, answer.text
        return str(answer.body["token"])


def in_world(state: Path, then: Callable[[World], Awaitable[None]]) -> None:
    """Start a server with accounts over a state folder, and let the test use it."""

    async def main() -> None:
        clock = Clock()
        open_people = lambda origin: PeopleDesk.open(state, public_origin=origin, wall_ns=clock, cost=CHEAP)  # noqa: E731
        server = ApiServer(state, dashboard=Dashboard(state / "no-dashboard"), people=open_people)
        port = await server.start("127.0.0.1", 0)
        try:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
                await then(World(server, port, http, clock))
        finally:
            await server.close()

    asyncio.run(main())
