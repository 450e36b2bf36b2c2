"""Who sends a request over the network, by its headers: a token, or a ticket as a cookie (RFC 9110, RFC 6265)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import unquote

from pvenetd.access.tokens import given
from pvenetd.api.route import Caller
from pvenetd.daemon.access import Access, Who
from pvenetd.errors import NotKnown
from pvenetd.management import Session

log = logging.getLogger("pvenetd.access")

COOKIE = "PVEAuthCookie"
GUARD = "CSRFPreventionToken"
"""The header that a request with a cookie has to carry, so that no other page can have a browser send it."""
_READS = ("GET", "HEAD")


async def caller(access: Access, method: str, headers: Mapping[str, str], session: Session) -> Caller:
    """Return who asks; who is not known has the reason in `Caller.refusal`."""
    where, far = session.peer, None if ip_address(session.peer).is_loopback else session
    try:
        who = await _who(access, method, headers)
    except NotKnown as error:
        return Caller("nobody", may_write=False, where=where, refusal=str(error))
    return Caller(who.name, who.may_write, where, far)


async def _who(access: Access, method: str, headers: Mapping[str, str]) -> Who:
    if header := headers.get("Authorization"):
        if not (token := given(header)):
            raise NotKnown("Authorization should be PVEAPIToken=USER@REALM!ID=SECRET")
        return await access.by_token(*token)
    ticket = _cookie(headers.get("Cookie", ""))
    if not ticket:
        raise NotKnown("no ticket and no token: POST username and password to /api2/json/access/ticket")
    who = await access.by_ticket(ticket)
    if method not in _READS and not access.guards(ticket, headers.get(GUARD, "")):
        raise NotKnown(f"permission denied: the header {GUARD} does not go with the ticket")
    return who


def _cookie(header: str) -> str:
    """Return the ticket in a header Cookie; browsers' pages write it percent-encoded."""
    for pair in header.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return unquote(value.strip('"'))
    return ""
