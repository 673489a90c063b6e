"""TLS in front of a server without it: the embedded Postgres and Valkey are built without TLS."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import trustme

_POSTGRES_ASKS = (8).to_bytes(4) + (80877103).to_bytes(4)  # its clients ask in plain text for TLS


@contextlib.contextmanager
def tls_proxy(port: int, certificate: trustme.LeafCert, *, asks_first: bool) -> Iterator[int]:
    """Terminates TLS and passes the traffic on; yields the port to connect to."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    ready: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        end = asyncio.Event()
        gate = _Gate(port, context, asks_first)
        async with await asyncio.start_server(gate, "127.0.0.1", 0) as server:
            ready.set_result((server.sockets[0].getsockname()[1], asyncio.get_running_loop(), end))
            await end.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    own_port, loop, end = ready.result(10)
    try:
        yield own_port
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()


class _Gate:
    def __init__(self, port: int, context: ssl.SSLContext, asks_first: bool) -> None:
        self._port, self._context, self._asks_first = port, context, asks_first

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):  # a distrustful client hangs up
            if self._asks_first:
                assert await reader.readexactly(8) == _POSTGRES_ASKS
                writer.write(b"S")
            await writer.start_tls(self._context)
            there, back = await asyncio.open_connection("127.0.0.1", self._port)
            with contextlib.closing(back):
                await asyncio.wait(
                    [asyncio.create_task(_pass_on(*way)) for way in ((reader, back), (there, writer))],
                    return_when=asyncio.FIRST_COMPLETED,
                )


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
