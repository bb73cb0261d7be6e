"""Fuzzes the running service, with a scripted model, against its OpenAPI document.

schemathesis generates valid and invalid requests and checks each response: its status, headers and
body, and each event of a stream. The requests are the same in each run.
"""

import os
import sys
from pathlib import Path

import anyio
import pytest

from app.config import Settings
from tests.scripted_model import ScriptedModel
from tests.service import running

pytestmark = pytest.mark.anyio

PROJECT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")
# For each operation and kind of test: about 600 requests in half a minute.
CASES = 20
# In seconds, for a busy machine.
LIMIT = 240


async def test_every_response_matches_the_document(
    library_url: str, redis_url: str, model: ScriptedModel, tmp_path: Path
) -> None:
    settings = Settings(
        database_url=library_url,
        redis_url=redis_url,
        llm_base_url=model.base_url,
        llm_model="scripted",
        body_timeout=1.0,
        rate_limit=0,
        turns_at_once=0,
    )
    schemathesis = Path(sys.executable).with_name("schemathesis")
    async with running(settings) as client:
        command = [
            *(str(schemathesis), "--config-file", str(CONFIG), "--no-color", "run"),
            *(f"{client.url}/openapi.json", "--generation-deterministic", "-n", str(CASES)),
            "--continue-on-failure",
        ]
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROJECT),
            "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
        }
        with anyio.fail_after(LIMIT):
            # schemathesis stores its state in the working directory.
            done = await anyio.run_process(
                command, cwd=tmp_path, env=environment, check=False, stderr=None
            )
    assert done.returncode == 0, done.stdout.decode()
    assert "No issues found" in done.stdout.decode()
