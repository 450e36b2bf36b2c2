"""A certificate of the daemon's own, signed by itself: made once by openssl(1), which every Debian has.

Python's library reads certificates and makes none; a package that does would be loaded for good, for one moment in
the life of a host.
"""

from __future__ import annotations

import posixpath
import tempfile
import time
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

from pvenetd.drivers.files import Files
from pvenetd.drivers.programs import PATH, Programs
from pvenetd.errors import Unavailable

FILE = "var/lib/pvenetd/tls/api.pem"
"""Certificate and key in one, so that both are the old ones or the new ones."""
DAYS = 730
"""How long it holds; what makes it anew does so a month before."""
_SPARE = 30
_DAY = 86400
_PATIENCE = 60.0
_LONGEST_NAME = 64
"""X.509's bound of a common name (RFC 5280, ub-common-name-length)."""
_CONFIG = """\
[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
string_mask = utf8only
[name]
O = pvenetd
CN = {name}
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = {others}
"""


def ensure(files: Files, programs: Programs, names: Iterable[str]) -> Path:
    """Return the file of a certificate for *names* (of hosts, and addresses), made where there is none that holds.

    Raises `Unavailable`, OSError.
    """
    there = files.read_secret(FILE)
    if there is None or files.path(FILE).stat().st_mtime + (DAYS - _SPARE) * _DAY < time.time():
        files.write_secret(FILE, _made(files, programs, tuple(dict.fromkeys(names))))
    return files.path(FILE)


def _made(files: Files, programs: Programs, names: tuple[str, ...]) -> bytes:
    place = files.path(posixpath.dirname(FILE))
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=place) as private:  # mode 0700
        key, certificate = Path(private, "key"), Path(private, "certificate")
        words = ["openssl", "req", "-x509", "-config", "/dev/stdin", "-days", str(DAYS), "-sha256", "-nodes"]
        words += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", str(key), "-out", str(certificate)]
        config = _CONFIG.format(name=names[0][:_LONGEST_NAME], others=", ".join(map(_alternative, names)))
        try:
            ended = programs.run(words, {"PATH": PATH}, seconds=_PATIENCE, given=config.encode())
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"openssl made no certificate: {error or 'it took too long'}") from error
        if ended.status:
            raise Unavailable(f"openssl made no certificate: {ended.output.strip()}")
        return certificate.read_bytes() + key.read_bytes()


def _alternative(name: str) -> str:
    try:
        return f"IP:{ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"
