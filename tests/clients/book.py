"""Ansible beside a host: its modules one by one, and playbooks as a whole (`tests/setup` has made its environment)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.clients.host import ADDRESS, PORT, Host
from tests.sandbox.process import Process

PROGRAMS = Path(__file__).resolve().parents[2] / ".venv/ansible/bin"
MODULES = Path(__file__).with_name("modules.py")
SETTINGS = """\
[defaults]
localhost_warning = False
nocows = True
retry_files_enabled = False
"""


class Ansible:
    """Ansible with a token of the host's, that may do everything."""

    def __init__(self, host: Host, modules: Process) -> None:
        made = host.login("alice@pam").access.users("alice@pam").token("ansible").post(privsep=0)
        self._modules = modules
        self._place = host.root.with_name("ansible")
        self.authorized: dict[str, Any] = {
            "api_host": ADDRESS,
            "api_port": PORT,
            "api_user": "alice@pam",
            "api_token_id": "ansible",
            "api_token_secret": made["value"],
            "ca_path": str(host.certificate),
            "api_timeout": 120,
        }

    def run(self, module: str, *, check: bool = False, **given: Any) -> dict[str, Any]:
        """Run one module and return what it tells; that it fails is told, too."""
        whole = {**self.authorized, **given, "_ansible_check_mode": check}
        self._modules.skip()
        self._modules.send(json.dumps([module, whole]))
        told: dict[str, Any] = json.loads(self._modules.expect(r"^\{.*\}$")[0])
        return {key: value for key, value in told.items() if key != "invocation"}

    def changes(self, module: str, *, checked: bool = True, **given: Any) -> None:
        """See that a module changes something: it foretells it, does it, and has nothing to do any more."""
        turns = ({"check": True}, {}, {}) if checked else ({}, {})
        told = [self.run(module, **turn, **given) for turn in turns]
        assert [one.get("msg") for one in told if one.get("failed")] == []
        assert [bool(one.get("changed")) for one in told] == [*(True for _ in turns[1:]), False], told

    def asks(self, module: str, **given: Any) -> dict[str, Any]:
        """Return what a module tells that changes nothing."""
        told = self.run(module, **given)
        assert not told.get("failed"), told
        assert not told.get("changed"), told
        return told

    def play(self, tasks: list[dict[str, Any]], *options: str) -> dict[str, Any]:
        """Run a playbook and return its count of tasks by outcome."""
        self._place.mkdir(exist_ok=True)
        defaults = {"group/community.proxmox.proxmox": self.authorized}
        book = [{"hosts": "localhost", "gather_facts": False, "module_defaults": defaults, "tasks": tasks}]
        (self._place / "play.json").write_text(json.dumps(book))  # JSON is YAML
        (self._place / "ansible.cfg").write_text(SETTINGS)
        python = {"ANSIBLE_PYTHON_INTERPRETER": str(PROGRAMS / "python")}
        places = {"ANSIBLE_HOME": str(self._place), "ANSIBLE_CONFIG": str(self._place / "ansible.cfg")}
        done = subprocess.run(
            [PROGRAMS / "ansible-playbook", "-i", "localhost,", "-c", "local", *options, self._place / "play.json"],
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(self._place), **places, **python},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        words = done.stdout.rpartition("localhost")[2].replace(":", " ").split()
        return {name: int(count) for name, _, count in (word.partition("=") for word in words) if count}


@contextmanager
def ansible(host: Host) -> Iterator[Ansible]:
    """Yield Ansible for *host*."""
    modules = Process("modules", [PROGRAMS / "python", MODULES])
    try:
        yield Ansible(host, modules)
    finally:
        modules.stop()
