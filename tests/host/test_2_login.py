"""Users of the host log in with their passwords, over TLS: through Debian's PAM, beside the unit's sandbox."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.host.https import CERTIFICATE, URL, curl, served
from tests.host.machine import SERVICE, asked, ctl
from tests.netns import run
from tests.patience import until

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("installed")]

PASSWORD = "correct horse 5"
USERS = {"alice": ["--groups", "pvenetd"], "bob": []}


def login(user: str, password: str = PASSWORD) -> tuple[int, dict[str, Any]]:
    return curl(f"{URL}/access/ticket", "-d", f"username={user}@pam", "--data-urlencode", f"password={password}")


@pytest.fixture(scope="module", autouse=True)
def users() -> Iterator[None]:
    """The host has users, and its API an address."""
    for user, words in USERS.items():
        run("useradd", "--no-create-home", *words, user)
        subprocess.run(["chpasswd"], input=f"{user}:{PASSWORD}\n", text=True, check=True)
    with served():
        yield
    for user in USERS:
        run("userdel", user)


@pytest.fixture(autouse=True)
def forgiven(users: None) -> None:
    """What was wrong before is not held against a test: who knows his password begins anew."""
    del users
    until(lambda: login("alice")[0] == 200, "alice may log in")


def test_the_certificate_is_the_daemons_own_and_its_key_roots() -> None:
    assert stat.S_IMODE(CERTIFICATE.stat().st_mode) == 0o600
    assert curl(f"{URL}/version")[0] == 401
    assert "api" not in asked("status")["errors"]


def test_a_member_of_the_group_logs_in_and_changes_something() -> None:
    status, body = login("alice")
    assert status == 200, body
    ticket, guard = body["data"]["ticket"], body["data"]["CSRFPreventionToken"]
    cookie = ["-b", f"PVEAuthCookie={ticket}"]
    url = f"{URL}/nodes/localhost/network"
    assert curl(*cookie, url)[0] == 200
    new = ["-d", "iface=vmbr77", "-d", "type=bridge", url]
    assert curl(*cookie, *new)[0] == 401
    assert curl(*cookie, "-H", f"CSRFPreventionToken: {guard}", *new) == (200, {"data": None})
    ctl("interfaces", "revert")


@pytest.mark.parametrize(
    ("user", "password"), [("alice", "wrong"), ("alice", ""), ("bob", PASSWORD), ("nobody", ""), ("eve", PASSWORD)]
)
def test_others_do_not(user: str, password: str) -> None:
    assert login(user, password) == (401, {"data": None, "message": "authentication failure"})


def test_pams_own_rules_hold() -> None:
    run("usermod", "--expiredate", "1", "alice")
    assert login("alice")[0] == 401
    run("usermod", "--expiredate", "", "alice")
    assert login("alice")[0] == 200
    run("usermod", "--lock", "alice")
    assert login("alice")[0] == 401
    run("usermod", "--unlock", "alice")
    assert login("alice")[0] == 200


def test_the_journal_tells_who_came_from_where_and_no_secret() -> None:
    ticket = login("alice")[1]["data"]["ticket"]
    login("alice", f"not {PASSWORD}")
    secret = json.loads(ctl("--json", "token", "create", "alice@pam!keeps"))["value"]
    header = ["-H", f"Authorization: PVEAPIToken=alice@pam!keeps={secret}"]
    assert curl(*header, f"{URL}/version")[0] == 200
    assert curl(*header, "-X", "PUT", f"{URL}/nodes/localhost/network")[0] == 403
    ctl("token", "delete", "alice@pam!keeps")
    until(lambda: "alice@pam!keeps from 127.0.0.1: GET /api2/json/version: 200" in said(), "the journal has it")
    assert "login of alice@pam from 127.0.0.1: failed" in said()
    whole = run("journalctl", "-q", "-o", "json", "--all")
    assert [one for one in (PASSWORD, ticket, secret) if one in whole] == []


def said() -> str:
    return run("journalctl", "-q", "-o", "cat", "-u", SERVICE)
