"""NAT: what is translated, and how often it was; lines of it added and taken away."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pvenetd.api.edits import Digest
from pvenetd.api.route import Iface, OfNode, Routes
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.edits import no_translation, translation
from pvenetd.daemon.nat import NatRecord
from pvenetd.edits.wish import Wish
from pvenetd.errors import EditError
from pvenetd.nat.option import OPTIONS

routes = Routes()

Texts = str | tuple[str, ...]
"""One line, or several."""


class Lines(OfNode):
    """Lines of NAT, as pvenetd-nat(7) has them."""

    iface: Iface
    """The interface that has the private network: they stand in its stanza."""
    nat_masquerade: Annotated[Texts, Field(alias="nat-masquerade")] = ()
    """``IFACE [NETWORK...]``: what leaves by IFACE gets its address."""
    nat_snat: Annotated[Texts, Field(alias="nat-snat")] = ()
    """``IFACE ADDRESS[-ADDRESS] [NETWORK...]``: likewise, with an address that is said."""
    nat_forward: Annotated[Texts, Field(alias="nat-forward")] = ()
    """``PROTOCOL [ADDRESS:]PORT[-PORT][,...] ADDRESS[:PORT[-PORT]] [in IFACE]``: a port of the host's is a guest's."""
    nat_one_to_one: Annotated[Texts, Field(alias="nat-one-to-one")] = ()
    """``IFACE PUBLIC PRIVATE``: an address of the host's is a guest's."""
    digest: Digest = None
    """The ``digest`` of what was read: other files since then refuse the edit."""

    def wish(self) -> Wish:
        """Return what is asked for.  Raises `EditError` where that is nothing."""
        given = {name: getattr(self, name.replace("-", "_")) for name in OPTIONS}
        values = {name: (one,) if isinstance(one, str) else one for name, one in given.items() if one}
        if not values:
            raise EditError({"nat-forward": f"is missing, or another of {', '.join(OPTIONS)}"})
        return Wish(self.iface, values)


@routes.get("/nodes/{node}/pvenetd/nat")
async def nat(daemon: Daemon, params: OfNode) -> list[NatRecord]:
    """Return masquerade, SNAT, forwards and one-to-one addresses, each with its line and what it has counted."""
    del params
    return await daemon.nat.records()


@routes.post("/nodes/{node}/pvenetd/nat")
async def add(daemon: Daemon, params: Lines) -> None:
    """Stage lines of NAT beside those that an interface has."""
    await daemon.interfaces.edit(translation(params.wish()), params.digest)


@routes.delete("/nodes/{node}/pvenetd/nat")
async def remove(daemon: Daemon, params: Lines) -> None:
    """Stage that lines of NAT go, whose words are these; all others stay."""
    await daemon.interfaces.edit(no_translation(params.wish()), params.digest)
