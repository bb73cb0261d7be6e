"""Workers' addresses come in; a real nginx on a free port spreads the requests over them."""

import grp
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from app.embedded.wait import until
from tests.service import Client

# Debian puts it where an ordinary user's PATH does not look.
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="there is no nginx (apt-get install nginx)")

# Seconds, on a machine that does other things too.
START_LIMIT, END_LIMIT = 20, 20

# The first part is the test's: it runs as whoever runs the test, in a folder that goes with it.
CONFIG = """
daemon off;
user %(user)s;
pid nginx.pid;
error_log nginx.log;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;

    upstream workers {
        # No worker is ever taken for dead: one that is full or draining refuses new questions but
        # serves its streams, and with all of them "dead" nginx itself would answer 502. A worker
        # that is away costs a refused connection, and the next one is tried.
        %(servers)s
        keepalive 64;
        # Shorter than a worker's own 5 s, so that it is seldom the worker that closes first.
        keepalive_timeout 4s;
    }

    server {
        listen %(address)s;

        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        # An event leaves when it comes.
        proxy_buffering off;
        proxy_connect_timeout 2s;
        # Longer than the pause between two heartbeats (HEARTBEAT, 15 s).
        proxy_read_timeout 60s;

        # What has no status yet goes to the next worker: where one is away, breaks the connection,
        # or says 503 (draining, full). By itself nginx does so with a POST only while nothing of it
        # was sent, that is, where no connection came about: not after a 503, and not where a kept
        # connection turns out to be closed. `non_idempotent` has it do so in all these cases, also
        # where a worker may be at work on the question already. Hence the key below.
        proxy_next_upstream error timeout http_502 http_503 non_idempotent;

        location / {
            proxy_pass http://workers;
        }

        location = /api/v1/chat {
            # However often nginx sends a question, it is asked once: a worker that gets it when
            # another has begun with it says 409, with the stream's address.
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Idempotency-Key $once;
            proxy_pass http://workers;
        }

        location /api/v1/chat/ {
            # An EventSource that is told 502 gives up for good; one whose connection is closed
            # comes back. So nobody is told a status while no worker is there.
            error_page 502 504 = @away;
            proxy_pass http://workers;
        }

        location @away {
            return 444;
        }

        %(locations)s
    }

    # The client's key, or one that is the request's own, the same each time that it is sent.
    map $http_idempotency_key $once {
        ""      $request_id;
        default $http_idempotency_key;
    }
}
"""


@asynccontextmanager
async def nginx(workers: Sequence[str], locations: str = "") -> AsyncIterator[Client]:
    """Run nginx before the workers at these `host:port`s; `locations` is configuration to add."""
    assert NGINX
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    with (
        tempfile.TemporaryDirectory(prefix="chrysopedia-") as folder,
        socket.create_server(("127.0.0.1", 0), backlog=1024) as listener,
    ):
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        servers = "\n        ".join(f"server {worker} max_fails=0;" for worker in workers)
        parts = {"servers": servers, "address": address, "locations": locations, "user": _user()}
        config, log, pid = (Path(folder, f"nginx.{kind}") for kind in ("conf", "log", "pid"))
        config.write_text(CONFIG % parts)
        process = subprocess.Popen(  # noqa: S603, ASYNC220 - no shell; it does not wait
            [NGINX, "-p", folder, "-c", config.name, "-e", log.name],
            # It takes the socket as from an nginx before it, so the port cannot be another's.
            env={"NGINX": f"{listener.fileno()};"},
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
        )
        try:
            await until(lambda: pid.exists() or process.poll() is not None, START_LIMIT)
            assert process.returncode is None, log.read_text()
            async with aiohttp.ClientSession(connector=connector) as http:
                yield Client(http, f"http://{address}")
        except BaseException:
            # Pytest shows it where a test fails.
            print(log.read_text())
            raise
        finally:
            process.terminate()
            await until(lambda: process.poll() is not None, END_LIMIT)


def _user() -> str:
    """Name who runs this, and their group; nginx would have its worker run as `nobody`."""
    return f"{pwd.getpwuid(os.geteuid()).pw_name} {grp.getgrgid(os.getegid()).gr_name}"
