"""A library made to break ingestion, beside the sample library's creators."""

import asyncio
import json
import os
import sys
from collections import Counter
from pathlib import Path
from random import Random

from tests.services.ingest.parse.hostile_text import PATTERNS, hostile_text
from tests.workers import PROJECT

FILES = 6
LENGTH = 20_000
VTT = "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n"
# Seconds for one run of ingestion.
LIMIT = 300
PAUSE = 2.0


def write(folder: Path, random: Random) -> None:
    """Write other hostile files to the folder."""
    creator = folder / "hostile"
    creator.mkdir(parents=True, exist_ok=True)
    for number in range(FILES):
        text = hostile_text(random.choice(PATTERNS), LENGTH)
        if number % 2:
            (creator / f"{number}.vtt").write_text(VTT + text, encoding="utf-8")
        else:
            (creator / f"{number}.md").write_text(text, encoding="utf-8")
    (creator / "deep.md").write_text(f"---\na: {'[' * 40_000}\n---\nHello.\n")
    (creator / "bomb.md").write_text("---\na: &a [x]\nb: [*a, *a]\n---\nHello.\n")
    (creator / "word.md").write_text("a" * random.randint(100_000, 200_000))
    (creator / "info.vtt").write_text(VTT + "Hello.\n")
    (creator / "info.info.json").write_text(json.dumps({"title": "a\0\u202e" * 1_000}))
    with (creator / "large.vtt").open("wb") as file:
        file.truncate(6 << 30)
    link = creator / "passwd.txt"
    if not link.is_symlink():
        link.symlink_to("/etc/passwd")


async def ingest_repeatedly(
    folder: Path, database_url: str, random: Random, replies: Counter[str], faults: list[str]
) -> None:
    """Ingest until cancelled; a run that ends with a traceback is a fault."""
    while True:
        await asyncio.to_thread(write, folder, random)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app", "ingest", str(folder)),
            cwd=PROJECT,
            env={"PATH": os.environ["PATH"], "DATABASE_URL": database_url},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), LIMIT)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        replies[f"exit status {process.returncode}"] += 1
        if process.returncode not in (0, 1) or b"Traceback" in output:
            faults.append(f"ingestion ended with {process.returncode}: {output[-300:]!r}")
        await asyncio.sleep(PAUSE)
