"""Settings come in; two workers behind a real nginx go out, at addresses that it prints.

`python -m tests.deploy` (`make nginx`) goes on until Ctrl-C. nginx listens on PORT, or on a free
one; and on another with TLS, where there is an openssl to make a throw-away certificate.
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
from tests.certificate import OPENSSL, make_certificate
from tests.nginx import NGINX, nginx
from tests.workers import environment, worker


async def run(settings: Settings, port: int) -> None:
    """Run it all until a signal; the library and the memory are those of `make run`."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    with tempfile.TemporaryDirectory(prefix="chrysopedia-") as folder:
        certificate = make_certificate(Path(folder), ["localhost"]) if OPENSSL else None
        async with embedded_servers(settings) as complete:
            if not settings.database_url:
                async with open_library(complete) as library:
                    with suppress(NotFullyEmbedded):
                        await update_sample_library(library)
            each = {**environment(complete), "HOST": "127.0.0.1", "PORT": "0"}
            async with worker(each) as one, worker(each) as other:
                addresses = [it.url.removeprefix("http://") for it in (one, other)]
                async with nginx(addresses, certificate=certificate, port=port) as front:
                    tls = f", and {front.tls_url} (trust {certificate})"
                    print(f"nginx answers at {front.url}{tls if certificate else ''}")
                    print(
                        f"before workers at {' and '.join(addresses)}; Ctrl-C ends it", flush=True
                    )
                    await ended.wait()


def main() -> int:
    """Run it; returns 0, or 1 where something that it needs is not there."""
    if NGINX is None:
        print("There is no nginx: apt-get install nginx", file=sys.stderr)
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
