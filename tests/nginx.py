"""A real nginx with deploy/nginx.conf in front of workers.

The configuration is used as deployed, except the files it includes from site/, which belong to a
host: they set the user, the addresses, the certificate and the workers.
"""

import grp
import os
import pwd
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp

from app.infra.embedded.wait import until
from tests.programs import NGINX
from tests.service import Client

DEPLOY = Path(__file__).parent.parent / "deploy"

# Seconds, on a busy machine.
START_LIMIT, END_LIMIT = 20, 20

# Its default folders belong to the system.
FOLDERS = """
client_body_temp_path body;
proxy_temp_path proxy;
fastcgi_temp_path fastcgi;
uwsgi_temp_path uwsgi;
scgi_temp_path scgi;
"""
# The files that deploy/nginx.conf includes.
SITE = {
    "main.conf": "daemon off; user %(user)s; pid nginx.pid; error_log nginx.log;",
    "http.conf": """
        access_log requests.log json;
        proxy_cache_path page keys_zone=page:1m use_temp_path=off;
        geo $unlimited { default %(unlimited)s; }
    """
    + FOLDERS,
    "workers.conf": "%(workers)s",
    "redirect.conf": "listen %(redirect)s; server_name localhost;",
    "server.conf": """
        listen %(plain)s;
        server_name localhost;
        %(tls)s
        %(more)s
    """,
}
TLS = "listen %s ssl http2; ssl_certificate %s; ssl_certificate_key %s;"


class Front(Client):
    """nginx, without TLS at `url` and with TLS at `tls_url`; `redirect_url` redirects to TLS."""

    def __init__(self, http: aiohttp.ClientSession, ports: Sequence[int], folder: Path) -> None:
        plain, redirect, tls = ports
        super().__init__(http, f"http://127.0.0.1:{plain}")
        self.redirect_url = f"http://127.0.0.1:{redirect}"
        self.tls_url = f"https://localhost:{tls}"
        self._folder = folder

    def log(self) -> str:
        """Return the error log."""
        return (self._folder / "nginx.log").read_text()

    async def requests(self, count: int) -> list[str]:
        """Wait for this many lines of the access log: JSON, one per finished request."""
        log = self._folder / "requests.log"
        assert await until(lambda: log.read_text().count("\n") >= count, END_LIMIT)
        return log.read_text().splitlines()


@asynccontextmanager
async def nginx(
    workers: Sequence[str],
    more: str = "",
    *,
    certificate: Path | None = None,
    limited: bool = False,
    port: int = 0,
) -> AsyncIterator[Front]:
    """Run nginx in front of the workers at these `host:port`s.

    `more` is configuration to add. The `certificate` is a file with the key; without one there is
    no TLS. Request limits apply only if `limited`.
    """
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    with (
        tempfile.TemporaryDirectory(prefix="chrysopedia-") as place,
        _listeners(port, 0, 0) as (listeners, ports),
    ):
        folder = Path(place)
        plain, redirect, tls = (f"127.0.0.1:{port}" for port in ports)
        write_site(
            folder,
            {
                "user": user(),
                "unlimited": int(not limited),
                "workers": "\n".join(f"server {worker} max_fails=0;" for worker in workers),
                "plain": plain,
                "redirect": redirect,
                "tls": TLS % (tls, certificate, certificate) if certificate else "",
                "more": more,
            },
        )
        # nginx inherits these sockets, as on an upgrade, so no other process can take the ports.
        with running(folder, listeners if certificate else listeners[:2]) as process:
            pid, log = folder / "nginx.pid", folder / "nginx.log"
            try:
                await until(lambda: pid.exists() or process.poll() is not None, START_LIMIT)
                assert process.returncode is None, log.read_text()
                async with aiohttp.ClientSession(connector=connector) as http:
                    yield Front(http, ports, folder)
            except BaseException:
                # Pytest shows it if the test fails.
                print(log.read_text())
                raise
            finally:
                process.terminate()
                await until(lambda: process.poll() is not None, END_LIMIT)


def write_site(folder: Path, parts: Mapping[str, object]) -> None:
    """Create a folder with the deployed configuration and a site of its own."""
    (folder / "nginx.conf").symlink_to(DEPLOY / "nginx.conf")
    (folder / "site").mkdir()
    for name, text in SITE.items():
        (folder / "site" / name).write_text(text % parts)


@contextmanager
def running(folder: Path, listeners: Sequence[socket.socket]) -> Iterator[subprocess.Popen[bytes]]:
    """Run nginx on these sockets, with the configuration in a folder."""
    assert NGINX
    numbers = [listener.fileno() for listener in listeners]
    with subprocess.Popen(  # noqa: S603 - no shell
        [NGINX, "-p", folder, "-c", "nginx.conf", "-e", "nginx.log"],
        env={"NGINX": "".join(f"{number};" for number in numbers)},
        pass_fds=numbers,
        stdin=subprocess.DEVNULL,
    ) as process:
        yield process


def user() -> str:
    """Return the current user and group, for nginx to keep."""
    return f"{pwd.getpwuid(os.geteuid()).pw_name} {grp.getgrgid(os.getegid()).gr_name}"


@contextmanager
def _listeners(*ports: int) -> Iterator[tuple[list[socket.socket], list[int]]]:
    """Listen on these ports; 0 stands for a free one."""
    with ExitStack() as stack:
        made = [
            stack.enter_context(socket.create_server(("127.0.0.1", port), backlog=1024))
            for port in ports
        ]
        for one in made:
            # As nginx sets them: otherwise, of two processes that wake for a connection, the one
            # that does not get it would block in accept.
            one.setblocking(False)
        yield made, [one.getsockname()[1] for one in made]
