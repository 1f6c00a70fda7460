"""What the terminal of the machine may do with a state folder's people, beside a server or without one."""

from __future__ import annotations

from pathlib import Path

from kedge.domain.errors import Forbidden
from kedge.services.people.answers import Client
from kedge.services.people.desk import PEOPLE_FOLDER, STORE_NAME, open_links
from kedge.services.people.telling import local_actor
from kedge.storage.people_rows import Person
from kedge.storage.people_store import PeopleStore


def accounts_exist(state_folder: Path) -> bool:
    """Whether anybody has an account here. A store that cannot be read raises: what it would have said is not known."""
    path = state_folder / PEOPLE_FOLDER / STORE_NAME
    if not path.exists():
        return False
    with PeopleStore(path) as store, store.reading() as tx:
        return tx.count(Person) > 0


def local_setup_link(state_folder: Path, name: str = "") -> str:
    """The secret of a new set-up link: of a person, or without a name of the first account.

    Raises
    ------
    Forbidden
        Somebody has an account already, so a link must name its person.
    NotFound
        Nobody has this name.
    """
    with open_links(state_folder) as links:
        if name:
            return links.local(local_actor(), name, Client(address="")).link_secret
        secret = links.first()
    if secret is None:
        raise Forbidden(
            "somebody has an account here", why="the first set-up link is for the first account", fix="kedge people invite NAME"
        )
    return secret
