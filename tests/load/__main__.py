"""Run a service and load it with locust; the exit status says whether it kept its limits.

`python -m tests.load --headless --users 30 --run-time 60s` (`make load`). The model is scripted and
keeps an even pace, so that only the service is measured. Without `--headless`, locust serves its
web page; with `--host`, another service is loaded and none is started.
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
from tests.soak.stage import paced_model
from tests.workers import PROJECT, worker

DEFAULT = "--headless --only-summary --users 30 --spawn-rate 10 --run-time 60s".split()


@asynccontextmanager
async def service(pace: float, *, behind_nginx: bool) -> AsyncIterator[str]:
    """Run a service with the sample library and yield its address: one worker, or two behind nginx.

    The model generates `pace` tokens per second, the first at once.
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
        }
        workers = [
            await stack.enter_async_context(worker(environment))
            for _ in range(2 if behind_nginx else 1)
        ]
        if behind_nginx:
            addresses = [it.url.removeprefix("http://") for it in workers]
            yield (await stack.enter_async_context(nginx(addresses))).url
        else:
            yield workers[0].url


async def locust(python: Path, arguments: Sequence[str]) -> int:
    """Run locust and return its exit status; on a signal, locust prints its summary and exits."""
    loop = asyncio.get_running_loop()
    # Ctrl-C reaches both processes.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    file = Path(__file__).with_name("locustfile.py")
    command: tuple[str | Path, ...] = (python, "-m", "locust", "--locustfile", file, *arguments)
    process = await asyncio.create_subprocess_exec(*command, cwd=PROJECT)
    loop.add_signal_handler(signal.SIGTERM, process.terminate)
    return await process.wait()


async def load(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Load a new service, or the one at `--host`."""
    # On a signal too, stop all processes.
    task = asyncio.current_task()
    assert task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if any(it in ("-H", "--host") or it.startswith("--host=") for it in arguments):
        return await locust(options.python, arguments)
    async with service(options.pace, behind_nginx=options.behind_nginx) as url:
        return await locust(options.python, ["--host", url, *(arguments or DEFAULT)])


def main() -> int:
    """Return locust's exit status: 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.load",
        description=__doc__,
        epilog="All other arguments are locust's and those of tests/load/locustfile.py.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--python", type=Path, default=Path(sys.executable), metavar="FILE",
                        help="the Python that has requirements-load.lock")  # fmt: skip
    parser.add_argument("--pace", type=float, default=30.0, help="tokens a second of an answer")
    parser.add_argument("--behind-nginx", action="store_true", help="two workers, behind nginx")
    options, arguments = parser.parse_known_args()
    if options.behind_nginx and NGINX is None:
        parser.error("there is no nginx: apt-get install nginx")
    try:
        return asyncio.run(load(options, arguments))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 1


if __name__ == "__main__":
    sys.exit(main())
