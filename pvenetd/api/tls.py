"""The API over TCP: TLS, with a certificate that is read anew when its files change (RFC 8446, RFC 5246)."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from pvenetd.errors import ConfigError, Problem
from pvenetd.settings import PATH

log = logging.getLogger("pvenetd.api")

BACKLOG = 128
_IP_FREEBIND, _IPV6_FREEBIND = 15, 78
"""linux/in.h, linux/in6.h: an address may be listened at before the host has it."""
Stamp = tuple[tuple[int, int, int], ...]


def listening(addresses: Iterable[IPv4Address | IPv6Address], port: int) -> list[socket.socket]:
    """Return sockets that listen at *addresses*; ``::`` is every address of both families, but beside ``0.0.0.0``.

    Raises OSError.
    """
    made: list[socket.socket] = []
    wanted = tuple(addresses)
    try:
        for one in wanted:
            six = isinstance(one, IPv6Address)
            made.append(there := socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM))
            there.setblocking(False)
            there.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            there.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            if six:
                there.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
                there.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, any(other.version == 4 for other in wanted))
            there.bind((str(one), port))
            there.listen(BACKLOG)
    except OSError:
        for there in made:
            there.close()
        raise
    return made


class Certificate:
    """A certificate and its key in files, and the context that TLS begins with."""

    def __init__(self, certificate: Path, key: Path | None) -> None:
        """Read the files.  Raises `ConfigError` where they are no certificate with its key."""
        self._files = (certificate, key or certificate)
        try:
            self._stamp = self._stamped()
            self._loaded = self._load()
        except (OSError, ssl.SSLError) as error:
            raise ConfigError([Problem(PATH, 0, "unknown-value", self._reason(error))]) from error
        self.context = _context()
        """What a listener takes: it looks for itself who is meant."""
        self.context.load_cert_chain(*self._files, password=_no_password)
        self.context.sni_callback = self._meant

    def _meant(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """Let a connection that begins have the certificate that is in the files now; those that stand keep theirs."""
        del name, context
        self._refresh()
        connection.context = self._loaded

    def _refresh(self) -> None:
        try:
            stamp = self._stamped()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._loaded = self._load()
        except (OSError, ssl.SSLError) as error:
            log.warning("the certificate stays the one it was: %s", self._reason(error))
        else:
            log.info("the certificate in %s has changed, and is used from now on", self._files[0])

    def _load(self) -> ssl.SSLContext:
        made = _context()
        made.load_cert_chain(*self._files, password=_no_password)
        return made

    def _stamped(self) -> Stamp:
        found = [file.stat() for file in self._files]
        return tuple((about.st_mtime_ns, about.st_ino, about.st_size) for about in found)

    def _reason(self, error: OSError) -> str:
        files = " and ".join(dict.fromkeys(map(str, self._files)))
        return f"api.certificate: {files}: {error.strerror or getattr(error, 'reason', None) or error}"


def _context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    made.set_alpn_protocols(["http/1.1"])
    return made


def _no_password(*_: Any) -> str:
    """Have a key that is encrypted refused, not asked about at a terminal."""
    raise ssl.SSLError("the key is encrypted: its password is nowhere to be asked for")
