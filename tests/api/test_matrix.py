"""Every route, page and stream, with every kind of credentials that is not good enough for it, over TLS.

All of them are taken from the tables by which they are served.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from pvenetd.access.tickets import LIFETIME
from pvenetd.api.pages import PAGES
from pvenetd.api.route import PREFIX, Route
from pvenetd.api.routes import ROUTES
from pvenetd.api.stream import KIND, STREAMS
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


def path_of(route: Route) -> str:
    """Return a path that *route* answers."""
    return PREFIX + route.path.format_map(defaultdict(lambda: "1", node="localhost"))


async def answers(far: Far, headers: Headers) -> dict[tuple[str, str], int]:
    """Return the status of every route, asked with parameters that it need not take."""
    found = {}
    for route in ROUTES:
        found[route.method, route.path] = (await far.ask(route.method, path_of(route), headers))[0]
    return found


async def begun(far: Far, headers: Headers) -> dict[tuple[str, str], int]:
    """Return the status of every page and every stream, of which no more is read than its head."""
    rows = [("GET", path) for path in PAGES]
    rows += [(route.method, path_of(route)) for route in ROUTES if route.ask in STREAMS]
    found = {}
    for method, path in rows:
        told = {**headers, "Accept": KIND}
        async with far.session.request(method, f"{far.url}{path}", headers=told) as answer:
            found[method, path] = answer.status
    return found


UNKNOWN = [
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
]


@pytest.mark.parametrize("make", UNKNOWN)
async def test_who_is_not_known_gets_in_nowhere(far: Far, make: Make) -> None:
    headers = await make(far)
    found = await answers(far, headers)
    assert {route for route, status in found.items() if status != 401} == OPEN
    found = await begun(far, headers)
    assert {route for route, status in found.items() if status != 401} == {("GET", "/api2/docs")}


async def test_who_is_not_known_learns_of_no_path(far: Far) -> None:
    assert (await far.ask("GET", f"{PREFIX}/no/such/path"))[0] == 401
    assert (await far.ask("GET", "/"))[0] == 401


@pytest.mark.parametrize("make", [unguarded, guard_of_another])
async def test_a_ticket_alone_changes_nothing(far: Far, make: Make) -> None:
    found = await answers(far, await make(far))
    refused = {route for route, status in found.items() if status == 401}
    assert refused == {(route.method, route.path) for route in ROUTES if route.writes} - OPEN


async def test_a_token_that_reads_changes_nothing(far: Far) -> None:
    headers = await reading_token(far)
    found = await answers(far, headers)
    refused = {route for route, status in found.items() if status == 403}
    assert refused == {(route.method, route.path) for route in ROUTES if route.writes} - OPEN
    assert not {route for route, status in found.items() if status in (401, 500)}
    found = await begun(far, headers)
    assert {status for (method, _), status in found.items() if method == "GET"} == {200}
    assert {status for (method, _), status in found.items() if method != "GET"} == {403}


def test_who_is_not_known_may_ask_for_what_logs_him_in_alone() -> None:
    assert {(route.method, route.path) for route in ROUTES if route.public} == OPEN
