"""A host with users of its own, whose API is served at an address; and a client of Proxmox VE's for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proxmoxer import ProxmoxAPI

from tests.netns import Namespaces, fresh
from tests.sandbox.process import Process

PORT = 8006
ADDRESS = "127.0.0.1"
OWN = "192.0.2.1"
"""The host's address on its network, which it has once its configuration is applied."""
PASSWORD = "correct horse 5"  # no secret: the password of users of a test's own host
INTERFACES = """\
auto lo
iface lo inet loopback

iface eth0 inet manual

iface eth1 inet manual

auto vmbr0
iface vmbr0 inet static
	address 192.0.2.1/24
	bridge-ports eth0
	bridge-fd 0
"""
GUEST = "name: web\nnet0: virtio=02:00:5E:00:53:01,bridge=vmbr0\n"
USERS = ("root", "alice", "bob")
GROUPS = "root:x:0:\nalice:x:12001:\nbob:x:12002:\npvenetd:x:12100:alice\n"
SETTINGS = f'[api]\nlisten = ["{ADDRESS}", "{OWN}"]\nport = {PORT}\n'
PAM = "auth required pam_unix.so\naccount required pam_unix.so\n"


class Host:
    """What a test has: the daemon, what it has said, and clients."""

    def __init__(self, root: Path, namespaces: Namespaces) -> None:
        self.root = root
        self.outside = namespaces.away
        self.certificate = root / "var/lib/pvenetd/tls/api.pem"
        self._said: list[str] = []
        self._start()

    def _start(self) -> None:
        self.daemon = Process("pvenetd", [sys.executable, "-m", "pvenetd", "--root", self.root])
        self.daemon.expect("serving https")

    def stop(self) -> None:
        """End the daemon."""
        self.daemon.stop()
        self._said += self.daemon.lines

    def restart(self) -> None:
        """End the daemon, and start another."""
        self.stop()
        self._start()

    def login(self, user: str = "root@pam", password: str = PASSWORD, address: str = ADDRESS) -> ProxmoxAPI:
        """Return a client that has logged in with a password."""
        return self._client(address, user=user, password=password)

    def by_token(self, name: str, secret: str) -> ProxmoxAPI:
        """Return a client with a token."""
        user, _, token = name.partition("!")
        return self._client(user=user, token_name=token, token_value=secret)

    def _client(self, address: str = ADDRESS, **how: Any) -> ProxmoxAPI:
        return ProxmoxAPI(address, port=PORT, verify_ssl=str(self.certificate), timeout=120, **how)

    def log(self) -> str:
        """Return all that the daemon has said."""
        return "\n".join([*self._said, *self.daemon.lines])


def etc(root: Path) -> None:
    """Write a small host's files."""
    hashed = subprocess.run(["openssl", "passwd", "-6", PASSWORD], check=True, capture_output=True, text=True).stdout
    numbers = {"root": 0, "alice": 12001, "bob": 12002}
    texts = {
        "etc/passwd": "".join(f"{user}:x:{numbers[user]}:{numbers[user]}::/:/bin/sh\n" for user in USERS),
        "etc/shadow": "".join(f"{user}:{hashed.strip()}:19000:0:99999:7:::\n" for user in USERS),
        "etc/group": GROUPS,
        "etc/nsswitch.conf": "passwd: files\nshadow: files\ngroup: files\n",
        "etc/pam.d/pvenetd": PAM,
        "etc/network/interfaces": INTERFACES,
        "etc/pvenetd/pvenetd.toml": SETTINGS,
        "etc/pvenetd/qemu-server/100.conf": GUEST,
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "etc/shadow").chmod(0o600)


@contextmanager
def served(root: Path) -> Iterator[Host]:
    """Yield the host below *root*, in a network namespace of its own, which is this thread's meanwhile."""
    etc(root)
    with fresh() as namespaces:
        for name in ("eth0", "eth1"):
            namespaces.cable(name)
        host = Host(root, namespaces)
        try:
            yield host
        finally:
            host.stop()
