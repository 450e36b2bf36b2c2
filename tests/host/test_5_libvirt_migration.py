"""A guest that moves to another host while it talks: it is plugged behind its rules there, and nothing stays here."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.guest.domain import VMID, Domain, Libvirt, Wiring, interface, metadata
from tests.host.left import comes_back, everything
from tests.host.node import MOVING, THERE, Node
from tests.host.talk import ADDRESSES, TAGS, Talk
from tests.host.virtual import NETS

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def node(libvirt: Libvirt) -> Iterator[Node]:
    """Return the host to move to."""
    del libvirt
    node = Node()
    yield node
    node.remove()


def test_a_guest_moves(domain: Callable[..., Domain], talk: Callable[[Domain], Talk], node: Node) -> None:
    """One of its taps is made by our script, the other by libvirt."""
    before, without = everything(), node.links()
    wirings = (Wiring.SCRIPT, Wiring.BRIDGE)
    nics = [interface(wiring, index) for index, wiring in enumerate(wirings)]
    guest = domain(*nics, metadata=metadata(*NETS[: len(wirings)]), addresses=ADDRESSES[: len(wirings)])
    guest.start()
    ours = talk(guest)
    where = ("--desturi", THERE.uri, "--migrateuri", f"unix://{MOVING}/socket")
    guest.libvirt.virsh("migrate", "--live", "--undefinesource", guest.name, *where)
    guest.libvirt = THERE
    ours.take()
    ours.begin()
    assert comes_back(before) == before
    there = node.asked("vm", "show", str(VMID))["nics"]
    assert {nic["tap"] for nic in there} == node.links() - without
    assert [(nic["filtered"], node.vlans(nic["tap"])) for nic in there] == [(1, [tag]) for tag in TAGS[: len(wirings)]]
    guest.destroy()
    assert node.links() == without
