"""Run two workers behind nginx with `deploy/nginx.conf`, until Ctrl-C.

`python -m tests.deploy` (`make nginx`) prints the addresses. nginx listens on PORT, by default a
free one, and on another port with TLS and a throw-away certificate.
"""

import asyncio
import os
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from app import logs
from app.cli.embedded_servers import embedded_servers
from app.cli.errors import CommandError, NotFullyEmbedded
from app.cli.library import open_library
from app.cli.sample_library import update_sample_library
from app.config import Settings, SettingsError
from tests.certificate import make_certificate
from tests.nginx import nginx
from tests.programs import NGINX
from tests.workers import environment, worker


async def run(settings: Settings, port: int) -> None:
    """Run until a signal; the library and the conversations are those of `make run`."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    with tempfile.TemporaryDirectory(prefix="chrysopedia-") as folder:
        certificate = make_certificate(Path(folder), ["localhost"])
        async with embedded_servers(settings) as complete:
            if not settings.database_url:
                async with open_library(complete) as library:
                    with suppress(NotFullyEmbedded):
                        await update_sample_library(library)
            each = {
                **environment(complete),
                "HOST": "127.0.0.1",
                "PORT": "0",
                "TRUSTED_PROXIES": "127.0.0.1",
            }
            async with worker(each) as one, worker(each) as other:
                addresses = [it.url.removeprefix("http://") for it in (one, other)]
                async with nginx(addresses, certificate=certificate, port=port) as front:
                    print(f"nginx is at {front.url} and {front.tls_url}")
                    print(f"The CA to trust is in {certificate}.")
                    print(f"The workers are at {' and '.join(addresses)}.")
                    print("Press Ctrl-C to stop.", flush=True)
                    await ended.wait()


def main() -> int:
    """Return the exit status: 1 if a setting is wrong or something that it needs is missing."""
    if NGINX is None:
        print("nginx is not installed: apt-get install nginx", file=sys.stderr)
        return 1
    try:
        settings = Settings.from_environment(os.environ)
        logs.configure(settings.log_format, settings.log_level)
        asyncio.run(run(settings, settings.port if os.environ.get("PORT") else 0))
    except (SettingsError, CommandError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
