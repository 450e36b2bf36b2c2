"""The resolver is told: openresolv, unpacked and never installed, and nobody where there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers import ROOT, UNPACKED

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("namespaces")]

OPENRESOLV = UNPACKED / "openresolv"
SCRIPT = """
import sys
from pathlib import Path
from pvenetd.drivers.files import Files
from pvenetd.drivers.resolver import Resolver
from pvenetd.plan import Op
from pvenetd.state import Dns

root, step = Path(sys.argv[1]), sys.argv[2]
one = Dns(iface="eno1.5", nameservers=("192.0.2.53", "2001:db8::53"), search=("example.org",), owner="interfaces")
two = one.model_copy(update={"nameservers": ("192.0.2.54",), "options": ("edns0",)})
other = Dns(iface="eno2", nameservers=("198.51.100.53",), owner="interfaces")
ops = {"new": [Op("+", one), Op("+", other)], "changed": [Op("~", two)], "gone": [Op("-", two), Op("-", other)]}
resolver = Resolver(Files(root))
for op in ops[step]:
    resolver.apply(op)
print(*sorted(key[1] for key in Resolver(Files(root)).observe()))
"""


def told(root: Path, step: str, *before: str) -> str:
    """Run a step of `SCRIPT` as another run of the daemon, and return of which interfaces the resolver was told."""
    words = [*before, sys.executable, "-c", SCRIPT, str(root), step]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_openresolv(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolvconf.conf").write_text(f"LIBEXECDIR={OPENRESOLV}/lib/resolvconf\n")
    resolv_conf = tmp_path / "etc/resolv.conf"
    resolv_conf.touch()
    with_it = ("unshare", "--mount", "sh", "-c", f'mount --bind {OPENRESOLV}/sbin /usr/local/sbin && exec "$@"', "-")
    assert told(tmp_path, "new", *with_it) == "eno1.5 eno2"
    lines = resolv_conf.read_text().splitlines()
    assert {"search example.org", "nameserver 192.0.2.53", "nameserver 2001:db8::53"} <= {*lines}
    assert "nameserver 198.51.100.53" in lines
    assert told(tmp_path, "changed", *with_it) == "eno1.5 eno2"
    text = resolv_conf.read_text()
    assert "nameserver 192.0.2.54" in text
    assert "edns0" in text
    assert "192.0.2.53" not in text
    assert told(tmp_path, "gone", *with_it) == ""
    assert "nameserver" not in resolv_conf.read_text()


def test_without_a_resolver_nobody_is_told(tmp_path: Path) -> None:
    assert told(tmp_path, "new") == "eno1.5 eno2"
    assert told(tmp_path, "gone") == ""
    assert not (tmp_path / "etc/resolv.conf").exists()
