"""What libvirt tells of its domains, a line an event: ``python -m tests.guest.watch URI``."""

from __future__ import annotations

import sys
from typing import Any

import libvirt

_STATES = {
    getattr(libvirt, name): name.rsplit("_", 1)[1].lower()
    for name in dir(libvirt)
    if name.startswith("VIR_DOMAIN_EVENT_") and name.count("_") == 3 and name != "VIR_DOMAIN_EVENT_LAST"
}
"""Number of a lifecycle event → what has happened: ``started``."""


def _tell(*words: object) -> None:
    print(*words, flush=True)


def main(uri: str) -> None:
    """Print events until libvirtd ends; "watching" is the first line."""
    libvirt.virEventRegisterDefaultImpl()
    connection = libvirt.open(uri)

    def lifecycle(_: Any, domain: Any, event: int, detail: int, __: Any) -> None:
        _tell(domain.name(), _STATES.get(event, event), detail)

    def device(_: Any, domain: Any, alias: str, what: str) -> None:
        _tell(domain.name(), what, alias)

    register = connection.domainEventRegisterAny
    register(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle, None)
    register(None, libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, device, "added")
    register(None, libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, device, "removed")
    connection.registerCloseCallback(lambda *_: None, None)
    _tell("watching")
    while connection.isAlive():
        libvirt.virEventRunDefaultImpl()


if __name__ == "__main__":
    main(sys.argv[1])
