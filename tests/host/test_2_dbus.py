"""org.pvenetd1 on the host's own system bus, where polkit decides who may."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.netns import run
from tests.patience import until

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("installed")]

PLACE = ("org.pvenetd1", "/org/pvenetd1", "org.pvenetd1")


@pytest.fixture
def member() -> Iterator[str]:
    """A user in the group of those who may."""
    run("useradd", "--system", "--groups", "pvenetd", "netadmin")
    yield "netadmin"
    run("userdel", "netadmin")


def busctl(*words: str, user: str = "root") -> subprocess.CompletedProcess[str]:
    """Run busctl as *user*."""
    command = ["setpriv", f"--reuid={user}", "--init-groups", f"--regid={'nogroup' if user == 'nobody' else user}"]
    return subprocess.run([*command, "busctl", *words], capture_output=True, text=True, timeout=120)


def test_everybody_reads_and_who_may_not_changes_nothing(member: str) -> None:
    run("systemctl", "reload", "dbus")  # it sees new files late
    until(lambda: busctl("get-property", *PLACE, "State").returncode == 0, "the daemon has its name")
    assert busctl("get-property", *PLACE, "Mode", user="nobody").stdout.strip() == 's "guest"'
    refused = busctl("call", *PLACE, "Confirm", "s", "", user="nobody")
    assert (refused.returncode, refused.stderr.strip()) == (1, "Call failed: Access denied")
    for user in ("root", member):
        allowed = busctl("call", *PLACE, "Confirm", "s", "", user=user)
        assert "nothing waits to be confirmed" in allowed.stderr, (user, allowed.stderr)


def test_its_files_are_where_dbus_and_polkit_look_for_them() -> None:
    said = run("pkaction", "--verbose", "--action-id", "org.pvenetd1.apply")
    assert "auth_admin" in said
    assert ".GuestChanged" in run("busctl", "introspect", *PLACE[:2])
