"""Who may: polkit decides; where it is not there, root alone may (org.freedesktop.PolicyKit1.Authority)."""

from __future__ import annotations

from dbus_fast import Message, MessageFlag, Variant
from dbus_fast.aio import MessageBus

from pvenetd.api.errors import ForbiddenError
from pvenetd.api.peer import user_name
from pvenetd.bus.connection import CallError, call
from pvenetd.bus.table import NAME

_INTERACTIVE = 1
"""CheckAuthorizationFlags: whoever sits at the caller's session may be asked for a password."""
_NO_POLKIT = frozenset(
    f"org.freedesktop.DBus.Error.{name}" for name in ("ServiceUnknown", "NameHasNoOwner", "Spawn.ServiceNotFound")
)


async def require(bus: MessageBus, asked: Message, action: str) -> str:
    """Return who has *asked*, ``root``.  Raises `ForbiddenError` where he may not do *action*."""
    try:
        (uid,) = await call(bus, _to_bus("GetConnectionUnixUser", asked.sender or ""))
    except CallError as error:
        raise ForbiddenError(f"the bus cannot tell who asks: {error}") from error
    if not await _is_allowed(bus, asked, f"{NAME}.{action}", uid):
        raise ForbiddenError(f"uid {uid} may not {action}: polkit refuses {NAME}.{action}")
    return user_name(uid)


async def _is_allowed(bus: MessageBus, asked: Message, action: str, uid: int) -> bool:
    flags = _INTERACTIVE if asked.flags & MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION else 0
    subject = ["system-bus-name", {"name": Variant("s", asked.sender or "")}]
    try:
        ((allowed, *_),) = await call(bus, _to_polkit([subject, action, {}, flags, ""]))
    except CallError as error:
        if error.name in _NO_POLKIT:
            return uid == 0
        raise ForbiddenError(f"polkit was asked, and did not answer: {error}") from error
    return bool(allowed)


def _to_polkit(body: list[object]) -> Message:
    return Message(
        destination="org.freedesktop.PolicyKit1",
        path="/org/freedesktop/PolicyKit1/Authority",
        interface="org.freedesktop.PolicyKit1.Authority",
        member="CheckAuthorization",
        signature="(sa{sv})sa{ss}us",
        body=body,
    )


def _to_bus(member: str, name: str) -> Message:
    return Message(
        destination="org.freedesktop.DBus",
        path="/org/freedesktop/DBus",
        interface="org.freedesktop.DBus",
        member=member,
        signature="s",
        body=[name],
    )
