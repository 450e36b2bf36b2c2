"""Every device kind, one a file.  A new one is its file and its name here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pvenetd.kinds.bond import Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.dummy import Dummy, Ifb
from pvenetd.kinds.ethernet import Ethernet, Foreign, Loopback
from pvenetd.kinds.geneve import Geneve
from pvenetd.kinds.gre import Gre, Gretap, Ip6gre, Ip6gretap
from pvenetd.kinds.ipip import Ip6tnl, Ipip, Sit
from pvenetd.kinds.link import Link
from pvenetd.kinds.macvlan import Macvlan, Macvtap
from pvenetd.kinds.tap import Tap
from pvenetd.kinds.veth import Veth
from pvenetd.kinds.vlan import Vlan
from pvenetd.kinds.vrf import Vrf
from pvenetd.kinds.vti import Vti, Vti6
from pvenetd.kinds.vxlan import Vxlan

KINDS: dict[str, type[Link]] = {
    kind.model_fields["kind"].default: kind
    for kind in (
        *(Ethernet, Loopback, Bridge, Bond, Vlan, Vxlan, Geneve, Gre, Gretap, Ip6gre, Ip6gretap, Ipip, Sit, Ip6tnl),
        *(Vti, Vti6, Vrf, Veth, Macvlan, Macvtap, Dummy, Ifb, Tap),
    )
}
"""By the name that State, plans and the API use."""

BY_INFO_KIND: dict[str, type[Link]] = {info: kind for kind in KINDS.values() for info in kind.kinds}
"""By the kernel's IFLA_INFO_KIND."""

_TUNNELS = (Gre, Gretap, Ip6gre, Ip6gretap, Ipip, Sit, Ip6tnl, Vti, Vti6)

TUNNEL_MODES = tuple(mode for kind in _TUNNELS for mode in kind.modes)
"""What ``tunnel-mode`` may be."""

CLAIMS = (Bridge, Bond, Vxlan, Geneve, *_TUNNELS, Vrf, Veth, Macvtap, Macvlan, Dummy, Ifb, Vlan)
"""Kinds that know their stanza by its options or its name; the first that claims it has it."""

_NO_TUNNELS = tuple(kind for kind in CLAIMS if kind not in _TUNNELS)


def kind_of(name: str, options: Mapping[str, str]) -> type[Link]:
    """Return the kind of the stanza *name* with *options* (spelled with dashes)."""
    if name == "lo":
        return Loopback
    return _claimed(tuple(options), options.get("link-type"), options.get("tunnel-mode"), Vlan.claims(name, {}))


@lru_cache(maxsize=1 << 12)
def _claimed(there: tuple[str, ...], link_type: str | None, tunnel_mode: str | None, dotted: bool) -> type[Link]:
    """Return who claims a stanza with the options *there*, of which but two no value counts.

    Thousands have the same ones, and are asked about once.
    """
    name = "x.1" if dotted else "x"
    options = dict.fromkeys(there, "") | {"link-type": link_type or ""}
    if tunnel_mode is not None:
        options["tunnel-mode"] = tunnel_mode
    for kind in CLAIMS if "tunnel-mode" in options else _NO_TUNNELS:
        if kind.claims(name, options):
            return kind
    return Ethernet


def make(values: dict[str, Any]) -> Link:
    """Return the link that *values* describe, unchecked: what the kernel shows is never validated."""
    kind = KINDS.get(values.get("kind", ""), Foreign)
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return kind.model_construct(**values)
