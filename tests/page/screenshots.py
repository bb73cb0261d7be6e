"""Take the README's screenshots of the page: docs/page-light.webp and docs/page-dark.webp.

`make screenshots` runs this: it starts the service with the sample library and no model, and asks
one question.
"""

import os
import socket
import subprocess
import sys
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, ViewportSize, sync_playwright

from tests.clients.programs import FLAGS
from tests.programs import CHROMIUM

PROJECT = Path(__file__).parents[2]
QUESTION = "How thick must absorber panels be?"
SIZE: ViewportSize = {"width": 1100, "height": 680}
QUALITY = 85
# Settings in the caller's environment that would change the screenshots.
UNSET = ("DATABASE_URL", "REDIS_URL", "LLM_BASE_URL", "LLM_MODEL", "EMBEDDING_BASE_URL", "LIBRARY")


def main() -> None:
    """Take a screenshot in each colour scheme."""
    with running_service() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for scheme in ("light", "dark"):
            path = PROJECT / f"docs/page-{scheme}.webp"
            take(browser, url, scheme, path)
            print(f"{path.relative_to(PROJECT)}: {path.stat().st_size // 1000} kB")
        browser.close()


@contextmanager
def running_service() -> Iterator[str]:
    """Run `python -m app serve` on a free port with a data folder of its own; yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name not in UNSET}
    with tempfile.TemporaryDirectory(prefix="chrysopedia-") as folder:
        service = subprocess.Popen(
            [sys.executable, "-m", "app", "serve"],
            cwd=PROJECT,
            env={
                **environment,
                "HOST": "127.0.0.1",
                "PORT": str(port),
                "DATA_DIR": folder,
                "LOG_LEVEL": "warning",
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            assert service.stdout
            # `serve` prints its address when it is ready.
            if not any(url in line for line in service.stdout):
                raise RuntimeError("The service did not start; its log is above.")
            yield url
        finally:
            service.terminate()
            service.wait()


def take(browser: Browser, url: str, scheme: Literal["light", "dark"], path: Path) -> None:
    """Ask the question in a new browser profile and save a screenshot of the answer."""
    context = browser.new_context(color_scheme=scheme, reduced_motion="reduce", viewport=SIZE)
    page = context.new_page()
    page.goto(url)
    page.locator("#question").fill(QUESTION)
    page.locator("#question").press("Enter")
    page.locator("article .answer .mark").first.wait_for()
    page.locator("#send").wait_for(state="visible")
    page.locator("article .answer .mark").first.click()
    page.get_by_role("dialog").wait_for()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    # Playwright does not write WebP, which is half the size of PNG here.
    picture = context.new_cdp_session(page).send(
        "Page.captureScreenshot", {"format": "webp", "quality": QUALITY}
    )
    path.write_bytes(b64decode(picture["data"]))
    context.close()


if __name__ == "__main__":
    main()
