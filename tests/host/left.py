"""All of the host's network that a guest might leave something in, to be compared."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.host.machine import Network
from tests.netns import lasting, run, show
from tests.patience import until

TOLD = Path("/run/pvenetd/domains")
"""Where the daemon keeps what it was told of domains."""


def everything() -> Network:
    """Return links, their qdiscs, VLANs and forwarding entries, and the ruleset, in lines.

    What a bridge has learned by itself is left out, as are counters.
    """
    links = show("ip", "-d", "-j", "link")
    return {
        "links": sorted(_link(link) for link in links),
        "qdiscs": sorted(_line(one, "dev", "kind", "parent", "root") for one in show("tc", "-j", "qdisc", "show")),
        "vlans": sorted(json.dumps(one) for one in show("bridge", "-j", "vlan")),
        "fdb": sorted(
            _line(one, "ifname", "mac", "vlan", "state", "flags")
            for one in show("bridge", "-j", "fdb", "show")
            if one.get("state") in ("permanent", "static")
        ),
        "rules": lasting(run("nft", "--stateless", "list", "ruleset")).splitlines(),
        "domains": sorted(file.name for file in TOLD.glob("*")),
    }


def _link(link: dict[str, Any]) -> str:
    return _line(link, "ifname", "altnames", "ifalias", "master", "mtu", "flags", "promiscuity", "group")


def _line(record: dict[str, Any], *names: str) -> str:
    return " ".join(f"{name}={record[name]}" for name in names if name in record)


def comes_back(before: Network) -> Network:
    """Return everything once it is as *before*, or as it is when the time is up: some of it follows events."""
    now: Network = {}

    def is_back() -> bool:
        nonlocal now
        now = everything()
        return now == before

    with suppress(AssertionError):
        until(is_back, "everything is as before")
    return now
