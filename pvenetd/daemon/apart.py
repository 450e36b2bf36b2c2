"""Filtered ports that are there, put behind bridges of their own where nobody follows what becomes of guests.

`pvenetctl firewall apply` without a daemon plugs nothing.  But with the iptables backend a filtered port stands in a
bridge of its own, or nothing of its passes; so those that are in another bridge are moved, and are else as they were.
"""

from __future__ import annotations

from pvenetd.daemon.firewall import Firewall
from pvenetd.daemon.store import Store
from pvenetd.engine import Engine
from pvenetd.errors import PvenetError
from pvenetd.guests.fwbr import moved
from pvenetd.guests.guest import Guest
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.link import Link
from pvenetd.names import fwbr_names
from pvenetd.resource import Key, Resource


async def put_apart(store: Store, engine: Engine, firewall: Firewall) -> dict[str, str]:
    """Move the filtered ports that are there; return owner → error of guests whose ports could not be."""
    failed: dict[str, str] = {}
    for guest in store.guests() if firewall.design == "iptables" else ():
        owner = f"vm:{guest.vmid}"
        try:
            found = await _moves(guest, engine, firewall)
            _, wrong = await engine.bring(owner, {**engine.wants(owner), **found}, found.keys()) if found else ((), {})
        except PvenetError as error:
            failed[owner] = str(error)
        else:
            failed |= {owner: "\n".join(wrong.values())} if wrong else {}
    return failed


async def _moves(guest: Guest, engine: Engine, firewall: Firewall) -> dict[Key, Resource]:
    """Return the ports of *guest* that stand in another bridge, as they are to be."""
    apart = firewall.apart(guest, engine.wants(f"vm:{guest.vmid}"))
    ports = await engine.look({("link", guest.device(index)) for index in apart})
    found: dict[Key, Resource] = {}
    for index in sorted(apart):
        port = ports.get(("link", guest.device(index)))
        if not isinstance(port, Link) or not port.master or port.master == fwbr_names(guest.vmid, index)[0]:
            continue
        bridge = (await engine.look({("link", port.master)})).get(("link", port.master))
        if isinstance(bridge, Bridge):
            found |= {one.key: one for one in moved(port, bridge, guest.vmid, index)}
    return found
