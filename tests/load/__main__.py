"""Load test with Locust, against a service that is started for it (`make load`).

The model streams at a constant rate, so that the service is what is measured. Without arguments
the test runs 30 users for a minute; without --headless Locust serves its web page; with --host it
tests a running service instead. See tests/load/README.md.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from app.infra.embedded import servers
from tests.nginx import nginx
from tests.programs import NGINX
from tests.servers import ingest_sample
from tests.soak.environment import paced_model
from tests.workers import PROJECT, worker

DEFAULT = "--headless --only-summary --users 30 --spawn-rate 10 --run-time 60s".split()


@asynccontextmanager
async def service(pace: float, *, behind_nginx: bool) -> AsyncIterator[str]:
    """Run a service with the sample library and yield its URL: one worker, or two behind nginx.

    The model sends `pace` tokens a second, the first one at once.
    """
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="load-"))
        backing = await stack.enter_async_context(servers(Path(folder)))
        model, _ = await stack.enter_async_context(paced_model(pace))
        assert backing.database_url
        assert backing.redis_url
        await ingest_sample(backing.database_url)
        environment = {
            "DATABASE_URL": backing.database_url,
            "REDIS_URL": backing.redis_url,
            "LLM_BASE_URL": f"{model}/v1",
            "LLM_MODEL": "paced",
            "LOG_LEVEL": "warning",
            # All users have one address.
            "MAX_CONNECTIONS_PER_ADDRESS": "0",
            "RATE_LIMIT": "0",
            "TURNS_AT_ONCE": "0",
        }
        workers = [
            await stack.enter_async_context(worker(environment))
            for _ in range(2 if behind_nginx else 1)
        ]
        if behind_nginx:
            addresses = [one.url.removeprefix("http://") for one in workers]
            yield (await stack.enter_async_context(nginx(addresses))).url
        else:
            yield workers[0].url


async def locust(python: Path, arguments: Sequence[str]) -> int:
    """Run Locust and return its exit status; signals end it with a summary."""
    loop = asyncio.get_running_loop()
    # Ctrl-C reaches both processes; let Locust handle it.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    file = Path(__file__).with_name("locustfile.py")
    command: tuple[str | Path, ...] = (python, "-m", "locust", "--locustfile", file, *arguments)
    process = await asyncio.create_subprocess_exec(*command, cwd=PROJECT)
    loop.add_signal_handler(signal.SIGTERM, process.terminate)
    return await process.wait()


async def load(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Test a new service, or the one that the arguments name."""
    # Stop all processes on SIGTERM as well.
    task = asyncio.current_task()
    assert task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if any(one in ("-H", "--host") or one.startswith("--host=") for one in arguments):
        return await locust(options.python, arguments)
    async with service(options.pace, behind_nginx=options.behind_nginx) as url:
        return await locust(options.python, ["--host", url, *(arguments or DEFAULT)])


def main() -> int:
    """Run the test and return Locust's exit status: 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.load",
        description=__doc__,
        epilog="All other arguments go to Locust: its own, and those of tests/load/locustfile.py.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--python", type=Path, default=Path(sys.executable), metavar="FILE",
                        help="Python with requirements-load.lock installed")  # fmt: skip
    parser.add_argument(
        "--pace", type=float, default=30.0, help="tokens a second of each answer (default: 30)"
    )
    parser.add_argument(
        "--behind-nginx", action="store_true", help="start two workers behind nginx"
    )
    options, arguments = parser.parse_known_args()
    if options.behind_nginx and NGINX is None:
        parser.error("--behind-nginx needs nginx. Install it: apt-get install nginx")
    try:
        return asyncio.run(load(options, arguments))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 1


if __name__ == "__main__":
    sys.exit(main())
