"""The page of translated addresses: pvenetd-nat(7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pvenetd.nat.option import OPTIONS

EXAMPLE = Path(__file__).resolve().parent.parent / "examples/nat-forwards/etc/network/interfaces"
COMMANDS = {
    "POSTROUTING -s NETWORK -o IFACE -j MASQUERADE": "is nat-masquerade; ! -d NETWORK may stand for -o IFACE",
    "POSTROUTING -s NETWORK -o IFACE -j SNAT --to-source ADDRESS[-ADDRESS]": "is nat-snat",
    "PREROUTING -i IFACE -p PROTOCOL --dport PORT[:PORT] -j DNAT --to-destination ADDRESS[:PORT]": (
        "is a forward, with -m multiport --dports several; -d ADDRESS may stand for -i, or beside it, and without -p "
        "and --dport it is about all there is. "
        "It is as wide as it is written: what the host itself sends is not meant, nor is it looked at whose address "
        "it is for; but what a bridge only passes on is left alone"
    ),
    "-t raw -I PREROUTING -i fwbr+ -j CT --zone 1": "is needless, as there are no firewall bridges here",
}
QUESTIONS = {
    "Who routes?": "With any of these options, or commands, the host is made to route packets of that family: "
    "net/ipv4/ip_forward, net/ipv6/conf/all/forwarding. nat list tells where somebody has switched it off; the next "
    "apply sets it again. It is never switched off. An interface that gets its address by router advertisements needs "
    "accept-ra 2 then, which its inet6 auto stanza implies",
    "Who filters?": "The guest's own rules, with the address and the port that the guest sees: a forward of port 8080 "
    "to 80 needs IN ACCEPT -p tcp -dport 80. The sender is who he is. The host's rules of direction IN are not asked, "
    "as nothing of it is for the host",
    "Whose addresses?": "A forward without an address is for all that the host has, DHCP's too, but for those of the "
    "interface it stands at, by which the guests know the host, and for 127.0.0.1 and ::1. An address that is named "
    "has to come here: as an address of the host's (address 192.0.2.9/32 at the interface to the outside), or routed "
    "to the host by the provider",
    "From inside?": "Guests of the same network reach a forward by the public address as well; the guest sees the "
    "host's address then, or his answer would take the short way and belong to nothing. A guest does not reach itself "
    "so on kernels without bridge conntrack",
    "Between the host's own networks?": "Nothing is translated, as it leaves by no interface that is named",
    "Which of two?": "Forwards before nat-one-to-one; of forwards those with an address before those with in IFACE, "
    "and these before the others; nat-one-to-one before nat-snat and nat-masquerade. What is left has the order of the "
    "lines, and two that want the same packets are an error",
    "And what is established?": "A forward that goes, or leads elsewhere, takes its connections with it. Source "
    "addresses stay what they are until a connection ends",
    "Several addresses at the interface?": "nat-masquerade takes the one the kernel would choose for itself; nat-snat "
    "says which",
}


def page(header: Any, entries: Any, escape: Any) -> str:
    """Return the page; *header*, *entries* and *escape* are the generator's."""
    lines = [
        *header("pvenetd-nat", 7, "guests behind the host's addresses"),
        ".SH DESCRIPTION",
        "A bridge without a port to the outside has a network of its own. What its guests send leaves with an address",
        "of the host's, and what comes for the host goes on to them as far as options of the bridge's stanza say so,",
        "in etc/network/interfaces, \\fBpvenetd\\-interfaces\\fR(5). They are applied, rolled back and edited like all",
        "others. \\fBpvenetctl nat list\\fR tells each with its line, and how many connections it has translated;",
        "\\fBnat add\\fR and \\fBnat delete\\fR stage a line more, or less.",
        ".SH OPTIONS",
        *entries(OPTIONS.items()),
        ".SH COMMANDS OF IPTABLES",
        "These are recognised after pre\\-up, up and post\\-up, with \\-D after pre\\-down, down and post\\-down, for",
        "iptables and ip6tables, and are not run: what they ask for is done by the same rules, once, and goes with its",
        "line. A command that says more stays a command.",
        *entries(COMMANDS.items()),
        ".SH QUESTIONS",
        *entries(QUESTIONS.items()),
        ".SH EXAMPLE",
        ".nf",
        *(escape(line) for line in EXAMPLE.read_text().splitlines()),
        ".fi",
        ".SH SEE ALSO",
        "\\fBpvenetctl\\fR(1), \\fBpvenetd\\-interfaces\\fR(5), \\fBpvenetd\\fR(8), \\fBnft\\fR(8)",
    ]
    return "\n".join(lines) + "\n"
