"""What not every kernel has: queues, logs, look-ups of routes, conntrack helpers.

A rule is loaded all the same, as what it comes to without: nobody listens at a queue that cannot be, so it accepts;
a log and a helper decide nothing.  One missing module must not keep a host's whole ruleset from being loaded.

Source: nft(8); the kernel's net/netfilter/Kconfig.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pvenetd.firewall.nft import count

_WORDS = {
    "queue": (re.compile(r"queue flags bypass to [0-9-]+"), "accept", "nft_queue"),
    "log": (re.compile(r'log prefix "[^"]*" group [0-9]+'), "continue", "nft_log, nfnetlink_log"),
    "fib": (
        re.compile(r"fib saddr type \{ broadcast, multicast \}"),
        "ip saddr { 224.0.0.0/4, 255.255.255.255 }",
        "nft_fib_inet",
    ),
    "count": (
        re.compile(r"update @flows \{[^}]*\} counter drop"),
        "continue",
        "nft_connlimit, nft_hash",
    ),
}
"""Word → what it looks like, what it comes to without, the modules it needs."""
_OBJECT = re.compile(
    r'table (?:inet|bridge) pvenetd \{\n\tct helper ([\w-]+) \{\n\t\ttype "([\w-]+)" protocol (tcp|udp)\n\t\}\n\}\n'
)
_NOTE = re.compile(r' comment "([^"]*)"$')


ANSWERS = "answers"
"""The ability to have who sends by way of the host told of refusals."""
CONNTRACK, BRIDGE = "conntrack", "bridge"
"""To know connections on bridges, with refusals; to ask for a frame's bridge.  No text of a piece asks for these."""
_MODULES = {
    CONNTRACK: "nf_conntrack_bridge, nft_reject_bridge",
    BRIDGE: "nft_meta_bridge",
    ANSWERS: "NF_TABLES_NETDEV, NETFILTER_EGRESS, NFT_FWD_NETDEV",
}
_ON_BRIDGE = {
    CONNTRACK: """\
		ct state established accept
		meta ibrname "vmbr0" accept
		meta l4proto 6 reject with tcp reset
""",
    BRIDGE: '\t\tmeta ibrname "vmbr0" accept\n',
}
_ANSWERING = re.compile(r"^table netdev pvenetd \{\n.*?^\}\n|^add element netdev [^\n]*\n", re.MULTILINE | re.DOTALL)
_SEALED = re.compile(r'( comment "[0-9a-f]{64}) [0-9]+')


def asked(text: str) -> Iterator[str]:
    """Yield the abilities that the *text* of a piece asks for: ``queue``, ``helper ftp tcp``."""
    yield from (word for word, (pattern, _, _) in _WORDS.items() if pattern.search(text))
    if _ANSWERING.search(text):
        yield ANSWERS
    yield from dict.fromkeys(f"helper {kind} {protocol}" for _, kind, protocol in _OBJECT.findall(text))


def question(ability: str) -> str:
    """Return commands that a kernel takes if it has *ability*, and that leave nothing."""
    if ability == ANSWERS:
        hook = '\t\ttype filter hook egress device "lo" priority 0; policy accept;\n\t\tfwd to "lo"\n'
        return f"table netdev pvenetd-probe {{\n\tchain c {{\n{hook}\t}}\n}}\ndelete table netdev pvenetd-probe\n"
    if rules := _ON_BRIDGE.get(ability):
        chain = f"\tchain c {{\n\t\ttype filter hook prerouting priority 10; policy accept;\n{rules}\t}}\n"
        return f"table bridge pvenetd-probe {{\n{chain}}}\ndelete table bridge pvenetd-probe\n"
    word, *names = ability.split()
    body = {
        "queue": "\tchain c {\n\t\tqueue flags bypass to 0\n\t}\n",
        "log": '\tchain c {\n\t\tlog prefix "x" group 0\n\t}\n',
        "count": "\tchain c {\n\t\tct count over 1 jhash ct id mod 2 0 continue\n\t}\n",
        "fib": "\tchain c {\n\t\tfib saddr type { broadcast, multicast }\n\t}\n",
    }.get(word) or f'\tct helper c {{\n\t\ttype "{names[0]}" protocol {names[1]}\n\t}}\n'
    return f"table inet pvenetd-probe {{\n{body}}}\ndelete table inet pvenetd-probe\n"


def modules(ability: str) -> str:
    """Return what brings *ability*: modules, or options that the kernel is built with."""
    word, *names = ability.split()
    helper = f"nf_conntrack_{names[0].replace('-', '_')}" if names else ""
    return helper or _MODULES.get(word) or _WORDS[word][2]


def without(text: str, lacking: frozenset[str]) -> str:
    """Return the *text* of a piece as what it comes to where the kernel has none of *lacking*."""
    for word in lacking & _WORDS.keys():
        text = _WORDS[word][0].sub(_WORDS[word][1], text)
    if ANSWERS in lacking:
        text = _ANSWERING.sub("", text)
        text = _SEALED.sub(rf"\1 {count(text)}", text)
    for found in _OBJECT.finditer(text):
        if f"helper {found[2]} {found[3]}" in lacking:
            text = text.replace(found[0], "").replace(f'ct helper set "{found[1]}"', "continue")
    return text


def told(text: str, ability: str) -> str:
    """Return what is wrong with *text* where the kernel lacks *ability*: the modules, and whose rules."""
    if ability == ANSWERS:
        lacking = f"this kernel has no netdev chains at egress ({modules(ability)})"
        return f"{lacking}: what the host sends to guests is refused without an answer"
    word, *names = ability.split()
    needs = modules(ability)
    pattern = _WORDS[word][0] if word in _WORDS else re.compile(rf'ct helper set "{names[0]}-')
    lines = (line for line in text.splitlines() if pattern.search(line))
    origins = dict.fromkeys(note[1] for line in lines if (note := _NOTE.search(line)))
    return f"this kernel has no {' '.join([word, *names])} ({needs}): {', '.join(origins)} without it"
