"""A kind of link that the running kernel has no module for: which one, and where it comes from.

The kernel looks for it by itself, and refuses the kind where none is found: `rtnl_newlink` in its net/core/rtnetlink.c.
"""

from __future__ import annotations

import errno
import os

from pvenetd.drivers.netlink.wire import RefusedError
from pvenetd.kinds.link import Link

_NO_KIND = "Unknown device type"
"""What the kernel adds to EOPNOTSUPP, which it says for much else."""
_NO_TUN = (errno.ENODEV, errno.ENOENT)
"""How opening /dev/net/tun fails without its module."""


def kind(refused: RefusedError, wanted: Link) -> RefusedError:
    """Return why the kernel has not made *wanted*, with the module that it lacks if it was that."""
    if refused.errno != errno.EOPNOTSUPP or _NO_KIND not in refused.reason:
        return refused
    return RefusedError(refused.errno, f"{refused.reason} ({_advice(wanted.module or wanted.kinds[0])})")


def tun(error: OSError) -> RefusedError:
    """Return why no tap could be made."""
    advice = f" ({_advice('tun')})" if error.errno in _NO_TUN else ""
    return RefusedError(error.errno or 0, f"/dev/net/tun: {error.strerror}{advice}")


def _advice(module: str) -> str:
    return f"the module {module} is not loaded: `modprobe {module}` says why; it is in linux-image-{os.uname().release}"
