"""Server CPU per request for the live state, against a bare ASGI application that sends the same bytes.

Both are served by uvicorn (uvloop, httptools) in a process of their own, and asked by the same client over 16
keep-alive connections, in turn. The figure is the server process's CPU time per request; the ratio is ours divided
by the peer's: 1 would mean that Pylon's gate, negotiation and version check cost nothing.

    python benchmarks/live_state.py [--rounds 9] [--requests 4000]
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import shutil
import socket
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread

import psutil
import uvicorn

from pylon.settings import Settings

CONNECTIONS = 16
CASES = {
    "zstd": b"accept-encoding: gzip, zstd\r\n",
    "identity": b"",
    "304": b"accept-encoding: gzip, zstd\r\nif-none-match: *\r\n",
}


def bare(body: bytes, headers: list[tuple[bytes, bytes]], status: int):
    """Return the least ASGI application that sends these bytes."""

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": message["type"] + ".complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def serve_bare(pipe: Connection, body: bytes, headers: list[tuple[bytes, bytes]], status: int) -> None:
    _run(pipe, bare(body, headers, status))


def serve_pylon(pipe: Connection, home: str) -> None:
    from pylon.interfaces import runtime
    from pylon.interfaces.api_server import create_app

    settings = Settings(home=Path(home), grid="simulated", schedule="off")
    with runtime.opened(settings) as here:
        here.run_pipeline("benchmark")
        _run(pipe, create_app(here))


def _run(pipe: Connection, app) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, access_log=False, log_config=None, server_header=False)
    server = uvicorn.Server(config)
    Thread(target=_stop_when_told, args=(pipe, server), daemon=True).start()
    pipe.send(listener.getsockname()[1])
    server.run(sockets=[listener])


def _stop_when_told(pipe: Connection, server: uvicorn.Server) -> None:
    pipe.recv()
    server.should_exit = True


@contextmanager
def running(target, *words) -> Iterator[tuple[int, psutil.Process]]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *words))
    process.start()
    try:
        yield ours.recv(), psutil.Process(process.pid)
    finally:
        ours.send("stop")
        process.join(20)
        if process.is_alive():
            process.kill()


class Client:
    """Sixteen connections that ask and read, one after the other, so that the server is never idle for long."""

    def __init__(self, port: int, extra: bytes) -> None:
        self.request = b"GET /api/v1/live-state HTTP/1.1\r\nhost: 127.0.0.1\r\n" + extra + b"\r\n"
        self.sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]

    def ask(self, times: int) -> int:
        size = 0
        for i in range(times):
            if i < CONNECTIONS:
                self.sockets[i].sendall(self.request)
        for i in range(times):
            connection = self.sockets[i % CONNECTIONS]
            size = read_answer(connection)
            if i + CONNECTIONS < times:
                connection.sendall(self.request)
        return size

    def close(self) -> None:
        for connection in self.sockets:
            connection.close()


def read_answer(connection: socket.socket) -> int:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(262_144)
    head, _, rest = data.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0
    )
    got = len(rest)
    while got < length:
        got += len(connection.recv(262_144))
    return length


def answer(port: int, extra: bytes) -> tuple[bytes, list[tuple[bytes, bytes]], int]:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = b"GET /api/v1/live-state HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n" + extra + b"\r\n"
        connection.sendall(head)
        data = b""
        while piece := connection.recv(262_144):
            data += piece
    top, _, body = data.partition(b"\r\n\r\n")
    first, *lines = top.split(b"\r\n")
    pairs = [tuple(part.strip() for part in line.split(b":", 1)) for line in lines]
    skip = (b"date", b"connection", b"transfer-encoding")
    return body, [pair for pair in pairs if pair[0].lower() not in skip], int(first.split()[1])


def cpu_us(client: Client, process: psutil.Process, requests: int) -> float:
    before = sum(process.cpu_times()[:2])
    client.ask(requests)
    return (sum(process.cpu_times()[:2]) - before) / requests * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=4000)
    words = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="pylon-bench-"))
    home.chmod(0o755)
    print(f"live-state, server CPU per request, median of {words.rounds} x {words.requests} requests")
    print(f"  on {platform.machine()}, Python {platform.python_version()}, uvicorn {uvicorn.__version__}")
    try:
        with running(serve_pylon, str(home)) as (port, pylon):
            for case, extra in CASES.items():
                body, headers, status = answer(port, extra)
                with running(serve_bare, body, headers, status) as (bare_port, peer):
                    mine, theirs = Client(port, extra), Client(bare_port, extra)
                    mine.ask(500), theirs.ask(500)
                    pairs = [
                        (cpu_us(mine, pylon, words.requests), cpu_us(theirs, peer, words.requests))
                        for _ in range(words.rounds)
                    ]
                    mine.close(), theirs.close()
                a, b = (statistics.median(side) for side in zip(*pairs, strict=True))
                ratio = statistics.median(x / y for x, y in pairs)
                size = len(body)
                print(f"  {case:<9} {size:>8,} B   pylon {a:6.1f} us   bare ASGI {b:6.1f} us   ratio {ratio:5.2f}")
    finally:
        from pylon.store import embedded

        embedded.destroy(home, force=True)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
