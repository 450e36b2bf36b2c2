"""TCP → the daemon's UNIX socket, for clients that know no such sockets: a process of its own, which is given both.

python -m tests.fuzz.relay PORT SOCKET
"""

from __future__ import annotations

import asyncio
import contextlib
import sys


async def relay(port: int, path: str) -> None:
    """Carry every connection to 127.0.0.1:*port* to the socket at *path*, until it is ended."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_unix_connection(path)
        await asyncio.gather(_pump(reader, ours), _pump(theirs, writer))

    server = await asyncio.start_server(carry, "127.0.0.1", port)
    print("listening", flush=True)
    await server.serve_forever()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(relay(int(sys.argv[1]), sys.argv[2]))
