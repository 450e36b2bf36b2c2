"""A system bus of a test's own, with the policy that the package installs (dbus-daemon(1))."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.sandbox.space import CHECKOUT
from tests.sandbox.world import World

_CONFIGURATION = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <include>{policy}</include>
</busconfig>
"""


class Bus:
    """A dbus-daemon, and what busctl says by it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.socket = world.root / "run/bus"
        self.address = f"unix:path={self.socket}"
        world.root.chmod(0o755)  # others than root ask, too
        self.start()

    def start(self) -> None:
        """Have it run."""
        from tests.sandbox.process import Process

        self.socket.parent.mkdir(parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        configuration = self._world.root / "bus.conf"
        configuration.write_text(_CONFIGURATION.format(socket=self.socket, policy=CHECKOUT / "dbus/org.pvenetd1.conf"))
        command = ["dbus-daemon", f"--config-file={configuration}", "--nofork", "--print-address=1"]
        self.process = self._world.keep(Process("bus", command))
        self.process.expect("^unix:")

    def busctl(self, *words: str, user: int = 0) -> subprocess.CompletedProcess[str]:
        """Run busctl as *user*."""
        command = ["busctl", f"--address={self.address}", "--json=short", *words]
        return subprocess.run(command, capture_output=True, text=True, user=user, timeout=120)

    def call(self, method: str, *words: str) -> list[Any]:
        """Return the answer to a call that is not refused."""
        done = self.busctl("call", "org.pvenetd1", "/org/pvenetd1", "org.pvenetd1", method, *words)
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout)["data"])

    def property(self, name: str, user: int = 65534) -> Any:
        """Return a property's value, which everybody may read."""
        done = self.busctl("get-property", "org.pvenetd1", "/org/pvenetd1", "org.pvenetd1", name, user=user)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["data"]
