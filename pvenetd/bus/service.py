"""The object ``/org/pvenetd1``: calls in, answers, properties and signals out.

A call is a request of the API under another name: it is validated, and refused, alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from pvenetd.api.errors import ForbiddenError
from pvenetd.api.route import PREFIX, Caller, answer
from pvenetd.api.routes import ROUTES
from pvenetd.bus import connection, polkit
from pvenetd.bus.news import CHANGES, signals
from pvenetd.bus.table import METHODS, NAME, PATH, PROPERTIES, SIGNALS, Method, introspection
from pvenetd.daemon.daemon import Daemon
from pvenetd.errors import EditError, PvenetError

log = logging.getLogger("pvenetd.bus")

_OURS = f"{PREFIX}/nodes/localhost/pvenetd"
_STANDARD = "org.freedesktop.DBus"
_GATHER = 0.1
"""Seconds in which what happens gathers into one signal."""
_IDLE = 3600.0
"""Seconds; that nothing happened for so long makes no difference."""


class Service:
    """What the daemon is on the bus."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._running: set[asyncio.Task[None]] = set()

    async def attend(self, bus: MessageBus) -> None:
        """Answer calls on *bus*, and tell of what happens; it ends with the bus, or is cancelled."""
        bus.add_message_handler(lambda message: self._heard(bus, message))
        try:
            await connection.own(bus)
            await self._tell(bus)
        finally:
            for task in self._running:
                task.cancel()

    def _heard(self, bus: MessageBus, message: Message) -> bool:
        """Return whether *message* is a call for us, which is answered in its time."""
        if message.message_type is not MessageType.METHOD_CALL or not self._is_ours(message):
            return False
        task = asyncio.ensure_future(self._answered(bus, message))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return True

    @staticmethod
    def _is_ours(message: Message) -> bool:
        if message.interface == f"{_STANDARD}.Introspectable":
            return introspection(message.path or "") is not None
        return message.path == PATH and message.interface in (NAME, f"{_STANDARD}.Properties", None)

    async def _answered(self, bus: MessageBus, message: Message) -> None:
        try:
            reply = Message.new_method_return(message, *await self._answer(bus, message))
        except PvenetError as error:
            reply = Message.new_error(message, _error_name(error), _in_full(error))
        except Exception:
            log.exception("%s: a bug", message.member)
            reply = Message.new_error(message, f"{_STANDARD}.Error.Failed", "a bug: the journal has the traceback")
        with contextlib.suppress(*connection.OBSTACLES):  # who asked has no bus any more
            await bus.send(reply)

    async def _answer(self, bus: MessageBus, message: Message) -> tuple[str, list[Any]]:
        """Return signature and body of the answer.  Raises `PvenetError`."""
        match message.interface, message.member:
            case (iface, "Introspect") if iface == f"{_STANDARD}.Introspectable":
                return "s", [introspection(message.path or "")]
            case (iface, member) if iface == f"{_STANDARD}.Properties":
                return await self._property(str(member), message)
            case _, member if member in METHODS:
                return await self._method(bus, METHODS[member], message)
        raise NoSuchError("UnknownMethod", f"{message.member}: no such method")

    async def _method(self, bus: MessageBus, method: Method, message: Message) -> tuple[str, list[Any]]:
        if message.signature != method.signature:
            raise NoSuchError("InvalidArgs", f"{method.name} takes {method.signature!r}, not {message.signature!r}")
        given = dict(zip((one.name for one in method.given), message.body, strict=True))
        who = await polkit.require(bus, message, method.action)
        try:
            body = await _CALLS[method.name](self._ask(who), given)
        except PvenetError as error:
            log.info("%s by D-Bus: %s %s: %s", who, method.name, given, str(error).partition("\n")[0])
            raise
        log.info("%s by D-Bus: %s %s: done", who, method.name, given)
        return method.answer, body

    def _ask(self, who: str) -> Ask:
        async def ask(path: str, given: Mapping[str, Any]) -> dict[str, Any]:
            found = await answer(self._daemon, ROUTES, Caller(who, may_write=True), "POST", f"{_OURS}/{path}", given)
            return dict(found["data"])

        return ask

    async def _property(self, member: str, message: Message) -> tuple[str, list[Any]]:
        match member, message.signature, message.body:
            case "GetAll", "s", [iface]:
                return "a{sv}", [await self._properties() if iface in (NAME, "") else {}]
            case "Get", "ss", [iface, name] if iface in (NAME, "") and name in PROPERTIES:
                return "v", [(await self._properties())[name]]
            case "Set", "ssv", [iface, name, _] if name in PROPERTIES:
                raise NoSuchError("PropertyReadOnly", f"{name} can only be read")
        raise NoSuchError("UnknownProperty", f"{message.body}: no such property")

    async def _properties(self) -> dict[str, Variant]:
        status = await self._daemon.status()
        interfaces, firewall = status["interfaces"], status["firewall"]
        values = {
            "Version": status["version"],
            "Mode": interfaces["mode"],
            "State": interfaces["state"],
            "Staged": bool(interfaces["staged"]),
            "Pending": interfaces.get("confirm", firewall.get("confirm", {})).get("id", ""),
            "Guests": sorted(guest["vmid"] for guest in status["guests"]),
            "Firewall": bool(firewall["enabled"]),
            "FirewallDrift": firewall["drift"],
            "FirewallLacks": [f"{one['means']} ({one['needs']})" for one in firewall["lacks"]],
            "Failed": sorted(status["errors"]),
        }
        return {name: Variant(one.type, values[name]) for name, one in PROPERTIES.items()}

    async def _tell(self, bus: MessageBus) -> None:
        """Tell of everything that happens from now on; who is too slow for it is the bus's to see to."""
        feed = self._daemon.events
        seen = max((event["id"] for event in feed), default=0)
        while True:
            await feed.after(seen, _IDLE)
            await asyncio.sleep(_GATHER)
            events = feed.since(seen)
            seen = max((event["id"] for event in events), default=seen)
            changed: dict[str, None] = {}
            for name, body in signals(events):
                signature = "".join(one.type for one in SIGNALS[name].given)
                await bus.send(Message.new_signal(PATH, NAME, name, signature, body))
                changed |= dict.fromkeys(CHANGES[name])
            if changed:
                invalidated = [NAME, {}, list(changed)]
                properties = f"{_STANDARD}.Properties"
                await bus.send(Message.new_signal(PATH, properties, "PropertiesChanged", "sa{sv}as", invalidated))


class NoSuchError(PvenetError):
    """A call that D-Bus itself has an error for."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = f"{_STANDARD}.Error.{name}"


def _error_name(error: PvenetError) -> str:
    if isinstance(error, NoSuchError):
        return error.name
    if isinstance(error, ForbiddenError):
        return f"{_STANDARD}.Error.AccessDenied"
    return f"{NAME}.Error.{type(error).__name__.removesuffix('Error')}"


def _in_full(error: PvenetError) -> str:
    lines = [str(error)]
    if isinstance(error, EditError):
        lines += [f"{field}: {text}" for field, text in error.errors.items()]
    return "\n".join([*lines, error.outcome] if error.outcome else lines)


Ask = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]]


async def _apply(ask: Ask, given: Mapping[str, Any]) -> list[Any]:
    done = await ask("apply", {"confirm": given["confirm"]} if given["confirm"] else {})
    return [[op["op"] for op in done["ops"]], done["outcome"], done.get("id", "")]


async def _confirm(ask: Ask, given: Mapping[str, Any]) -> list[Any]:
    done = await ask("confirm", given if given["id"] else {})
    return [done["outcome"], done["id"]]


async def _rollback(ask: Ask, _: Mapping[str, Any]) -> list[Any]:
    return [(await ask("rollback", {}))["outcome"]]


def _nic(what: str) -> Callable[[Ask, Mapping[str, Any]], Awaitable[list[Any]]]:
    async def call(ask: Ask, given: Mapping[str, Any]) -> list[Any]:
        done = await ask(f"vms/{given['vmid']}/{what}", {"nic": given["nic"]} if given["nic"] else {})
        return [[op["op"] for op in done["ops"]]]

    return call


_CALLS: dict[str, Callable[[Ask, Mapping[str, Any]], Awaitable[list[Any]]]] = {
    "Apply": _apply,
    "Confirm": _confirm,
    "Rollback": _rollback,
    "PlugNic": _nic("plug"),
    "UnplugNic": _nic("unplug"),
}
