"""Every golden case of guests on the real kernel, and the fake is no kinder."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import pytest

from pvenetd.drivers.fake import Fake
from pvenetd.drivers.files import Files
from pvenetd.drivers.host import Host
from tests.guests import GuestCase, check, parameters
from tests.harness import kinder
from tests.kernel.seen import limits, seen
from tests.netns import Namespaces


def look(besides: Collection[str]) -> object:
    found = seen()
    assert isinstance(found, dict)
    links = {name: link for name, link in found["links"].items() if name not in besides}
    return {**found, "links": links, "limits": {name: limits(name) for name in links}}


@pytest.mark.parametrize("case", parameters(marked=True))
async def test_case(case: GuestCase, tmp_path: Path, namespaces: Namespaces) -> None:
    for link in case.others.values():
        namespaces.cable(link.name)
    fake = Fake(case.others.values())
    with closing(Host(Files(tmp_path))) as host:
        await check(case, host, tmp_path, look=look)
        await check(case, fake, tmp_path / "fake")
        besides = [link.key for link in case.others.values() if link.name.startswith("veth")]
        both = [{key: one for key, one in machine.observe().items() if key not in besides} for machine in (fake, host)]
        assert not kinder(*both), "the fake ends like the kernel"
