"""`doctor` checks the embedder and the library's embeddings."""

import pytest

from app.cli.doctor.embedder import check_embedder
from app.cli.doctor.postgres import LibraryState
from app.cli.doctor.report import Report
from app.config import Settings
from app.services.search.sql import EmbeddingIndex
from tests.cli.doctor.findings import FAILED, OK, SKIPPED, WARNING, new_report, row, statuses
from tests.scripted_embedder import embeddings
from tests.scripted_model import ScriptedModel, refuse

pytestmark = pytest.mark.anyio


def library(name: str = "m", dimension: int = 64) -> LibraryState:
    return LibraryState(True, (EmbeddingIndex(1, name, dimension),), 100)


async def check(settings: Settings, state: LibraryState | None) -> Report:
    report = new_report()
    await check_embedder(report, settings, state, limit=20)
    return report


def remote(model: ScriptedModel) -> Settings:
    return Settings(
        embedding_model="m", embedding_base_url=model.base_url, embedding_api_key="secret"
    )


@pytest.mark.parametrize(
    ("state", "status", "finding"),
    [
        (library(), OK, "m, 64 dimensions"),
        (library(dimension=32), FAILED, "32 dimensions, but m gives 64"),
        (library("other"), WARNING, "only by other"),
        (LibraryState(True, (), 100), WARNING, "none"),
        (LibraryState(True, (), 0), SKIPPED, "the library is empty"),
        (LibraryState(False, (), 100), SKIPPED, "pgvector"),
        (None, SKIPPED, "no database"),
    ],
)
async def test_the_library_is_compared_with_the_embedder(
    model: ScriptedModel, state: LibraryState | None, status: str, finding: str
) -> None:
    model.answers(embeddings())
    report = await check(remote(model), state)
    assert row(report, "embedder").status is OK
    assert "64 dimensions" in row(report, "embedder").finding
    assert row(report, "library embeddings").status == status
    assert finding in row(report, "library embeddings").finding


async def test_a_server_that_refuses_the_key_fails(model: ScriptedModel) -> None:
    model.answers(refuse(401))
    report = await check(remote(model), library())
    assert statuses(report) == {"embedder": FAILED}
    assert "secret" not in str(report.rows)


async def test_the_default_embedder_works() -> None:
    report = await check(Settings(), library("use-multilingual-v3", 512))
    assert set(statuses(report).values()) == {OK}


@pytest.mark.parametrize(("name", "status"), [("none", SKIPPED), ("unknown", FAILED)])
async def test_no_embedder(name: str, status: str) -> None:
    report = await check(Settings(embedding_model=name), library())
    assert statuses(report) == {"embedder": status}
