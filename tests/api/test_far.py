"""The API from the network: what TLS it speaks, what it takes, how long it waits, and how often one may be wrong."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import shutil
import ssl
import stat
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pvenetd.access.attempts import FREE
from pvenetd.api.app import MAX_BODY
from pvenetd.api.connections import Limits
from pvenetd.api.tls import Certificate
from pvenetd.daemon.access import KEY, TOKENS
from pvenetd.drivers.certificate import FILE, ensure
from pvenetd.drivers.files import Files
from pvenetd.drivers.programs import Programs
from pvenetd.errors import ConfigError
from pvenetd.settings import Api as ApiSettings
from pvenetd.settings import Settings
from tests.api.far import PASSWORD, Far, by_ticket, far_off
from tests.api.server import NODE
from tests.patience import PATIENCE

VERSION = "/api2/json/version"
TICKET = "/api2/json/access/ticket"
TOKENS_OF_ROOT = "/api2/json/access/users/root@pam/token"
HEAD = f"GET {VERSION} HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[Far]:
    async with far_off(tmp_path) as found:
        yield found


async def connected(far: Far, **bounds: object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection by TLS, as *bounds* say."""
    context = ssl.create_default_context(cafile=far.api.files.path(FILE))
    context.check_hostname = False
    for name, value in bounds.items():
        setattr(context, name, value)
    return await asyncio.open_connection("127.0.0.1", far.port, ssl=context)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the other end closes."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    except ConnectionError:
        return b""


async def test_a_login_gives_what_proxmox_ve_gives(far: Far) -> None:
    status, body = await far.ask("POST", TICKET, username="alice", realm="pam", password=PASSWORD)
    assert status == 200
    assert body["data"]["username"] == "alice@pam"
    assert body["data"]["cap"]["nodes"] == {"Sys.Audit": 1, "Sys.Modify": 1}
    assert (await far.ask("GET", "/api2/json/access/permissions", by_ticket(body["data"])))[1]["data"]["/"][
        "Sys.Modify"
    ]
    again = await far.login("alice@pam", body["data"]["ticket"])
    assert (await far.ask("GET", VERSION, by_ticket(again)))[0] == 200
    assert far.users.asked == 1, "a ticket is no question for PAM"
    wrong = await far.ask("POST", TICKET, username="root@pam", password=again["ticket"])
    assert wrong == (401, {"data": None, "message": "authentication failure"})


async def test_who_is_in_no_group_of_ours_gets_what_is_configured(far: Far) -> None:
    assert (await far.ask("POST", TICKET, username="bob@pam", password=PASSWORD))[0] == 401
    far.access._others = "read"
    bob = by_ticket(await far.login("bob@pam"))
    assert (await far.ask("GET", VERSION, bob))[0] == 200
    assert (await far.ask("POST", f"{TOKENS_OF_ROOT}/mine", bob))[0] == 403


async def test_a_token_has_proxmox_ves_life(far: Far) -> None:
    root = by_ticket(await far.login())
    status, body = await far.ask("POST", f"{TOKENS_OF_ROOT}/ansible", root, comment="plays")
    assert (status, body["data"]["full-tokenid"]) == (200, "root@pam!ansible")
    assert body["data"]["info"] == {"comment": "plays", "expire": 0, "privsep": 1}
    token = {"Authorization": f"PVEAPIToken=root@pam!ansible={body['data']['value']}"}
    assert (await far.ask("PUT", f"{TOKENS_OF_ROOT}/ansible", token, privsep="0"))[0] == 403
    assert (await far.ask("PUT", f"{TOKENS_OF_ROOT}/ansible", root, privsep="0"))[0] == 200
    assert (await far.ask("PUT", f"{TOKENS_OF_ROOT}/ansible", token, expire="1"))[1]["data"]["expire"] == 1
    assert (await far.ask("GET", VERSION, token))[1]["message"] == "the token has expired"
    assert (await far.ask("GET", TOKENS_OF_ROOT, root))[1]["data"] == [
        {"tokenid": "ansible", "comment": "plays", "expire": 1, "privsep": 0}
    ]
    assert (await far.ask("DELETE", f"{TOKENS_OF_ROOT}/ansible", root))[0] == 200
    assert (await far.ask("GET", f"{TOKENS_OF_ROOT}/ansible", root))[0] == 404


@pytest.mark.parametrize(
    ("user", "token"), [("eve@pam", "mine"), ("bob@pam", "mine"), ("root@pve", "mine"), ("root@pam", "1")]
)
async def test_a_token_is_of_somebody_and_has_a_name(far: Far, user: str, token: str) -> None:
    root = by_ticket(await far.login())
    status, body = await far.ask("POST", f"/api2/json/access/users/{user}/token/{token}", root)
    assert (status, list(body["errors"])) == (400, ["tokenid" if token == "1" else "userid"])


async def test_after_a_few_wrong_passwords_pam_is_not_asked_any_more(far: Far) -> None:
    far.access._ticking = lambda: 1000.0
    for _ in range(FREE):
        assert (await far.ask("POST", TICKET, username="root@pam", password="wrong"))[0] == 401
    status, body = await far.ask("POST", TICKET, username="root@pam", password=PASSWORD)
    assert (status, far.users.asked) == (429, FREE)
    assert body["message"].startswith("too many logins have failed: try again in ")


@pytest.mark.reliability("many wrong passwords at once", guarantee="PAM is asked a few times and no more")
async def test_many_wrong_passwords_at_once_gain_nothing(far: Far) -> None:
    far.access._ticking = lambda: 1000.0
    asked = (far.ask("POST", TICKET, username="root@pam", password=f"wrong {number}") for number in range(40))
    found = [status for status, _ in await asyncio.gather(*asked)]
    assert (found.count(401), found.count(429)) == (FREE, 40 - FREE)
    assert far.users.asked == FREE


@pytest.mark.reliability(
    "symbolic links where secrets are written",
    guarantee="nothing is written through them; secrets are root's alone",
)
@pytest.mark.parametrize("name", [KEY, TOKENS, FILE])
async def test_what_is_secret_is_for_root_alone_and_no_link_leads_astray(far: Far, name: str) -> None:
    await far.login()
    await far.token("root@pam!mine", may_write=True)
    path = far.api.files.path(name)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert far.api.files.read_secret(name)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    elsewhere = far.api.root / "elsewhere"
    elsewhere.write_bytes(b"as it was")
    path.unlink()
    path.symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic links"):
        far.api.files.read_secret(name)
    far.api.files.write_secret(name, b"new")
    assert (elsewhere.read_bytes(), path.read_bytes(), path.is_symlink()) == (b"as it was", b"new", False)


@pytest.mark.reliability("clients of old TLS", guarantee="refused: 1.2 or newer")
async def test_no_old_tls(far: Far) -> None:
    old = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="deprecated"), pytest.raises((ssl.SSLError, ConnectionError)):
        await connected(far, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=old)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        _, writer = await connected(far, minimum_version=version, maximum_version=version)
        assert writer.get_extra_info("ssl_object").version() == version.name.replace("_", ".")
        writer.close()


async def test_who_speaks_no_tls_is_not_answered(far: Far) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", far.port)
    writer.write(f"{HEAD}\r\n".encode())
    assert b"200" not in await ended(reader)
    writer.close()
    assert (await far.ask("GET", VERSION))[0] == 401


def fingerprint(writer: asyncio.StreamWriter) -> bytes:
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return found


async def test_a_new_certificate_is_shown_to_who_comes_and_ends_no_connection(
    far: Far, tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    file = far.api.files.path(FILE)
    other = tmp_path_factory.mktemp("other")
    new = ensure(Files(other), Programs(other), ["localhost"]).read_bytes()
    reader, writer = await connected(far)
    before = fingerprint(writer)
    file.write_bytes(b"half of it")
    _, second = await connected_to_any(far)
    assert fingerprint(second) == before, "a file that is no certificate changes nothing"
    assert "the certificate stays the one it was" in caplog.text
    Files(far.api.root).write_secret(FILE, new)
    _, third = await connected_to_any(far)
    assert fingerprint(third) != before
    writer.write(f"{HEAD}Connection: close\r\n\r\n".encode())
    assert (await ended(reader)).startswith(b"HTTP/1.1 401 ")
    for one in (writer, second, third):
        one.close()


async def connected_to_any(far: Far) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return await asyncio.open_connection("127.0.0.1", far.port, ssl=context)


def encrypted(key: Path) -> None:
    command = ["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:x", "-out", f"{key}.new"]
    subprocess.run(command, check=True, capture_output=True)
    Path(f"{key}.new").replace(key)


@pytest.mark.parametrize("spoil", [Path.unlink, lambda key: key.write_text("x"), encrypted])
def test_a_certificate_without_its_key_is_refused(tmp_path: Path, spoil: object) -> None:
    certificate = ensure(Files(tmp_path), Programs(tmp_path), ["localhost"])
    key = tmp_path / "key.pem"
    shutil.copy(certificate, key)
    Certificate(certificate, key)
    spoil(key)  # type: ignore[operator]
    with pytest.raises(ConfigError, match=r"api\.certificate: "):
        Certificate(certificate, key)


def test_the_own_certificate_is_made_once_and_anew_before_it_ends(tmp_path: Path) -> None:
    files = Files(tmp_path)
    path = ensure(files, Programs(tmp_path), ["host", "192.0.2.1", "2001:db8::1"])
    first = path.read_bytes()
    told = subprocess.run(
        ["openssl", "x509", "-noout", "-text", "-in", path], check=True, capture_output=True, text=True
    )
    assert "DNS:host, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1" in told.stdout
    assert ensure(files, Programs(tmp_path), ["host"]).read_bytes() == first
    os.utime(path, (0, 0))
    assert ensure(files, Programs(tmp_path), ["host"]).read_bytes() != first
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.reliability("request heads of 20 kB, and what is no HTTP", guarantee="refused with 400")
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (f"{HEAD}X: {'a' * 20_000}\r\n\r\n", b"400"),
        (f"GET /{'a' * 20_000} HTTP/1.1\r\n\r\n", b"400"),
        ("NO HTTP\r\n\r\n", b"400"),
    ],
)
async def test_too_much_of_a_head_is_refused(far: Far, sent: str, status: bytes) -> None:
    reader, writer = await connected(far)
    writer.write(sent.encode())
    assert (await ended(reader)).split()[1] == status
    writer.close()


@pytest.mark.reliability("40 MB of headers without an end", guarantee="the connection is ended early")
async def test_headers_without_an_end_are_not_kept(far: Far) -> None:
    reader, writer = await connected(far)
    writer.write(HEAD.encode())
    line = f"X-More: {'a' * 4000}\r\n".encode()
    try:
        for _ in range(10_000):
            writer.write(line)
            await asyncio.wait_for(writer.drain(), PATIENCE)
    except ConnectionError:
        pass
    else:
        pytest.fail("40 MB of headers were taken")
    await ended(reader)
    writer.close()


@pytest.mark.reliability("bodies that are too large", guarantee="401 unread for who is not known, else 413")
async def test_a_body_is_not_read_for_who_is_not_known(far: Far) -> None:
    url = f"{far.url}/api2/json/nodes/localhost/network"
    async with far.session.post(
        url, data=io.BytesIO(bytes(MAX_BODY + 1)), headers={"Content-Type": "application/json"}
    ) as answer:
        assert answer.status == 401
    token = await far.token("root@pam!mine", may_write=True)
    async with far.session.post(
        url, data=io.BytesIO(bytes(MAX_BODY + 1)), headers={**token, "Content-Type": "application/json"}
    ) as answer:
        assert answer.status == 413


@pytest.mark.reliability("malformed requests that carry a password or a token", guarantee="no log has the secret")
async def test_no_credentials_in_what_is_said_of_requests_that_are_no_http(
    far: Far, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "00000000-0000-4000-8000-00000000cafe"
    with caplog.at_level(logging.DEBUG):
        for head in (
            f"{HEAD}Authorization: PVEAPIToken=root@pam!x={secret}\x01\r\n\r\n",
            f"{HEAD}Authorization PVEAPIToken=root@pam!x={secret}\r\n\r\n",
            f"GET {VERSION}?password={secret} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            f"GET {VERSION}?x={secret} HTTP/9.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        ):
            reader, writer = await connected(far)
            writer.write(head.encode())
            await ended(reader)
            writer.close()
    assert secret not in caplog.text


@pytest.mark.reliability(
    "slow clients: connected and silent, half a head (slowloris)",
    guarantee="ended after 5 s of silence; who waits for an answer is not",
)
async def test_who_keeps_still_is_ended_and_who_is_answered_is_not(tmp_path: Path) -> None:
    async with far_off(tmp_path, Limits(still=5.0)) as far:
        token = await far.token("root@pam!mine", may_write=False)
        events = "/api2/json/nodes/localhost/pvenetd/events"
        last = max((one["id"] for one in (await far.ask("GET", events, token))[1]["data"]), default=0)
        answered = asyncio.create_task(far.ask("GET", f"{events}?since={last}&wait=60", token))
        silent, slow = await connected(far), await connected(far)
        slow[1].write(HEAD.encode())
        assert await ended(silent[0]) == b""
        assert await ended(slow[0]) == b""
        assert not answered.done(), "an answer may take its time"
        far.api.daemon._told("test", {})
        assert [one["event"] for one in (await answered)[1]["data"]] == ["test"]
        for _, writer in (silent, slow):
            writer.close()


@pytest.mark.reliability("30 TLS handshakes that never end", guarantee="others are answered")
async def test_a_handshake_that_never_ends_holds_nobody_up(far: Far) -> None:
    stuck = [await asyncio.open_connection("127.0.0.1", far.port) for _ in range(30)]
    assert (await far.ask("GET", VERSION))[0] == 401
    for _, writer in stuck:
        writer.close()


@pytest.mark.reliability("more connections than there may be", guarantee="refused; who goes makes room")
async def test_there_is_a_bound_to_connections_and_who_goes_makes_room(tmp_path: Path) -> None:
    async with far_off(tmp_path, Limits(most=10, most_of_one=3)) as far:
        held = [await connected(far) for _ in range(3)]
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await connected(far)
        held[0][1].close()
        await held[0][1].wait_closed()
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    held[0] = await connected(far)
                    break
                except (ConnectionError, ssl.SSLError):
                    await asyncio.sleep(0.05)
        for _, writer in held:
            writer.close()


async def test_curl_logs_in_and_changes_something(far: Far) -> None:
    async def curl(*words: str) -> dict[str, object]:
        certificate = str(far.api.files.path(FILE))
        made = await asyncio.create_subprocess_exec(
            "curl", "-sS", "--cacert", certificate, *words, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await made.communicate()
        found: dict[str, object] = json.loads(out)
        return found

    login = await curl(f"{far.url}{TICKET}", "-d", "username=root@pam", "--data-urlencode", f"password={PASSWORD}")
    issued = login["data"]
    assert isinstance(issued, dict)
    words = ["-b", f"PVEAuthCookie={issued['ticket']}", "-H", f"CSRFPreventionToken: {issued['CSRFPreventionToken']}"]
    url = f"{far.url}/api2/json/nodes/localhost/network"
    assert await curl(*words, "-d", "iface=vmbr7", "-d", "type=bridge", url) == {"data": None}
    assert (far.api.root / "etc/network/interfaces.new").exists()


async def test_who_asks_too_often_waits_and_nobody_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    slow = Settings(api=ApiSettings(rate=0.001))
    caplog.set_level("INFO")
    async with far_off(tmp_path, settings=slow) as far:
        one, other = [await far.token(f"root@pam!{name}", may_write=False) for name in ("one", "other")]
        assert (await far.ask("GET", f"{NODE}/network", one))[0] == 200
        async with far.session.get(f"{far.url}{NODE}/network", headers=dict(one)) as answer:
            assert answer.status == 429
            assert 0 < int(answer.headers["Retry-After"]) <= 1000
        assert (await far.ask("GET", f"{NODE}/network", other))[0] == 200
        assert [(await far.ask("GET", f"{NODE}/network"))[0] for _ in range(2)] == [401, 429]
        assert (await far.api.ask("GET", f"{NODE}/network"))[0] == 200
        assert (await far.api.ask("GET", f"{NODE}/network"))[0] == 200, "root at the socket has no limit"
    assert "root@pam!one from 127.0.0.1: GET /api2/json/nodes/localhost/network: 429 too many requests" in caplog.text
