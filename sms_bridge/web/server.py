"""uvicorn in the bridge's own loop: listens, watches over slow clients, ends in order."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from sms_bridge.core.errors import CoreError

log = logging.getLogger(__name__)

KEEP_ALIVE = 20  # s that a connection may be idle between two requests
HEAD_DEADLINE = 30.0  # s for a request's head, idle time included: more than `KEEP_ALIVE`
STALL_DEADLINE = 30.0  # s in which a client takes nothing of what was written to it
CLOSE_DEADLINE = 5.0  # s for what is left to write on a connection that is being closed
LOOK = 2.5  # s between two looks at the connections
MOST = 300  # connections; each costs a file descriptor and some memory
BACKLOG = 128
CERTIFICATE_LOOK = 60.0  # s between two looks at whether it was renewed
STOP_DEADLINE = 5  # s for requests under way at the end
MAX_HEAD = 32 * 1024  # bytes
HEADERS = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]


class ListenError(CoreError):
    """The address cannot be listened on, or the certificate not be used."""

    retryable = True


class WebServer:
    """Serves `app` on host and port. `start` once."""

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        *,
        cert: Path | None = None,
        key: Path | None = None,
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._cert = cert
        self._key = key
        self._proxies = trusted_proxies
        self._server: _Server | None = None
        self._tasks: list[asyncio.Task[Any]] = []

    @property
    def port(self) -> int:
        """Where it listens, once it does."""
        return self._port

    async def start(self) -> None:
        """Returns when it listens. ListenError with a sentence."""
        loop = asyncio.get_running_loop()
        config = await loop.run_in_executor(None, self._config)
        sockets = await self._bind()
        self._port = sockets[0].getsockname()[1]
        self._server = _Server(config)
        serving = loop.create_task(self._server.serve(sockets), name="web-server")
        self._tasks = [serving, loop.create_task(Lookout(self._server).run(), name="web-lookout")]
        if config.ssl is not None and self._cert is not None:
            renewal = Certificate(config.ssl, self._cert, self._key)
            self._tasks.append(loop.create_task(renewal.run(), name="web-certificate"))
        listening = loop.create_task(self._server.listening.wait(), name="web-listening")
        await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if serving.done():
            await serving

    async def stop(self) -> None:
        """Answer what is under way, then close all connections. Idempotent."""
        tasks, self._tasks = self._tasks, []
        if self._server is None or not tasks:
            return
        self._server.should_exit = True
        serving = tasks[0]
        await asyncio.wait({serving}, timeout=STOP_DEADLINE + 2)
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _config(self) -> uvicorn.Config:
        """In a thread: it imports modules and reads files."""
        config = uvicorn.Config(
            self._app,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            headers=HEADERS,
            proxy_headers=bool(self._proxies),
            forwarded_allow_ips=list(self._proxies),
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=STOP_DEADLINE,
            limit_concurrency=MOST,
            backlog=BACKLOG,
            h11_max_incomplete_event_size=MAX_HEAD,
            http="h11",
        )
        # What clients do wrong is no matter for the log, and what we do wrong is logged by the application itself.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        config.load()
        if self._cert is not None:
            config.ssl = _tls(self._cert, self._key)
        return config

    async def _bind(self) -> list[socket.socket]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except OSError as error:
            raise ListenError(f"{self._host} is no address of this machine: {error}", hint="see `web.host`") from error
        sockets: list[socket.socket] = []
        absent: OSError | None = None
        for family, kind, proto, _, address in dict.fromkeys(found):
            try:
                sockets.append(_bound(family, kind, proto, address))
            except OSError as error:
                # `localhost` has an address of IPv6 also where there is no IPv6.
                absent = error
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    for each in sockets:
                        each.close()
                    raise ListenError(*self._why(error)) from error
        if not sockets and absent is not None:
            raise ListenError(*self._why(absent)) from absent
        return sockets

    def _why(self, error: OSError) -> tuple[str]:
        where = f"{self._host}:{self._port}"
        if error.errno == errno.EADDRINUSE:
            return (f"another program listens on {where} already: choose another `web.port`, or end that program",)
        if error.errno == errno.EACCES:
            return (f"this user may not listen on {where}: choose a `web.port` above 1023",)
        return (f"{where} cannot be listened on: {error.strerror}: correct `web.host`",)


class Lookout:
    """Cuts off connections that do nothing: uvicorn itself waits for ever for a head, and for a client to read."""

    def __init__(self, server: uvicorn.Server) -> None:
        self._connections = server.server_state.connections
        self._seen: dict[Any, tuple[tuple[object, ...], float]] = {}

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK)
            self.look(loop.time())

    def look(self, now: float) -> None:
        """Abort what has not moved for too long."""
        seen: dict[Any, tuple[tuple[object, ...], float]] = {}
        for connection in list(self._connections):
            transport: Any = connection.transport
            cycle: Any = getattr(connection, "cycle", None)
            waits = cycle is None or cycle.response_complete
            pending = transport.get_write_buffer_size()
            closing = transport.is_closing()
            state = (id(cycle), waits, pending, closing)
            since = self._seen[connection][1] if self._seen.get(connection, (None,))[0] == state else now
            seen[connection] = (state, since)
            limit = CLOSE_DEADLINE if closing else STALL_DEADLINE if pending else HEAD_DEADLINE if waits else None
            if limit is not None and now - since >= limit:
                transport.abort()
        self._seen = seen


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the bridge's own."""
        yield


class Certificate:
    """Loads a certificate again when its files have changed: one that is renewed each month needs no restart."""

    def __init__(self, context: ssl.SSLContext, cert: Path, key: Path | None) -> None:
        self._context = context
        self._files = (cert, key)
        self._seen = _stamps(cert, key)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(CERTIFICATE_LOOK)
            await asyncio.get_running_loop().run_in_executor(None, self.look)

    def look(self) -> None:
        """In a thread. One that cannot be used is said once, and the old one is kept."""
        stamps = _stamps(*self._files)
        if stamps == self._seen or None in stamps:
            return  # or just being replaced
        self._seen = stamps
        try:
            _tls(*self._files)  # whether they fit, before the context is touched
            self._context.load_cert_chain(*self._files)
        except (ListenError, OSError, ssl.SSLError) as error:
            log.error("the new certificate is not used: %s", error)
        else:
            log.info("the certificate %s was loaded anew", self._files[0])


def _stamps(*files: Path | None) -> tuple[object, ...]:
    return tuple(_stamp(file) for file in files if file is not None)


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _bound(family: int, kind: int, proto: int, address: Any) -> socket.socket:
    bound = socket.socket(family, kind, proto)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


def _tls(cert: Path, key: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        text = f"the certificate {cert} cannot be used with its key: {getattr(error, 'reason', None) or error.strerror}"
        raise ListenError(text, hint="both are PEM files without a password, see `web.tls`") from error
    return context
