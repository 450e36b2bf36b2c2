"""What files and settings ask for, and the backend cannot do: told with its line, never left out in silence."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pvenetd.daemon.store import Store
from pvenetd.errors import Problem
from pvenetd.firewall.nft_base import Design
from pvenetd.settings import PATH, Settings

_CUT = re.compile(r"[ \t]*(?:firewall[ \t]*\.[ \t]*)?cut_established[ \t]*=")
_LEARNS_NOTHING = "ipfilter_learn: the iptables backend learns nothing: a NIC has the addresses of its set alone"
_CUTS_NO_GUESTS = (
    "cut_established: the iptables backend knows no guest's addresses: only the host's connections are cut"
)


def limits(store: Store, settings: Settings, design: Design) -> Iterator[Problem]:
    """Yield a warning for each line that asks for more than the backend can do."""
    if design != "iptables":
        return
    if settings.firewall.cut_established:
        rows = (store.files.read(PATH.lstrip("/")) or b"").decode("utf-8", "replace").split("\n")
        line = next((number for number, row in enumerate(rows, 1) if _CUT.match(row)), 0)
        yield Problem(PATH, line, "no-effect", _CUTS_NO_GUESTS, "warning", option="cut_established")
    for name in sorted((name for name in store.rule_names() if name.isdigit()), key=int):
        config = store.rules(name)
        option = (config.options or {}).get("ipfilter_learn")
        if option and option.value == "1":
            yield Problem(config.path, option.line, "no-effect", _LEARNS_NOTHING, "warning", option="ipfilter_learn")
