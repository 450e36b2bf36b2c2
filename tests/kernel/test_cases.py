"""Every golden case on the real kernel: the same five ways, and the fake is no kinder."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from pvenetd.drivers.fake import Fake
from pvenetd.drivers.files import Files
from pvenetd.drivers.host import Host
from pvenetd.plan import Op, plan
from pvenetd.state import Client
from tests.harness import Case, check, kinder, parameters
from tests.kernel.seen import seen
from tests.netns import Namespaces


@pytest.mark.parametrize("case", parameters(marked=True))
async def test_case(case: Case, tmp_path: Path, namespaces: Namespaces) -> None:
    for nic in case.nics:
        namespaces.cable(nic)
    fake = Fake(case.state.values(), [key[1] for key in case.desired if key[0] == "sysctl"])
    with closing(Host(Files(tmp_path))) as host:
        for op in plan(case.state, host.observe(case.state.keys())):
            host.apply(op)
        try:
            asked = case.desired.keys() | case.state.keys()
            assert not kinder(fake.observe(asked), host.observe(asked)), "the fake starts like the kernel"
            await check(case, host, tmp_path, look=seen)
            await check(case, fake, tmp_path / "fake")
            assert not kinder(fake.observe(asked), host.observe(asked)), "the fake ends like the kernel"
        finally:
            for client in [one for one in host.observe().values() if isinstance(one, Client)]:
                host.apply(Op("-", client))
