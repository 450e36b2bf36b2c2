"""`Rate` ⇄ RTM_NEWQDISC, RTM_NEWTFILTER: a tbf at the port's root, a policer behind its clsact.

Ours are told by the root's handle, 7e:, and by the policer's cookie.  A root or an ingress qdisc of somebody
else's is never replaced, nor a clsact taken away that holds other filters.  But libvirt gives each tap a noqueue when
it has made and plugged it: ours, then with the handle 7f:, takes its place, and gives it back.

Sources: libvirt since 6.9 (virNetDevSetRootQDisc); linux/pkt_sched.h, linux/pkt_cls.h, linux/rtnetlink.h (struct
tcmsg, TCA_*), net/sched/sch_tbf.c, net/sched/act_police.c, net/sched/cls_matchall.c.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable

from pvenetd.drivers.netlink.links import index, request
from pvenetd.drivers.netlink.wire import CREATE, EXCL, REPLACE, RefusedError, Wire, attributes, nla, raw
from pvenetd.kinds.link import Link
from pvenetd.shaping import Rate

_NEWQDISC, _DELQDISC, _GETQDISC = 36, 37, 38
_NEWFILTER, _DELFILTER, _GETFILTER = 44, 45, 46
_NEWACTION = 48
_ECHO = 0x8
"""NLM_F_ECHO: kernels before 6.8 answer a question about one qdisc only with it."""
_BODY = struct.Struct("=BxxxiIII")
"""struct tcmsg: family, index, handle, parent, info (of a filter: preference and protocol)."""
_FIRST = 36
"""Bytes before the attributes: nlmsghdr, tcmsg."""
_FIRST_OF_LINK, _IFLA_QDISC = 32, 6
"""Bytes before a link's attributes: nlmsghdr, ifinfomsg; the one that names its root qdisc."""
_LIMITLESS = frozenset(
    ("noop", "noqueue", "pfifo_fast", "pfifo", "mq", "fq", "fq_codel", "codel", "sfq", "cake", "pie", "fq_pie")
)
"""What the kernel gives a link by itself (net.core.default_qdisc)."""
_ROOT, _CLSACT, _INGRESS, _EGRESS = 0xFFFFFFFF, 0xFFFFFFF1, 0xFFFFFFF2, 0xFFFFFFF3
"""TC_H_ROOT, TC_H_CLSACT, and its halves."""
_CLSACT_HANDLE = 0xFFFF << 16
_OURS, _OVER_NOQUEUE = 0x7E << 16, 0x7F << 16
"""The handle 7e: of the root, and 7f: of one that stands for a noqueue somebody has set."""
_KIND, _OPTIONS = 1, 2
_NOQUEUE = "noqueue"
_PREFERENCE = 0x7E << 16
_ALL_PROTOCOLS = 0x0300
"""ETH_P_ALL, in network order."""

_RATE = struct.Struct("=BBHhHI")
"""struct tc_ratespec: cell_log, linklayer, overhead, cell_align, mpu, bytes a second."""
_CELL_LOG, _ETHERNET = 8, 1
_NO_RATE = bytes(_RATE.size)
_MOST_32 = (1 << 32) - 1
_TBF_PARMS, _TBF_RATE64, _TBF_BURST = 1, 4, 6
_MATCHALL_ACT = 2
_ACT_KIND, _ACT_OPTIONS, _ACT_COOKIE = 1, 2, 6
_POLICE_TBF, _POLICE_RATE, _POLICE_RESULT, _POLICE_RATE64 = 1, 2, 5, 8
_POLICE = struct.Struct("=IiIII")
"""struct tc_police up to its rates: index, action on excess, limit, burst in ticks, mtu."""
_DROP, _GO_ON = 2, -1
"""TC_ACT_SHOT, TC_ACT_UNSPEC: the next filter, somebody else's, sees the packet too."""
_TABLE = bytes(1024)
"""The policer's rate table: kernels since 3.8 compute, and only want it to be there."""
_COOKIE = b"pvenetd"

_BURST = 1 << 20
"""Bytes that may go at once, as Proxmox VE has it: guests send up to 64 KiB in one piece."""
_TICK = 64
"""Nanoseconds of a tick (PSCHED_SHIFT)."""
_LEAST_QUEUE = 256 << 10
"""Bytes that may wait at least: some of the guests' largest pieces."""
_WAIT = 10
"""A tenth of a second's bytes may wait: more is only delay."""


def observe(wire: Wire, link: Link) -> Rate | None:
    """Return the limits of *link*, None where there are none.  Raises `RefusedError`."""
    number = index(link.name)
    to_guest, from_guest = _root(wire, number), _ingress(wire, number)
    if to_guest == from_guest == 0:
        return None
    return Rate.shown(dev=link.name, to_guest=to_guest, from_guest=from_guest, owner=link.owner)


def bring(wire: Wire, wanted: Rate) -> None:
    """Set both limits as *wanted*, 0 for none, in place where they are there: no packet that waits is lost.

    A way that is somebody else's stays as it is.  Raises `RefusedError`.
    """
    number = index(wanted.dev)
    had = _root(wire, number)
    if wanted.to_guest and had not in (None, wanted.to_guest):
        wire.change([_tbf(number, _place(wire, number), wanted.to_guest)])
    elif had and wanted.to_guest == 0:
        wire.change([_without(wire, number)])
    if wanted.from_guest is not None and _ingress(wire, number) is not None:
        _bring_policer(wire, number, wanted.from_guest)


def _root(wire: Wire, number: int) -> int | None:
    """Return the bytes a second of our root qdisc, 0 where there is none, None where it is somebody else's."""
    (body,) = wire.ask(request(number))
    kind = _text(dict(attributes(body[_FIRST_OF_LINK:])).get(_IFLA_QDISC, b""))
    if kind != "tbf":
        return 0 if kind in _LIMITLESS else None
    handle, kind, options = _qdisc(wire, number, _ROOT)
    return _bytes_a_second(options[_TBF_PARMS], options.get(_TBF_RATE64)) if handle in (_OURS, _OVER_NOQUEUE) else None


def _ingress(wire: Wire, number: int) -> int | None:
    """Return the bytes a second of our policer, 0 where there is none, None where somebody else's has its place."""
    filters = _filters(wire, number, _INGRESS)
    if found := _policer(filters):
        return found[1]
    return None if filters and _qdisc(wire, number, _CLSACT)[1] == "ingress" else 0  # tc's users'; we have a clsact


def _place(wire: Wire, number: int) -> int:
    """Return the handle of ours as the root; one that the kernel chose has none.

    Raises `RefusedError` where it would take the place of somebody else's that keeps or orders packets.
    """
    handle, kind, _ = _qdisc(wire, number, _ROOT)
    if handle in (0, _OURS, _OVER_NOQUEUE):
        return handle or _OURS
    if kind == _NOQUEUE:
        return _OVER_NOQUEUE
    raise RefusedError(errno.EEXIST, f"its root qdisc is somebody else's ({kind} {handle >> 16:x}:)")


def _without(wire: Wire, number: int) -> bytes:
    """Return what takes our root away: what was there before it is there again."""
    handle, *_ = _qdisc(wire, number, _ROOT)
    if handle == _OVER_NOQUEUE:
        attrs = nla(_KIND, f"{_NOQUEUE}\0".encode())
        return _message(_NEWQDISC, CREATE | REPLACE, number, 0, _ROOT, attrs=attrs)
    return _message(_DELQDISC, 0, number, _OURS, _ROOT)


def _qdisc(wire: Wire, number: int, parent: int) -> tuple[int, str, dict[int, bytes]]:
    """Return handle, kind and options of one qdisc; nothing where there is none, or one that does nothing.

    The kernel tells the answer to everybody who listens, so this is asked only where it has to be.
    """
    try:
        for body in wire.ask(_message(_GETQDISC, _ECHO, number, 0, parent)):
            handle = _BODY.unpack_from(body, 16)[2]
            found = dict(attributes(body[_FIRST:]))
            return handle, _text(found[_KIND]), dict(attributes(found.get(_OPTIONS, b"")))
    except RefusedError as refused:
        if refused.errno not in (errno.ENOENT, errno.EINVAL):  # noqueue is refused with EINVAL by older kernels
            raise
    return 0, "", {}


def _tbf(number: int, handle: int, rate: int) -> bytes:
    queue = min(max(rate // _WAIT, _LEAST_QUEUE), _MOST_32)
    parms = _spec(rate) + _NO_RATE + struct.pack("=III", queue, 0, 0)
    options = nla(_TBF_PARMS, parms) + nla(_TBF_BURST, struct.pack("=I", _BURST)) + _long(_TBF_RATE64, rate)
    return _message(
        _NEWQDISC, CREATE | REPLACE, number, handle, _ROOT, attrs=nla(_KIND, b"tbf\0") + nla(_OPTIONS, options)
    )


def _bring_policer(wire: Wire, number: int, rate: int) -> None:
    there = _policer(_filters(wire, number, _INGRESS))
    if there and rate and there[1] != rate:
        tab = struct.pack("=Bxxx", 0) + nla(_KIND, nla(1, _police(rate, there[0])))
        wire.change([raw(_NEWACTION, CREATE | REPLACE, tab)])
    elif rate and not there:
        _add_policer(wire, number, rate)
    elif there and not rate:
        wire.change([_message(_DELFILTER, 0, number, 0, _INGRESS, _PREFERENCE | _ALL_PROTOCOLS)])
        others = any(_filters(wire, number, half) for half in (_INGRESS, _EGRESS))
        if not others and _qdisc(wire, number, _CLSACT)[1] == "clsact":
            wire.change([_message(_DELQDISC, 0, number, _CLSACT_HANDLE, _CLSACT)])


def _add_policer(wire: Wire, number: int, rate: int) -> None:
    """Add our policer; where the kernel cannot have one, nothing is left behind."""
    made = not _qdisc(wire, number, _CLSACT)[1]
    if made:
        attrs = nla(_KIND, b"clsact\0")
        wire.change([_message(_NEWQDISC, CREATE | EXCL, number, _CLSACT_HANDLE, _CLSACT, attrs=attrs)])
    options = nla(_OPTIONS, nla(_MATCHALL_ACT, nla(1, _police(rate, 0))))
    attrs = nla(_KIND, b"matchall\0") + options
    try:
        wire.change([_message(_NEWFILTER, CREATE | EXCL, number, 0, _INGRESS, _PREFERENCE | _ALL_PROTOCOLS, attrs)])
    except RefusedError as refused:
        if made:
            wire.attempt([_message(_DELQDISC, 0, number, _CLSACT_HANDLE, _CLSACT)])
        needs = " (a rate needs cls_matchall and act_police)" if refused.errno == errno.ENOENT else ""
        raise RefusedError(refused.errno, f"{refused.reason}{needs}") from refused


def _policer(filters: Iterable[dict[int, bytes]]) -> tuple[int, int] | None:
    """Return the index of our policer among *filters* and its bytes a second, None where there is none."""
    for found in filters:
        actions = attributes(dict(attributes(found.get(_OPTIONS, b""))).get(_MATCHALL_ACT, b""))
        for action in (dict(attributes(payload)) for _, payload in actions):
            if action.get(_ACT_COOKIE) == _COOKIE and _text(action[_ACT_KIND]) == "police":
                options = dict(attributes(action[_ACT_OPTIONS]))
                parms = options[_POLICE_TBF]
                rate = _bytes_a_second(parms[_POLICE.size :], options.get(_POLICE_RATE64))
                return _POLICE.unpack_from(parms)[0], rate
    return None


def _filters(wire: Wire, number: int, parent: int) -> list[dict[int, bytes]]:
    """Return the attributes of each filter behind one half of a clsact."""
    answers = wire.ask(_message(_GETFILTER, 0, number, 0, parent), dump=True)
    return [dict(attributes(body[_FIRST:])) for body in answers]


def _police(rate: int, number: int) -> bytes:
    """Return the action: a policer of its own, or, with its *number*, one that is there."""
    burst = min(_BURST * 1_000_000_000 // (rate * _TICK), _MOST_32)
    parms = _POLICE.pack(number, _DROP, 0, burst, _MOST_32) + _spec(rate) + _NO_RATE + struct.pack("=iiI", 0, 0, 0)
    options = nla(_POLICE_TBF, parms) + nla(_POLICE_RATE, _TABLE) + _long(_POLICE_RATE64, rate)
    options += nla(_POLICE_RESULT, struct.pack("=i", _GO_ON))
    return nla(_ACT_KIND, b"police\0") + nla(_ACT_OPTIONS, options) + nla(_ACT_COOKIE, _COOKIE)


def _spec(rate: int) -> bytes:
    return _RATE.pack(_CELL_LOG, _ETHERNET, 0, 0, 0, min(rate, _MOST_32))


def _long(kind: int, rate: int) -> bytes:
    """Return the attribute that a rate needs which has no room in 32 bits."""
    return nla(kind, struct.pack("=Q", rate)) if rate > _MOST_32 else b""


def _bytes_a_second(spec: bytes, long: bytes | None) -> int:
    return int(struct.unpack("=Q", long)[0] if long else _RATE.unpack_from(spec)[-1])


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("ascii", "replace")


def _message(kind: int, flags: int, number: int, handle: int, parent: int, info: int = 0, attrs: bytes = b"") -> bytes:
    return raw(kind, flags, _BODY.pack(0, number, handle, parent, info) + attrs)
