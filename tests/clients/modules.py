"""Ansible's modules, unchanged, each by its own entry; run by Ansible's Python, one after the other.

A line of standard input is ``[MODULE, ARGUMENTS]`` as JSON, a line of standard output what the module told: Ansible
starts a Python for each, which takes a second, and gives it the same arguments by the same variable.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import traceback
from importlib import import_module
from typing import Any

from ansible.module_utils.testing import patch_module_args


def main() -> None:
    """Run what is asked for until there is no more."""
    for line in sys.stdin:
        name, given = json.loads(line)
        print(json.dumps(told(name, given)), flush=True)


def told(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return what the module *name* of community.proxmox tells, as Ansible would get it."""
    module = import_module(f"ansible_collections.community.proxmox.plugins.modules.{name}")
    said = io.StringIO()
    try:
        with patch_module_args(given), contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            module.main()
    except Exception:  # noqa: BLE001 - Ansible would show it as what the module has said
        return {"failed": True, "msg": traceback.format_exc()}
    return dict(json.loads(said.getvalue()))


if __name__ == "__main__":
    main()
