"""Every route, with every kind of credentials that is not good enough for it, over TLS: from the table of routes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from pvenetd.access.tickets import LIFETIME
from pvenetd.api.route import PREFIX
from pvenetd.api.routes import ROUTES
from tests.api.far import Far, Headers, by_ticket, far_off

OPEN = {("GET", "/access/ticket"), ("POST", "/access/ticket"), ("GET", "/access/domains")}
"""What has to be there for who is not known yet."""
TOKEN = "root@pam!test"


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[Far]:
    async with far_off(tmp_path) as found:
        yield found


async def nothing(far: Far) -> Headers:
    del far
    return {}


async def wrong_token(far: Far) -> Headers:
    right = (await far.token(TOKEN, may_write=True))["Authorization"]
    return {"Authorization": f"{right[:-1]}{'1' if right[-1] == '0' else '0'}"}


async def unknown_token(far: Far) -> Headers:
    return {"Authorization": (await far.token(TOKEN, may_write=True))["Authorization"].replace("!test", "!other")}


async def expired_token(far: Far) -> Headers:
    return await far.token(TOKEN, may_write=True, expire=int(time.time()) - 1)


async def token_of_nobody(far: Far) -> Headers:
    header = await far.token("alice@pam!test", may_write=True)
    far.users.groups_of.pop("alice")
    far.access._groups.clear()
    return header


async def odd_header(far: Far) -> Headers:
    del far
    return {"Authorization": "Basic cm9vdDpyb290"}


async def forged_ticket(far: Far) -> Headers:
    issued = await far.login("alice@pam")
    return by_ticket({**issued, "ticket": issued["ticket"].replace("alice", "root")})


async def altered_ticket(far: Far) -> Headers:
    issued = await far.login()
    kept, last = issued["ticket"][:-2], issued["ticket"][-2]
    return by_ticket({**issued, "ticket": f"{kept}{'A' if last != 'A' else 'B'}{issued['ticket'][-1]}"})


async def expired_ticket(far: Far) -> Headers:
    issued = far.access._tickets().issue("root@pam", time.time() - LIFETIME - 1)
    return by_ticket({"ticket": issued, "CSRFPreventionToken": far.access.guard(issued)})


async def ticket_of_a_stranger(far: Far) -> Headers:
    issued = far.access._tickets().issue("bob@pam", time.time())
    return by_ticket({"ticket": issued, "CSRFPreventionToken": far.access.guard(issued)})


async def unguarded(far: Far) -> Headers:
    return by_ticket(await far.login(), guarded=False)


async def guard_of_another(far: Far) -> Headers:
    mine, other = await far.login("root@pam"), await far.login("alice@pam")
    return by_ticket({**mine, "CSRFPreventionToken": other["CSRFPreventionToken"]})


async def reading_token(far: Far) -> Headers:
    return await far.token(TOKEN, may_write=False)


Make = Callable[[Far], Awaitable[Headers]]


async def answers(far: Far, headers: Headers) -> dict[tuple[str, str], int]:
    """Return the status of every route, asked with parameters that it need not take."""
    found = {}
    for route in ROUTES:
        path = PREFIX + route.path.format_map(defaultdict(lambda: "1", node="localhost"))
        found[route.method, route.path] = (await far.ask(route.method, path, headers))[0]
    return found


@pytest.mark.parametrize(
    "make",
    [
        nothing,
        wrong_token,
        unknown_token,
        expired_token,
        token_of_nobody,
        odd_header,
        forged_ticket,
        altered_ticket,
        expired_ticket,
        ticket_of_a_stranger,
    ],
)
async def test_who_is_not_known_gets_in_nowhere(far: Far, make: Make) -> None:
    found = await answers(far, await make(far))
    assert {route for route, status in found.items() if status != 401} == OPEN


async def test_who_is_not_known_learns_of_no_path(far: Far) -> None:
    assert (await far.ask("GET", f"{PREFIX}/no/such/path"))[0] == 401
    assert (await far.ask("GET", "/"))[0] == 401


@pytest.mark.parametrize("make", [unguarded, guard_of_another])
async def test_a_ticket_alone_changes_nothing(far: Far, make: Make) -> None:
    found = await answers(far, await make(far))
    refused = {route for route, status in found.items() if status == 401}
    assert refused == {(route.method, route.path) for route in ROUTES if route.writes} - OPEN


async def test_a_token_that_reads_changes_nothing(far: Far) -> None:
    found = await answers(far, await reading_token(far))
    refused = {route for route, status in found.items() if status == 403}
    assert refused == {(route.method, route.path) for route in ROUTES if route.writes} - OPEN
    assert not {route for route, status in found.items() if status in (401, 500)}


def test_who_is_not_known_may_ask_for_what_logs_him_in_alone() -> None:
    assert {(route.method, route.path) for route in ROUTES if route.open} == OPEN
