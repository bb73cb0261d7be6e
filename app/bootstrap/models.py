"""Build the language model, what it rewrites questions with, and the answerer that uses them."""

from app.config import Settings
from app.infra.http.client import HTTPClient
from app.services.chat.answerer import Answerer, Memory
from app.services.chat.condenser import Condenser
from app.services.chat.planner import Retriever
from app.services.metrics.registry import Metrics
from app.services.models.extractive.model import ExtractiveModel
from app.services.models.openai import OpenAIModel
from app.services.models.request import ModelConfig, ServerConfig


def build_answerer(
    settings: Settings, http: HTTPClient, metrics: Metrics, retriever: Retriever, memory: Memory
) -> Answerer:
    """Build the answerer with the configured model, or else the extractive one."""
    model = None
    if settings.llm_base_url:
        model = build_model(http, model_config(settings), metrics)
    condenser = None
    if model and settings.condense == "model":
        condenser = Condenser(model, timeout=settings.condense_timeout)
    return Answerer(
        retriever=retriever,
        model=model or ExtractiveModel(),
        memory=memory,
        has_model=model is not None,
        condenser=condenser,
        history_tokens=settings.history_tokens,
        source_tokens=settings.source_tokens,
        answer_timeout=settings.llm_answer_timeout,
    )


def _fallback_server(settings: Settings) -> ServerConfig | None:
    """Return the fallback's server, None for the first model's."""
    if settings.llm_fallback_base_url:
        # The first server's key and headers must not reach another host.
        return ServerConfig(
            base_url=settings.llm_fallback_base_url,
            api_key=settings.llm_fallback_api_key,
            headers=settings.llm_fallback_headers or {},
            extra_body=settings.llm_fallback_extra_body or {},
            settings="LLM_FALLBACK_",
        )
    if not settings.llm_fallback_model:
        return None
    return ServerConfig(
        base_url=settings.llm_base_url,
        api_key=settings.llm_fallback_api_key or settings.llm_api_key,
        headers=settings.llm_fallback_headers or settings.llm_headers or {},
        extra_body=settings.llm_fallback_extra_body or settings.llm_extra_body or {},
    )


def model_config(settings: Settings) -> ModelConfig:
    """Return the configured language model; LLM_BASE_URL must be set."""
    return ModelConfig(
        base_url=settings.llm_base_url,
        model=settings.llm_model,
        api_key=settings.llm_api_key,
        headers=settings.llm_headers or {},
        extra_body=settings.llm_extra_body or {},
        fallback_server=_fallback_server(settings),
        fallback_model=settings.llm_fallback_model,
        rules_role=settings.llm_rules_role,
        connect_timeout=settings.llm_connect_timeout,
        first_token_timeout=settings.llm_first_token_timeout,
        silence_timeout=settings.llm_silence_timeout,
        thinking_timeout=settings.llm_thinking_timeout,
        max_tokens=settings.llm_max_tokens,
        temperature=settings.llm_temperature,
        short_model=settings.condense_model,
        short_max_tokens=settings.condense_max_tokens,
        thought_marks=settings.llm_thought_marks,
    )


def build_model(http: HTTPClient, config: ModelConfig, metrics: Metrics) -> OpenAIModel:
    """Build the client of a language model and its fallback."""
    return OpenAIModel(
        http, config, on_retry=metrics.model_retries.inc, on_fallback=metrics.model_fallbacks.inc
    )
