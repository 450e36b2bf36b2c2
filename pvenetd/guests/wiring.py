"""How a domain of libvirt's tells that it is a guest of ours, in words that its XML has; of no weight to import."""

from __future__ import annotations

import re

SPACE = "https://pvenetd.example/libvirt/1"
"""The namespace of our metadata; its last part is the version."""
PREFIX = "pvenetd"
"""What stands for it in a domain's XML."""
IFUP = "/usr/sbin/pvenetd-qemu-ifup"
"""The script of an ``<interface type='ethernet'>``: where libvirtd's AppArmor profile lets it run one."""

_TAP = re.compile(r"""['"]tap[1-9][0-9]{2,8}i[0-9]{1,2}['"]""")


def names_us(xml: str) -> bool:
    """Return whether *xml* names what is ours: our metadata, or a guest's tap.

    A domain that is a guest by its name alone does not: nothing in it has asked for pvenetd.
    """
    return SPACE in xml or bool(_TAP.search(xml))
