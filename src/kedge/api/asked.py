"""What is known about one request while it is answered: its correlation id, where it comes from, who asks, and headers of the answer."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import HTTPConnection

from kedge.api.cookies import Given
from kedge.domain.people import Actor
from kedge.services.people.answers import Client

KEY: Final = "kedge.asked"


@dataclass(slots=True)
class Asked:
    """Filled on the way in: by the guard, then by the route.

    Attributes
    ----------
    given : Given
        Cookies and token.
    actor : Actor or None
        Who asks, once the route has found out.
    headers : list of (bytes, bytes)
        What the answer says besides, whatever it is.
    """

    correlation_id: str
    client: Client
    given: Given = field(repr=False, default_factory=Given)
    actor: Actor | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list, repr=False)

    @property
    def who(self) -> str:
        """Whose requests these are, for what is counted or kept by asker."""
        return self.actor.person_id if self.actor is not None else f"address:{self.client.address}"


def asked_of(connection: HTTPConnection) -> Asked:
    """What is known about a request."""
    asked: Asked = connection.scope[KEY]
    return asked


def keep_asked(scope: MutableMapping[str, Any], asked: Asked) -> None:
    """Say what is known about a request, to all that come after."""
    scope[KEY] = asked


def client_of(connection: HTTPConnection) -> Client:
    """Where a request comes from, as the desk of people takes it."""
    return asked_of(connection).client
