"""Building the configured embedder."""

import pytest

from app.bootstrap.search import build_embedder
from app.config import Settings
from app.infra.http.client import HTTPClient
from app.services.search.embedding import EmbedderMissing
from app.services.search.embedding.bge import BGE
from app.services.search.embedding.local import is_installed


@pytest.mark.parametrize("model", ["", "use", "use-multilingual-v3"])
def test_the_default_embedder_is_use(model: str) -> None:
    embedder = build_embedder(Settings(embedding_model=model), HTTPClient(), questions=True)
    assert embedder is not None
    assert embedder.name == "use-multilingual-v3"


@pytest.mark.skipif(not is_installed(BGE), reason="the extra bge is not installed")
@pytest.mark.parametrize("model", ["bge", "bge-small-en-v1.5-int8"])
def test_bge_can_be_selected(model: str) -> None:
    embedder = build_embedder(Settings(embedding_model=model), HTTPClient(), questions=True)
    assert embedder is not None
    assert embedder.name == "bge-small-en-v1.5-int8"


def test_embeddings_can_be_turned_off() -> None:
    settings = Settings(embedding_model="none")
    assert build_embedder(settings, HTTPClient(), questions=True) is None


@pytest.mark.parametrize(
    ("model", "replacement"),
    [
        ("wordllama", "set it to 'use',"),
        ("wordllama-256", "set it to 'use',"),
        ("minilm", "set it to 'bge' "),
        ("minilm-l6-int8", "set it to 'bge' "),
    ],
)
def test_a_retired_embedder_is_refused_with_what_to_use_now(model: str, replacement: str) -> None:
    with pytest.raises(EmbedderMissing, match=f"^EMBEDDING_MODEL: {model} .*{replacement}"):
        build_embedder(Settings(embedding_model=model), HTTPClient(), questions=False)


def test_an_unknown_embedder_without_a_server_is_refused() -> None:
    with pytest.raises(EmbedderMissing, match="EMBEDDING_BASE_URL"):
        build_embedder(Settings(embedding_model="e5"), HTTPClient(), questions=False)


def test_a_servers_model_may_have_the_name_of_a_retired_embedder() -> None:
    settings = Settings(embedding_model="minilm", embedding_base_url="http://127.0.0.1:1/v1")
    embedder = build_embedder(settings, HTTPClient(), questions=True)
    assert embedder is not None
    assert embedder.name == "minilm"
