"""The HTTP server: a listening socket, and uvicorn with a graceful shutdown for streams."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import uvicorn
from starlette.applications import Starlette

from app.cli.connections import ConnectionLimits, Connections
from app.cli.errors import CommandError
from app.cli.http_protocol import HttpProtocol
from app.config import Settings
from app.services.streams.runner import StreamRunner

log = logging.getLogger(__name__)

# Seconds that slow viewers have to read the rest of a stream once all turns have ended.
SLOW_VIEWER_TIMEOUT = 10
# Connections at the port for operations.
OPERATIONS_CONNECTIONS = 100


@contextmanager
def bind(host: str, port: int) -> Iterator[socket.socket]:
    """Bind a socket that does not listen yet, closed when the block ends. Raises CommandError.

    It listens once the server can answer; until then a load balancer tries the next worker.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise _cannot_listen(f"{host}:{port}", error) from None
        yield listener


def drop_stalled_connections(listener: socket.socket, seconds: float) -> None:
    """Make the kernel drop a connection whose peer acknowledges nothing for this many seconds.

    Accepted connections inherit the option. The service cancels a send that takes too long, but
    only the kernel can discard the unsent data of a closed connection, or detect early that a peer
    has vanished. Has an effect for TCP on Linux only.
    """
    if listener.family in (socket.AF_INET, socket.AF_INET6) and hasattr(socket, "TCP_USER_TIMEOUT"):
        milliseconds = max(1, round(seconds * 1_000))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def server_config(
    app: Starlette, settings: Settings, limits: ConnectionLimits | None = None
) -> uvicorn.Config:
    """Return uvicorn's configuration; `limits` default to those of the settings."""
    trusted = settings.trusted_networks
    limits = limits or ConnectionLimits.of_process(
        settings.max_connections, settings.max_connections_per_address, trusted
    )
    return uvicorn.Config(
        app,
        # A proxy has removed it from the paths.
        root_path=settings.root_path,
        http=partial(HttpProtocol, connections=Connections(limits)),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted),
        forwarded_allow_ips=[str(network) for network in trusted],
        timeout_graceful_shutdown=SLOW_VIEWER_TIMEOUT,
    )


class Server(uvicorn.Server):
    """Serves an application, and on SIGINT or SIGTERM lets running answers finish.

    Meanwhile it accepts connections, so that clients are told immediately to use another worker. A
    second signal ends all streams. `serve` returns after a signal instead of raising it again as
    uvicorn does, so that the embedded servers are stopped too.
    """

    def __init__(
        self,
        app: Starlette,
        settings: Settings,
        on_started: Callable[[], None],
        operations: tuple[Starlette, socket.socket] | None = None,
    ) -> None:
        """Serve `app`, and in the same process an application for operators at its own socket."""
        super().__init__(server_config(app, settings))
        self._app = app
        self._settings = settings
        self._on_started = on_started
        self._operations = operations
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then call `on_started`. Raises CommandError."""
        try:
            await super().startup(sockets)
            if self._operations and not self.should_exit:
                await self._serve_operations(*self._operations)
        except OSError as error:
            # Another process has bound the same port since (SO_REUSEADDR) and listens already.
            await self.lifespan.shutdown()
            raise _cannot_listen("this address", error) from None
        if not self.should_exit:
            self._on_started()

    async def _serve_operations(self, app: Starlette, listener: socket.socket) -> None:
        """Serve with the state of the main application, whose full port is no obstacle."""
        config = server_config(
            app, self._settings, ConnectionLimits.of_process(OPERATIONS_CONNECTIONS, 0)
        )
        config.load()

        def protocol() -> asyncio.Protocol:
            return config.http_protocol_class(
                config=config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            )  # type: ignore[call-arg]

        loop = asyncio.get_running_loop()
        self.servers.append(await loop.create_server(protocol, sock=listener))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM within the block."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._shut_down)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _shut_down(self) -> None:
        runner: StreamRunner | None = getattr(self._app.state, "runner", None)
        if runner is None:
            # The application has not started yet.
            self.should_exit = True
        elif self._draining is None:
            runner.draining.set()
            if runner.running:
                log.info(
                    "shutting down: waiting for running answers (%d); send the signal again to stop"
                    " them now",
                    runner.running,
                )
            self._draining = asyncio.create_task(self._drain(runner))
        else:
            runner.shutdown_now()
            self.should_exit = True

    async def _drain(self, runner: StreamRunner) -> None:
        await runner.drained.wait()
        self.should_exit = True


def _cannot_listen(address: str, error: OSError) -> CommandError:
    reason = (error.strerror or str(error)).lower()
    return CommandError(
        f"cannot listen on {address}: {reason}; set HOST, PORT or OPS_PORT to another"
    )
