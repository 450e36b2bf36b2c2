"""What others have loaded: their nftables chains, iptables-legacy's FORWARD policy, two settings; only read.

No program is started, and no kernel module loaded: iptables-legacy's tables are asked for only where
/proc says that they are there.

Sources: libnftables-json(5); linux/netfilter_ipv4/ip_tables.h IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES;
linux/netfilter/x_tables.h xt_standard_target.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pvenetd.neighbours import Chain, Seen

_OURS = "pvenetd"
_ACCEPTED = re.compile(r'^\s*[io]ifname "([^"]+)"(?: counter packets \d+ bytes \d+)? accept', re.MULTILINE)
_CALLED = re.compile(r"\b(?:jump|goto) (\S+)")
_PROC = Path("/proc")
_GET_INFO, _GET_ENTRIES = 64, 65
_FORWARD = 2
"""NF_INET_FORWARD."""
_INFO = struct.Struct("=32sI5I5III")
"""struct ipt_getinfo: name, valid_hooks, hook_entry, underflow, num_entries, size."""
_ENTRIES, _EMPTY = 12, 4
"""Where it has num_entries; three chains without rules, and the table's end, are as many."""
_ENTRY = {socket.AF_INET: 112, socket.AF_INET6: 168}
"""sizeof(struct ipt_entry), sizeof(struct ip6t_entry): the target begins behind."""
_VERDICT_AT, _DROP = 32, -1
"""Bytes of struct xt_entry_target; -NF_DROP - 1."""
_LEGACY = (
    ("ip", socket.AF_INET, socket.IPPROTO_IP, "net/ip_tables_names"),
    ("ip6", socket.AF_INET6, socket.IPPROTO_IPV6, "net/ip6_tables_names"),
)


class Neighbours:
    """Looks anew each time, in the network namespace of the thread that asks."""

    def look(self) -> Seen:
        """Return what is there; what cannot be read is not."""
        return Seen(
            (*_chains(), *_legacy()),
            calls_iptables=_setting("sys/net/bridge/bridge-nf-call-iptables"),
            forwards=_setting("sys/net/ipv4/ip_forward"),
            legacy=_has_legacy_rules(),
        )


def _setting(name: str) -> bool:
    try:
        return (_PROC / name).read_text(encoding="ascii").strip() == "1"
    except OSError:
        return False


def _chains() -> Iterator[Chain]:
    listed = json.loads(_nft("list chains", as_json=True) or "{}").get("nftables", [])
    for entry in listed:
        found: dict[str, Any] = entry.get("chain", {})
        if not found or found["table"] == _OURS:
            continue
        chain = Chain(found["family"], found["table"], found["name"], found.get("hook", ""), found.get("policy", ""))
        if chain.hook == "forward" and chain.policy == "drop":
            chain = Chain(chain.family, chain.table, chain.name, chain.hook, chain.policy, passes=_passes(chain))
        yield chain


def _passes(chain: Chain) -> frozenset[str]:
    """Return the links that rules of *chain*, or of those it calls, let pass by their names alone."""
    own = _nft(f"list chain {chain.family} {chain.table} {chain.name}")
    called = [_nft(f"list chain {chain.family} {chain.table} {name}") for name in _CALLED.findall(own)]
    return frozenset(name for text in (own, *called) for name in _ACCEPTED.findall(text))


def _nft(command: str, *, as_json: bool = False) -> str:
    import nftables  # Debian's python3-nftables: not on PyPI

    library = nftables.Nftables()
    library.set_json_output(as_json)
    status, output, _ = library.cmd(command)
    return "" if status else str(output)


def _legacy() -> Iterator[Chain]:
    for family, domain, level, names in _LEGACY:
        try:
            tables = (_PROC / names).read_text(encoding="ascii").split()
            if "filter" in tables and _policy(domain, level) == _DROP:
                yield Chain(family, "filter", "FORWARD", "forward", "drop", legacy=True)
        except OSError:
            continue


def _has_legacy_rules() -> bool:
    """Return whether a filter table of iptables-legacy has more than what is there of itself, or drops by policy."""
    for _, domain, level, names in _LEGACY:
        try:
            if "filter" in (_PROC / names).read_text(encoding="ascii").split():
                with _asking(domain) as asking:
                    if _info(asking, level)[_ENTRIES] > _EMPTY or _policy(domain, level) == _DROP:
                        return True
        except OSError:
            continue
    return False


def _asking(domain: socket.AddressFamily) -> socket.socket:
    return socket.socket(domain, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW)


def _info(asking: socket.socket, level: int) -> tuple[Any, ...]:
    """Return struct ipt_getinfo of the filter table.  Raises OSError."""
    named = b"filter".ljust(32, b"\0")
    return _INFO.unpack(_option(asking, level, _GET_INFO, named.ljust(_INFO.size, b"\0")))


def _policy(domain: socket.AddressFamily, level: int) -> int:
    """Return the verdict of the filter table's FORWARD policy.  Raises OSError."""
    with _asking(domain) as asking:
        info = _info(asking, level)
        underflow, size = info[7 + _FORWARD], info[13]
        head = b"filter".ljust(32, b"\0") + struct.pack("=I4x", size)
        entries = _option(asking, level, _GET_ENTRIES, head + bytes(size))[len(head) :]
    verdict: int = struct.unpack_from("=i", entries, underflow + _ENTRY[domain] + _VERDICT_AT)[0]
    return verdict


def _option(asking: socket.socket, level: int, number: int, question: bytes) -> bytes:
    """Return the answer of getsockopt(2), whose buffer holds the *question* first.  Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    answer, length = ctypes.create_string_buffer(question, len(question)), ctypes.c_uint(len(question))
    if libc.getsockopt(asking.fileno(), level, number, answer, ctypes.byref(length)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer.raw
