"""Serving: one uvicorn process on a loopback address, until it is told to stop."""

from __future__ import annotations

import errno
import gc
import logging
import socket
import threading
from collections.abc import Callable

import uvicorn

from pylon.errors import Conflict, Forbidden, Invalid
from pylon.interfaces.api_server import LOOPBACK_HOSTS, create_app
from pylon.interfaces.gate import is_loopback
from pylon.interfaces.runtime import Runtime
from pylon.settings import Settings

__all__ = ["bound", "check_address", "configure_logging", "serve", "warm_up"]

_SHUTDOWN_S = 5


def check_address(settings: Settings) -> None:
    """Refuse, before anything is started, an address the API may not listen on.

    Raises `Forbidden` for any address that other machines could reach.
    """
    if not is_loopback(settings.host):
        raise Forbidden(
            f"PYLON_HOST={settings.host} can be reached by other machines, and Pylon does not yet ask who calls. "
            "Valid: 127.0.0.1, ::1 or localhost. To reach it from elsewhere, use an SSH tunnel."
        )


def bound(settings: Settings) -> socket.socket:
    """Return a socket bound to the address of these settings; port 0 takes any free one.

    Raises `Forbidden` for a public address and `Conflict` when the port is taken.
    """
    check_address(settings)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Conflict(
                f"Port {settings.port} of {settings.host} is not free. Stop what uses it, or choose another with "
                "PYLON_PORT (0 takes any)."
            ) from None
        raise Invalid(f"PYLON_HOST={settings.host} cannot be listened on: {error.strerror}.") from None
    return listener


def serve(runtime: Runtime, listener: socket.socket, on_ready: Callable[[str], None]) -> None:
    """Serve the API on `listener` until SIGINT or SIGTERM; `on_ready` is called with its address.

    Ends by `KeyboardInterrupt`, as uvicorn does after an orderly end.
    """
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    config = uvicorn.Config(
        create_app(runtime, hosts=(*LOOPBACK_HOSTS, runtime.settings.host)),
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
        lifespan="on",
    )
    server = _Server(config, lambda: on_ready(address))
    server.run(sockets=[listener])


def warm_up() -> None:
    """Have the planner's machine code made, or loaded, while everything else starts.

    What is in memory then stays: looking through all of it for garbage would hold up an answer for 100 ms.
    """

    def work() -> None:
        from pylon.planning import arrival  # half a second to import

        arrival.warm()
        gc.collect()
        gc.freeze()

    threading.Thread(target=work, name="warm-up", daemon=True).start()


def configure_logging() -> None:
    """Send Pylon's and uvicorn's own messages to standard error, a line each."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    logging.getLogger("pylon").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


class _Server(uvicorn.Server):
    """Says when it is ready; uvicorn itself only logs it."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._on_ready()
