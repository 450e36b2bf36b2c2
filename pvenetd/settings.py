"""``etc/pvenetd/pvenetd.toml``, the daemon's settings: no file is all defaults, an unknown key an error."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pvenetd.errors import ConfigError, Problem

PATH = "/etc/pvenetd/pvenetd.toml"

_AT = re.compile(r" \(at line (\d+), column \d+\)")
"""Where an error is, in tomllib's words; at the document's end it says no line."""
_HEADER = re.compile(r"\s*\[([^\[\]]+)\]")
_KEY = re.compile(r"\s*([^\s=#][^=#]*)=")
_STRICT = ConfigDict(frozen=True, extra="forbid")
_Network = Annotated[str, AfterValidator(lambda text: str(ip_network(text, strict=False)))]


class Firewall(BaseModel):
    """``[firewall]``."""

    model_config = _STRICT

    backend: Literal["nftables", "iptables"] = "nftables"
    """What the rules are loaded by."""
    local_network: _Network | None = None
    """The network the host is managed from; without it, the one of the host's own address."""
    cluster_nodes: tuple[IPv4Address | IPv6Address, ...] = ()
    """Peers of the cluster, for corosync."""
    cut_established: bool = False
    """Whether connections that stand are cut when rules change so that they would not be let begin any more."""


class Apply(BaseModel):
    """``[apply]``."""

    model_config = _STRICT

    probe: bool = True
    """Ask the default gateways, the peer of the session that applies, and `probes` whether they answer as before."""
    probes: tuple[IPv4Address | IPv6Address, ...] = ()
    """More addresses that are pinged."""
    probe_seconds: Annotated[float, Field(gt=0, le=600)] = 5.0
    """How long they have to answer after an apply before it is rolled back."""


class Dhcp(BaseModel):
    """``[dhcp]``."""

    model_config = _STRICT

    client: Literal["auto", "dhclient", "dhcpcd"] = "auto"
    """Which client is used; auto is whichever is installed, dhclient before dhcpcd."""


class Interfaces(BaseModel):
    """``[interfaces]``."""

    model_config = _STRICT

    staged_at_boot: bool = False
    """Whether an edit that waits to be applied goes live with the next boot, as Proxmox VE does it."""


class Libvirt(BaseModel):
    """``[libvirt]``."""

    model_config = _STRICT

    uri: str | None = None
    """Which hypervisor's domains are followed, empty for none; without it, qemu:///system, but none where another
    directory stands for /."""


def _absolute(path: str) -> str:
    if not path.startswith("/") or re.search(r"[\x00-\x1f]", path):
        raise ValueError("should be an absolute path")
    return path


_Path = Annotated[str, AfterValidator(_absolute)]


class Api(BaseModel):
    """``[api]``."""

    model_config = _STRICT

    listen: tuple[IPv4Address | IPv6Address, ...] = ()
    """Addresses of the host at which the API is served by HTTPS; none without it."""
    port: Annotated[int, Field(ge=1024, le=65535)] = 8006
    """Which TCP port of theirs."""
    certificate: _Path | None = None
    """The certificate with those that vouch for it (PEM); without it, one that the daemon makes and signs itself."""
    key: _Path | None = None
    """Its private key; without it, in the same file."""
    rate: Annotated[float, Field(ge=0, le=1_000_000)] = 500.0
    """Requests a second of each user at each address, five seconds' at once; who is not known has a tenth, root at the
    socket no limit; 0 for none."""
    port_metrics: bool = False
    """Whether `/metrics` has the counters of every port, too."""
    others: Literal["none", "read"] = "none"
    """What users may who can log in and are neither root nor in the group pvenetd."""

    @model_validator(mode="after")
    def _key_has_certificate(self) -> Self:
        if self.key and not self.certificate:
            raise ValueError("key is for a certificate, which is not given")
        return self


class Bus(BaseModel):
    """``[dbus]``."""

    model_config = _STRICT

    address: str | None = None
    """The bus that org.pvenetd1 is on (``unix:path=...``), empty for none; without it, the system's, but none where
    another directory stands for /."""


def _sockets(pattern: str) -> str:
    directory, _, name = pattern.rpartition("/")
    if not pattern.startswith("/") or name.count("*") != 1 or re.search(r"[*?\[\]\x00-\x1f]", directory):
        raise ValueError("should be an absolute path whose last part has one *, which stands for the VMID")
    return pattern


class Settings(BaseModel):
    """All settings."""

    model_config = _STRICT

    qmp: Annotated[str, AfterValidator(_sockets)] | None = None
    """Sockets of guests' QMP monitors, one * for the VMID; without it none is followed."""

    interfaces: Interfaces = Field(default_factory=Interfaces)

    apply: Apply = Field(default_factory=Apply)
    firewall: Firewall = Field(default_factory=Firewall)
    dhcp: Dhcp = Field(default_factory=Dhcp)
    libvirt: Libvirt = Field(default_factory=Libvirt)
    api: Api = Field(default_factory=Api)
    dbus: Bus = Field(default_factory=Bus)


def load(read: Callable[[str], bytes | None]) -> Settings:
    """Return the settings in the file that *read* gives.  Raises `ConfigError` with every problem."""
    try:
        data = read(PATH)
    except OSError as error:
        raise ConfigError([Problem(PATH, 0, "syntax", f"cannot be read: {error.strerror}")]) from error
    return parse(data)


def parse(data: bytes | None, path: str = PATH) -> Settings:
    """Return the settings in *data*, all defaults for None.  Raises `ConfigError` with every problem."""
    if data is None:
        return Settings()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(path, line, "syntax", f"no UTF-8: {error.reason}")]) from error
    try:
        return Settings.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        at = _AT.search(str(error))
        line = int(at[1]) if at else text.rstrip().count("\n") + 1
        raise ConfigError([Problem(path, line, "syntax", _AT.sub("", str(error)))]) from error
    except ValidationError as error:
        problems = [
            Problem(path, _line(text, one["loc"]), "unknown-value", f"{_name(one['loc'])}: {one['msg']}")
            for one in error.errors()
        ]
        raise ConfigError(sorted(problems, key=lambda problem: problem.line)) from error


def _line(text: str, place: tuple[int | str, ...]) -> int:
    """Return the line that sets the value at *place*, or begins the table it is to be in; 0 where none does."""
    found, depth = 0, 0
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        here = table
        if header := _HEADER.match(line):
            here = table = _words(header[1])
        elif key := _KEY.match(line):
            here = (*table, *_words(key[1]))
        if len(here) > depth and here == place[: len(here)]:
            found, depth = number, len(here)
    return found


def _name(place: tuple[int | str, ...]) -> str:
    """Return *place* as the admin calls it: pydantic adds which of several types it has tried, as ``name[...]``."""
    return ".".join(str(part) for part in place if "[" not in str(part))


def _words(key: str) -> tuple[str, ...]:
    return tuple(word.strip().strip("\"'") for word in key.split("."))
