"""Tickets, tokens and failed logins, as values: nothing is asked of anybody, and time is told."""

from __future__ import annotations

import dataclasses

import pytest

from pvenetd.access.attempts import FORGOTTEN, FREE, LONGEST_ADDRESS, LONGEST_USER, Attempts
from pvenetd.access.names import is_token, is_user
from pvenetd.access.tickets import LIFETIME, SKEW, Tickets
from pvenetd.access.tokens import Token, given, made, of_json, to_json

KEY = bytes(range(32))
NOW = 1_750_000_000.0
HERE, THERE = "192.0.2.1", "198.51.100.7"


@pytest.mark.parametrize(
    ("after", "user"),
    [(0, "root@pam"), (LIFETIME - 1, "root@pam"), (LIFETIME, None), (-SKEW, "root@pam"), (-SKEW - 1, None)],
)
def test_a_ticket_holds_for_two_hours(after: float, user: str | None) -> None:
    ticket = Tickets(KEY).issue("root@pam", NOW)
    assert ticket.startswith("PVE:root@pam:684EE180::")
    assert Tickets(KEY).user(ticket, NOW + after) == user


def test_every_character_of_a_ticket_counts() -> None:
    tickets = Tickets(KEY)
    ticket = tickets.issue("root@pam", NOW)
    for at, char in enumerate(ticket):
        for other in "A0:":
            altered = ticket[:at] + other + ticket[at + 1 :]
            assert char == other or at == len(ticket) - 1 or tickets.user(altered, NOW) is None, altered
    for odd in ("", "PVE:", ticket[:-1], f"{ticket}A", f" {ticket}", f"{ticket}\n", ticket.replace("::", ":")):
        assert tickets.user(odd, NOW) is None
    assert Tickets(KEY[::-1]).user(ticket, NOW) is None


def test_a_guard_goes_with_its_ticket_alone() -> None:
    tickets = Tickets(KEY)
    mine, other = tickets.issue("root@pam", NOW), tickets.issue("alice@pam", NOW)
    assert tickets.guards(mine, tickets.guard(mine))
    assert not tickets.guards(mine, tickets.guard(other))
    assert not tickets.guards(mine, "")
    assert not tickets.guards(mine, "é")
    assert tickets.user(tickets.guard(mine), NOW) is None


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("root@pam", True),
        ("a.b-c_d@pam", True),
        ("root", False),
        ("root@pve", False),
        ("@pam", False),
        ("-x@pam", False),
        ("a b@pam", False),
        ("root@pam!x", False),
        ("root@pam\n", False),
        ("../x@pam", False),
    ],
)
def test_names_of_users(name: str, is_one: bool) -> None:
    assert is_user(name) == is_one


@pytest.mark.parametrize(("name", "is_one"), [("ansible", True), ("a.b-1", True), ("1a", False), ("a!b", False)])
def test_names_of_tokens(name: str, is_one: bool) -> None:
    assert is_token(name) == is_one


def test_a_token_is_kept_without_its_secret() -> None:
    token, secret = made(Token("root@pam!ansible", "", True, 0, "for the playbooks"))
    assert (token.opens(secret), token.opens(secret.upper()), token.opens(secret[::-1])) == (True, True, False)
    written = to_json({token.name: token})
    assert secret not in str(written)
    assert of_json(written) == {token.name: token}
    assert (token.user, token.id) == ("root@pam", "ansible")
    assert made(token)[1] != secret
    assert not dataclasses.replace(token, name="root@pam!other").opens(secret)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("PVEAPIToken=root@pam!a=00000000-0000-4000-8000-000000000000", True),
        ("PVEAPIToken root@pam!a=00000000-0000-4000-8000-000000000000", False),
        ("PVEAPIToken=root@pam=00000000-0000-4000-8000-000000000000", False),
        ("PVEAPIToken=root@pam!a=0000", False),
        ("Bearer x", False),
        ("", False),
    ],
)
def test_the_header_of_a_token(header: str, found: bool) -> None:
    assert (given(header) is not None) == found


@pytest.mark.parametrize(("expire", "now", "has"), [(0, NOW, False), (1, NOW, True), (int(NOW) + 1, NOW, False)])
def test_a_token_ends_when_it_says(expire: int, now: float, has: bool) -> None:
    assert Token("root@pam!a", "", expire=expire).has_expired(now) == has


def wrong(attempts: Attempts, times: int, user: str = "root@pam", address: str = HERE, now: float = NOW) -> None:
    for _ in range(times):
        attempts.begin(user, address, now)


def test_a_few_wrong_passwords_are_free_and_each_one_more_doubles_the_wait() -> None:
    attempts = Attempts()
    waits = []
    for _ in range(FREE + 4):
        wrong(attempts, 1)
        waits.append(attempts.wait("root@pam", HERE, NOW))
    assert waits == [0.0] * (FREE - 1) + [1.0, 2.0, 4.0, 8.0, 16.0]
    assert attempts.wait("root@pam", HERE, NOW + 10) == 6.0
    assert attempts.wait("root@pam", HERE, NOW + 16) == 0.0
    assert attempts.wait("root@pam", HERE, NOW + FORGOTTEN + 1) == 0.0


def test_an_address_waits_longer_than_a_user_whom_others_try_to_be() -> None:
    attempts = Attempts()
    wrong(attempts, 100)
    assert attempts.wait("root@pam", HERE, NOW) == LONGEST_ADDRESS
    assert attempts.wait("root@pam", THERE, NOW) == LONGEST_USER
    assert attempts.wait("alice@pam", HERE, NOW) == LONGEST_ADDRESS
    assert attempts.wait("alice@pam", THERE, NOW) == 0.0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_a_network_of_ipv6_is_one_sender(one: str, other: str, same: bool) -> None:
    attempts = Attempts()
    wrong(attempts, FREE, address=one)
    assert (attempts.wait("alice@pam", other, NOW) > 0) == same


def test_who_knows_the_password_begins_anew() -> None:
    attempts = Attempts()
    wrong(attempts, FREE)
    attempts.succeed("root@pam", HERE)
    assert attempts.wait("root@pam", HERE, NOW) == 0.0


def test_what_is_remembered_has_a_bound() -> None:
    attempts = Attempts()
    for number in range(20_000):
        attempts.begin("root@pam", f"198.51.{number >> 8 & 255}.{number & 255}", NOW)
    assert len(attempts._counts) <= 10_000
