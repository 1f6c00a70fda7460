"""Rows and acts to put into a store of people."""

from __future__ import annotations

from typing import Any

from kedge.domain.people import Act, Role, Source
from kedge.storage.people_rows import Device, Person


def person(person_id: str = "p-1", **changes: Any) -> Person:
    given = {
        "name": f"name of {person_id}",
        "display_name": "Ann",
        "roles": (Role.ADMIN,),
        "state": "active",
        "version": 1,
        "made_wall_ns": 5,
    }
    return Person(person_id=person_id, **{**given, **changes})


def device(device_hash: str, **changes: Any) -> Device:
    given = {"user_code": "ABCD-EFGH", "label": "shell", "scopes": (), "state": "pending", "made_wall_ns": 1, "expires_wall_ns": 9}
    return Device(device_hash=device_hash, **{**given, **changes})


def act(number: int = 1, **changes: Any) -> Act:
    given = {
        "act_id": f"act-{number}",
        "wall_ns": number,
        "person_id": "p-1",
        "name": "ann",
        "roles": (Role.ADMIN,),
        "source": Source.BROWSER,
        "action": "people.manage",
        "subject": "p-2",
        "outcome": "done",
    }
    return Act(**{**given, **changes})
