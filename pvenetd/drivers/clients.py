"""DHCP clients: dhclient(8) or dhcpcd(8), whichever is installed, started, found again, and told to release.

What was asked of each is kept in ``run/pvenetd/clients.json``, on disk before the client is started; that it
runs is its own word (`Programs`).  Its files are those that ifupdown gives it, so that a lease is taken over.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

from pvenetd.drivers.files import Files
from pvenetd.drivers.programs import PATH, Programs, unit_name
from pvenetd.errors import KernelError
from pvenetd.plan import Op
from pvenetd.resource import Key, Resource
from pvenetd.state import Client, from_json, to_json

log = logging.getLogger("pvenetd.clients")

PROGRAMS = ("dhclient", "dhcpcd")
"""In the order in which ifupdown looks for them."""
_RECORD = "run/pvenetd/clients.json"
_ENVIRONMENT = {"PATH": PATH, "LANG": "C.UTF-8"}
_RELEASED = 15.0
"""Seconds a client has to release its lease."""
_WHEN_ADDRESSED = """
left=$1 pause=$2 dev=$3 scope=$4; shift 4
while [ "$left" -gt 0 ]; do
    while read -r _ _ _ reach flags name; do
        case "$name $reach $flags" in "$dev $scope "*[0-389ab]?) exec "$@" ;; esac
    done </proc/net/if_inet6
    left=$((left - 1)); sleep "$pause"
done
exec "$@"
"""
"""Waits for an address of a scope that is not tentative (IFA_F_TENTATIVE, 0x40), then begins in any case."""
_GLOBAL, _LINK_LOCAL = "00", "20"
"""Scopes, as /proc/net/if_inet6 has them."""
_AND_STAY = '"$@" && exec sleep infinity'
"""Stays when all is done, so that it is seen to be: a dhclient that asks for no address ends with the answer."""
_END = 'kill "$0" && timeout 10 tail -s 0.1 --pid="$0" -f /dev/null'


class Clients:
    """The clients of all interfaces."""

    def __init__(self, files: Files, chosen: str = "auto") -> None:
        self._files = files
        self._programs = Programs(files.root)
        self._chosen = chosen
        self._records: dict[Key, dict[str, Any]] = {}
        for record in files.read_json(_RECORD) or []:
            (key,) = from_json([record["client"]])
            self._records[key] = record

    def observe(self) -> dict[Key, Resource]:
        """Return the clients that run."""
        found = (record["client"] for key, record in self._records.items() if self._programs.running(_unit(key)))
        return from_json(found)

    def apply(self, op: Op) -> None:
        """Start a client in place of the one that runs, or have it release its lease and end.  Raises `KernelError`."""
        client = op.resource
        if not isinstance(client, Client):
            return
        try:
            if op.verb == "-":
                self._release(client)
            else:
                self._start(client)
        except OSError as error:
            raise KernelError(str(op), error.errno or 0, error.strerror or str(error)) from error

    def _start(self, client: Client) -> None:
        program = self._program()
        self._programs.stop(_unit(client.key))
        self._take_over(client)
        self._records[client.key] = {"client": to_json({client.key: client})[0], "program": program}
        self._keep()
        if program == "dhclient" and (text := _settings(client)):
            self._files.write(_conf(client), text.encode())
        else:
            self._files.remove(_conf(client))
        for directory in ("var/lib/dhcp", "var/lib/dhcpcd", "run/dhcpcd"):
            if self._files.root != Path("/"):
                self._files.path(directory).mkdir(parents=True, exist_ok=True)
        words = _dhclient(client) if program == "dhclient" else _dhcpcd(client)
        about = f"DHCP client of {client.iface}, for pvenetd"
        self._programs.start(_unit(client.key), words, _ENVIRONMENT, about)

    def _program(self) -> str:
        wanted = PROGRAMS if self._chosen == "auto" else (self._chosen,)
        for name in wanted:
            if shutil.which(name, path=PATH):
                return name
        raise OSError(0, f"{' or '.join(wanted)} is not installed")

    def _release(self, client: Client) -> None:
        record = self._records.pop(client.key, {})
        words = _dhclient(client, "-r") if record.get("program") == "dhclient" else _dhcpcd(client, "-k")
        self._told(words)
        self._programs.stop(_unit(client.key))
        self._files.remove(_conf(client))
        self._keep()

    def _take_over(self, client: Client) -> None:
        """End a client that somebody else has started for this interface; it leaves its address."""
        number = "6" if client.family == "inet6" else "4"
        theirs = (f"/run/dhcpcd/{client.iface}-{number}.pid", f"/run/dhcpcd/{client.iface}.pid", _pid_file(client))
        for path in theirs:
            pid = (self._files.read(path) or b"").strip().decode(errors="replace")
            if pid.isdigit() and (name := _name(pid)) in PROGRAMS:
                log.info("%s of %s was started by somebody else: taken over", name, client.iface)
                self._told(["/bin/sh", "-c", _END, pid])

    def _told(self, words: list[str]) -> None:
        try:
            done = self._programs.run(words, _ENVIRONMENT, seconds=_RELEASED, at_home=True)
        except (TimeoutError, OSError) as error:
            log.warning("%s: %s", " ".join(words), error or f"no end after {_RELEASED:g} seconds")
            return
        if done.status:
            log.info("%s: exit status %d: %s", " ".join(words), done.status, done.output.strip()[-200:])

    def _keep(self) -> None:
        self._files.write_json(_RECORD, list(self._records.values()))


def _unit(key: Key) -> str:
    return unit_name("pvenetd-dhcp6" if key[2] == "inet6" else "pvenetd-dhcp", key[1])


def _name(pid: str) -> str:
    """Return the name of a process that lives, empty where it does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    name, _, rest = stat.partition("(")[2].rpartition(")")
    return "" if rest.split()[0] in "ZX" else name


def _stem(client: Client) -> str:
    return f"dhclient{'6' if client.family == 'inet6' else ''}.{client.iface}"


def _pid_file(client: Client) -> str:
    return f"/run/{_stem(client)}.pid"


def _conf(client: Client) -> str:
    """Return where its settings stand: AppArmor lets dhclient read nothing elsewhere."""
    return f"/var/lib/dhcp/{_stem(client)}.conf"


def _dhclient(client: Client, order: str = "") -> list[str]:
    words = ["dhclient", "-6" if client.family == "inet6" else "-4", order or "-d"]
    words += ["-pf", _pid_file(client), "-lf", f"/var/lib/dhcp/{_stem(client)}.leases", "-e", "PVENETD=1"]
    if client.metric is not None:
        words += ["-e", f"IF_METRIC={client.metric}"]
    if _settings(client):
        words += ["-cf", _conf(client)]
    if client.stateless:
        words.append("-S")
    elif client.prefix:
        words += ["-N", "-P"]
    words.append(client.iface)
    if client.stateless and not order:
        words = ["/bin/sh", "-c", _AND_STAY, "dhclient", *words]
    if client.family == "inet6" and not order:
        return _waiting(client, _LINK_LOCAL, words)  # it gives up without
    return words


def _waiting(client: Client, scope: str, words: list[str]) -> list[str]:
    """Return what waits for an address of *scope* first."""
    how = [str(client.attempts), f"{client.interval:g}", client.iface, scope]
    return ["/bin/sh", "-c", _WHEN_ADDRESSED, "when-addressed", *how, *words]


def _settings(client: Client) -> str:
    """Return a dhclient.conf(5) of what it is to send, empty where it is the usual."""
    if client.family == "inet6":
        return ""
    lines = [f"send host-name {_quoted(client.hostname)};"] if client.hostname else []
    lines += [f"send dhcp-lease-time {client.leasetime};"] if client.leasetime else []
    lines += [f"send vendor-class-identifier {_quoted(client.vendor)};"] if client.vendor else []
    if client.client_id not in ("", "no"):
        lines.append(f"send dhcp-client-identifier {_quoted(client.client_id)};")
    if not lines:
        return ""
    inner = "".join(f"\t{line}\n" for line in lines)
    return f'include "/etc/dhcp/dhclient.conf";\ninterface {_quoted(client.iface)} {{\n{inner}}}\n'


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _dhcpcd(client: Client, order: str = "") -> list[str]:
    words = ["dhcpcd", "-6" if client.family == "inet6" else "-4", order or "-B"]
    if order:
        return [*words, client.iface]
    words.append("--persistent")  # the address stays when it is ended without -k
    given = {"-h": client.hostname, "-l": client.leasetime, "-i": client.vendor, "-m": client.metric}
    given["-I"] = "" if client.client_id == "no" else client.client_id
    for option, value in given.items():
        if value not in ("", None):
            words += [option, str(value)]
    if client.stateless:
        # It makes a link-local address of its own, with which the kernel asks no router any more.
        return _waiting(client, _GLOBAL, [*words, "--noipv6rs", "--inform6", client.iface])
    return [*words, client.iface]
