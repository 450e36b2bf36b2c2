"""A guest that moves to another host while it talks: it is plugged behind its rules there, and nothing stays here."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.guest.domain import Domain, Libvirt, Wiring, interface, metadata
from tests.host.left import comes_back, everything
from tests.host.node import MOVING, THERE, Node
from tests.host.talk import ADDRESS, Talk
from tests.host.virtual import NET

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def node(libvirt: Libvirt) -> Iterator[Node]:
    """Return the host to move to."""
    del libvirt
    node = Node()
    yield node
    node.remove()


@pytest.mark.parametrize("wiring", [Wiring.SCRIPT, Wiring.BRIDGE])
def test_a_guest_moves(
    domain: Callable[..., Domain], talk: Callable[[Domain], Talk], node: Node, wiring: Wiring
) -> None:
    before, without = everything(), node.links()
    guest = domain(interface(wiring), metadata=metadata(NET), address=ADDRESS)
    guest.start()
    ours = talk(guest)
    where = ("--desturi", THERE.uri, "--migrateuri", f"unix://{MOVING}/socket")
    guest.libvirt.virsh("migrate", "--live", "--undefinesource", guest.name, *where)
    guest.libvirt = THERE
    ours.take()
    ours.begin()
    assert comes_back(before) == before
    (tap,) = node.links() - without
    assert node.vlans(tap) == [20]
    assert node.asked("vm", "show", "100")["nics"][0]["filtered"] == 1
    guest.destroy()
    assert node.links() == without
