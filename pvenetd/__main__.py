"""The daemon: settings, drivers, sources, the API, run.  The only file that imports everything."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path

from pvenetd import __version__, collector
from pvenetd.api import tls
from pvenetd.api.app import serve, serve_network
from pvenetd.api.peer import listening
from pvenetd.api.route import nodes
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.heard import DIRECTORIES
from pvenetd.daemon.runtime import PLACE, SOCKET, Runtime
from pvenetd.daemon.start_settings import usable
from pvenetd.daemon.store import KEPT, WRITTEN, Store
from pvenetd.drivers import certificate, iptables, journald, nft
from pvenetd.drivers.accounts import Accounts
from pvenetd.drivers.conntrack import Tracked
from pvenetd.drivers.files import Files, Journal
from pvenetd.drivers.host import Host
from pvenetd.drivers.leases import LeaseSets
from pvenetd.drivers.neighbours import Neighbours
from pvenetd.drivers.nics import Nics
from pvenetd.drivers.probe import Probes
from pvenetd.drivers.programs import Programs
from pvenetd.drivers.sniffer import Sniffer
from pvenetd.drivers.systemd import Notifier
from pvenetd.drivers.trace import Tracer
from pvenetd.engine import Engine
from pvenetd.errors import PvenetError
from pvenetd.firewall import leases
from pvenetd.firewall.nft_base import Design
from pvenetd.sources.files import Directories, watch_files
from pvenetd.sources.libvirt import Libvirt
from pvenetd.sources.libvirt_hook import is_unknown
from pvenetd.sources.links import watch
from pvenetd.sources.monitors import Monitors
from pvenetd.sources.nflog import WHOLE, Nflog

log = logging.getLogger("pvenetd")

_AGAIN = 30.0
"""Seconds until HTTPS is tried again, where it did not work: another program may have the port."""
_DAY = 86400.0


def main(argv: list[str] | None = None) -> int:
    """Run the daemon until it is told to stop; return its exit status."""
    arguments = parser().parse_args(argv)
    _log()
    collector.tune()
    try:
        asyncio.run(run(arguments.root.resolve()))
    except PvenetError as error:
        print(f"pvenetd: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _log() -> None:
    """Log to the journal where it listens, with fields; else to standard error."""
    if journald.is_journal(os.environ, sys.stderr.fileno()):
        logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[journald.Handler()])
    else:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """Return the reader of the command line; pvenetd(8) is made from it."""
    found = argparse.ArgumentParser(prog="pvenetd", description="The network of a KVM host, over netlink.")
    found.add_argument(
        "--root", type=Path, default=Path(os.environ.get("PVENETD_ROOT") or "/"), help="directory that stands for /"
    )
    found.add_argument("--version", action="version", version=f"pvenetd {__version__}")
    return found


async def run(root: Path) -> None:
    """Serve the host below *root* until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    notifier = Notifier(os.environ)
    async with contextlib.AsyncExitStack() as stack:
        place = root / PLACE / SOCKET
        socket = stack.enter_context(listening(place, notifier.listening()))
        directories = _directories(stack, root)  # before anything is read: what changes meanwhile is told later
        daemon, host = await stack.enter_async_context(running(root))
        serve_at = await stack.enter_async_context(serve(daemon, socket))

        async def serve_again() -> None:
            await serve_at(stack.enter_context(listening(place)))

        tasks = [
            loop.create_task(watch([host.events, host.news], daemon.noticed)),
            loop.create_task(watch([host.rule_events], daemon.restore, gather=0)),
            loop.create_task(notifier.pulse()),
            loop.create_task(collector.tidy()),
            loop.create_task(Runtime(daemon.store.files).keep(serve_again)),
            *(loop.create_task(libvirt.run()) for libvirt in followed(daemon, root)),
            *(loop.create_task(_kept(source)) for source in _sources(daemon, root, directories)),
            *(loop.create_task(_kept(source)) for source in (*_packets(stack, daemon), *_leases(stack, daemon))),
            loop.create_task(_kept(_network(daemon, root))),
            *(loop.create_task(_kept(source)) for source in _buses(daemon, root)),
        ]
        await daemon.boot.settled()
        notifier.ready()
        log.info("serving %s", root)
        await stop.wait()
        notifier.stopping()
        await daemon.engine.settled()
        if daemon.engine.pending:
            log.warning("stopping with an apply that was not confirmed: rolling back")
            try:
                await daemon.interfaces.roll_back()
            except PvenetError:
                log.exception("rollback failed: the next start tries again")
        if daemon.trial.pending:
            log.warning("stopping with rules that were not confirmed: those before count again")
            await daemon.trial.roll_back()
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def followed(daemon: Daemon, root: Path) -> Iterator[Libvirt]:
    """Yield the hypervisor that is followed, if one is."""
    uri = daemon.settings.libvirt.uri
    if uri is None:
        uri = "qemu:///system" if root == Path("/") else ""
    if uri:
        libvirt = daemon.domains.hypervisor = Libvirt(uri, daemon.domains)
        daemon.domains.hook_is_unknown = lambda heard: is_unknown(root, heard)
        yield libvirt


def _directories(stack: contextlib.AsyncExitStack, root: Path) -> Directories | None:
    """Return what tells of changes in the guests' and the firewall's files, None where the kernel has no more of it."""
    try:
        return stack.enter_context(contextlib.closing(Directories(root / name for name in DIRECTORIES)))
    except OSError as error:
        log.warning("changed files of guests are not noticed, but by pvenetctl reconcile: %s", error)
        return None


def _sources(daemon: Daemon, root: Path, directories: Directories | None) -> Iterator[Awaitable[object]]:
    """Yield what waits for changes that are not the kernel's."""
    if directories:
        yield watch_files(directories, daemon.heard.files)
    if daemon.settings.qmp:
        monitors = Monitors(root / daemon.settings.qmp.lstrip("/"), daemon.heard)
        daemon.guests.brought = monitors.refresh
        yield monitors.run()


def _packets(stack: contextlib.AsyncExitStack, daemon: Daemon) -> Iterator[Awaitable[object]]:
    """Yield what takes the packets that the firewall logs."""
    try:
        nflog = stack.enter_context(contextlib.closing(Nflog()))
    except OSError as error:
        daemon.packets.obstacle = error.strerror or str(error)
        log.warning("packets that rules log are not told of: %s", daemon.packets.obstacle)
        return

    async def take() -> None:
        packets, lost = nflog.packets()
        daemon.packets.take(packets, lost=lost)

    yield watch([nflog.fileno()], take)


async def _network(daemon: Daemon, root: Path) -> None:
    """Serve the API by HTTPS, where the settings say so; what keeps it from that is told, and tried again."""
    while daemon.settings.api.listen:
        try:
            await _served(daemon, root)
        except (PvenetError, OSError) as error:
            text = f"the API is not served by HTTPS: {error}"
            if daemon.engine.failed.get("api") != text:
                log.error("%s", text)  # noqa: TRY400
            daemon.engine.failed["api"] = text
        await asyncio.sleep(_AGAIN)


async def _served(daemon: Daemon, root: Path) -> None:
    """Serve the API by HTTPS.  Raises `PvenetError`, OSError."""
    wanted, own = daemon.settings.api, None
    if wanted.certificate is None:
        names = [nodes()[0], "localhost", *(str(one) for one in wanted.listen if not one.is_unspecified)]
        own = functools.partial(certificate.ensure, Files(root), Programs(root), [*names, "127.0.0.1", "::1"])
        file, key = await asyncio.to_thread(own), None
    else:
        file = root / wanted.certificate.lstrip("/")
        key = root / wanted.key.lstrip("/") if wanted.key else None
    context = tls.Certificate(file, key).context
    async with serve_network(daemon, tls.listening(wanted.listen, wanted.port), context):
        daemon.engine.failed.pop("api", None)
        log.info("serving https, port %d at %s", wanted.port, ", ".join(map(str, wanted.listen)))
        while True:
            await asyncio.sleep(_DAY)
            if own:
                await asyncio.to_thread(own)  # which makes it anew in time; the listener sees that


def _buses(daemon: Daemon, root: Path) -> Iterator[Awaitable[object]]:
    """Yield what is there to be asked by D-Bus, where it is to be and can be."""
    address = daemon.settings.dbus.address
    if address == "" or (address is None and root != Path("/")):
        return
    try:
        from pvenetd.bus.connection import serve as attend_to
        from pvenetd.bus.service import Service
    except ImportError as error:
        log.info("nobody can ask by D-Bus: %s (python3-dbus-fast)", error)
        return
    yield attend_to(address or "", Service(daemon).attend)


def _leases(stack: contextlib.AsyncExitStack, daemon: Daemon) -> Iterator[Awaitable[object]]:
    """Yield what takes copies of what DHCP servers say to guests."""
    try:
        nflog = stack.enter_context(contextlib.closing(Nflog(leases.GROUP, WHOLE, at_once=True)))
    except OSError as error:
        daemon.leases.obstacle = error.strerror or str(error)
        log.warning("what guests are leased is not told of: %s", daemon.leases.obstacle)
        return

    async def take() -> None:
        packets, lost = nflog.packets()
        await daemon.leases.take(packets, lost=lost)

    yield watch([nflog.fileno()], take, gather=0)


async def _kept(source: Awaitable[object]) -> None:
    """Wait for what ends with the daemon; that it ended before is told."""
    try:
        await source
    except Exception:
        log.exception("a source of events has ended: a restart brings it back")


@contextlib.asynccontextmanager
async def running(root: Path) -> AsyncIterator[tuple[Daemon, Host]]:
    """Yield the daemon of the host below *root*, started, and its machine."""
    files = Files(root)
    for directory in WRITTEN:
        files.sweep(directory)
    broken = _set_aside(files)
    journal = Journal(files)
    store = Store(files)
    config, wrong = usable(store)
    host = Host(files, config.dhcp.client, config.firewall.backend)
    engine = Engine(host, journal, Probes())
    try:
        design: Design = "iptables" if config.firewall.backend == "iptables" else nft.probe()
        obstacle = nft.obstacle(design) or (iptables.obstacle() if design == "iptables" else "")
        daemon = Daemon(store, engine, journal, config, design, obstacle)
        for what, text in {"settings": wrong, "records": broken}.items():
            if text:
                engine.failed[what] = text
                log.error("%s", text)
        if daemon.obstacle:
            log.warning("guests cannot be filtered: %s", daemon.obstacle)
        daemon.guard.tells_bridge = nft.tells_bridge()
        daemon.trace.start = Tracer
        daemon.captures.start = Sniffer
        daemon.access.accounts = Accounts(root, Programs(root))
        daemon.cut.source = Tracked()
        daemon.leases.kernel = LeaseSets()
        daemon.interfaces.way = host.way
        daemon.interfaces.nics.source = Nics()
        daemon.neighbours.source = Neighbours()
        try:
            await daemon.start()
            await _left(engine.work(host.leave_iptables))
            yield daemon, host
        finally:
            daemon.close()
            await daemon.firewall.files.flush()
    finally:
        engine.close()
        host.close()


def _set_aside(files: Files) -> str:
    """Have no record of our own keep the daemon from starting; return what is to be told of those that are broken."""
    try:
        broken = [name for directory in KEPT for name in files.set_aside(directory)]
    except OSError as error:
        return f"broken records of pvenetd's own cannot be set aside: {error}"
    return f"not readable, set aside as ….broken: {', '.join(f'/{name}' for name in broken)}" if broken else ""


async def _left(leaving: Awaitable[None]) -> None:
    """Wait until another backend's rules are gone; while they are there they let nothing more through."""
    try:
        await leaving
    except PvenetError as error:
        log.warning("%s", error)


if __name__ == "__main__":
    sys.exit(main())
