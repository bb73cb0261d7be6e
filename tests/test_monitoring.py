"""The Prometheus and Grafana files in `deploy/` use existing metrics and labels."""

import json
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import anyio
import promql_parser
import pytest
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from app.config import Settings
from app.schemas import Done
from tests.scripted_model import ScriptedModel, say
from tests.service import Client, running
from tests.workers import environment, worker

pytestmark = pytest.mark.anyio

DEPLOY = Path(__file__).parents[1] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
ALERTS = yaml.safe_load((DEPLOY / "alerts.yml").read_text())
PROMETHEUS = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
QUESTION = "How fast should the attack be when I side-chain the bass to the kick?"
# Labels that Prometheus adds to each target.
OF_TARGETS = {"job", "instance"}
GRAFANA = {"$__rate_interval": "5m", "$job": "chrysopedia", "$instance": ".*"}

PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]


def queries() -> Iterator[tuple[str, str]]:
    """Yield the title and the query of each panel and alert."""
    for panel in PANELS:
        for target in panel["targets"]:
            query = target["expr"]
            for name, value in GRAFANA.items():
                query = query.replace(name, value)
            yield panel["title"], query
    for rule in RULES:
        yield rule["alert"], rule["expr"]


def asked_for(query: str) -> dict[str, set[str]]:
    """Return the metrics that a query names, with the labels that it uses."""
    found: dict[str, set[str]] = {}
    grouped: set[str] = set()

    def visit(part: promql_parser.Expr) -> None:
        match part:
            case promql_parser.VectorSelector():
                labels = {matcher.name for matcher in part.matchers.matchers}
                found.setdefault(part.name or "", set()).update(labels)
            case promql_parser.MatrixSelector():
                visit(part.vector_selector)
            case promql_parser.AggregateExpr() if part.modifier:
                grouped.update(part.modifier.labels)

    promql_parser.walk(promql_parser.parse(query), visit)
    return {name: labels | grouped for name, labels in found.items()}


def values_asked_for(query: str) -> set[tuple[str, str, str]]:
    """Return each metric of which a query selects one label value, with label and value."""
    found: set[tuple[str, str, str]] = set()

    def visit(part: promql_parser.Expr) -> None:
        match part:
            case promql_parser.VectorSelector():
                found.update(
                    (part.name or "", matcher.name, matcher.value)
                    for matcher in part.matchers.matchers
                    if matcher.op == promql_parser.MatchOp.Equal and matcher.name not in OF_TARGETS
                )
            case promql_parser.MatrixSelector():
                visit(part.vector_selector)

    promql_parser.walk(promql_parser.parse(query), visit)
    return found


async def scraped(client: Client) -> list[Metric]:
    """Scrape a worker's metrics."""
    status, text, _ = await client.call("GET", "/metrics")
    assert status == 200
    return list(text_string_to_metric_families(text.decode()))


def values(*workers: list[Metric]) -> Counter[tuple[str, ...]]:
    """Sum the values of workers by name and label values."""
    total = Counter[tuple[str, ...]]()
    for families in workers:
        for sample in (sample for family in families for sample in family.samples):
            name = sample.name.removeprefix("chrysopedia_")
            total[name, *sample.labels.values()] += sample.value  # type: ignore[assignment]
    return total


@pytest.fixture
async def exported(model_settings: Settings) -> AsyncIterator[dict[str, set[str]]]:
    """The metrics of a worker after some requests, with their labels."""
    async with running(model_settings) as client:
        await client.ask(QUESTION)
        await client.call("POST", "/api/v1/chat", json={})
        names: dict[str, set[str]] = {"up": set()}
        for family in await scraped(client):
            for sample in family.samples:
                names.setdefault(sample.name, set()).update(sample.labels)
        yield names


async def test_every_query_uses_existing_metrics_and_labels(
    exported: dict[str, set[str]],
) -> None:
    every = list(queries())
    assert every
    for what, query in every:
        asked = asked_for(query)
        assert asked, what
        for name, labels in asked.items():
            assert name in exported, f"{what}: {query}"
            assert labels <= exported[name] | OF_TARGETS, f"{what}: {query}"


async def test_counters_in_queries_are_exported_before_their_first_increment(
    model_settings: Settings,
) -> None:
    async with running(model_settings) as client:
        families = await scraped(client)
    fresh = {
        (sample.name, label, value)
        for family in families
        for sample in family.samples
        for label, value in sample.labels.items()
    }
    # Prometheus misses the first increment of a counter that appears with it.
    waited_for = {asked for _, query in queries() for asked in values_asked_for(query)}
    assert waited_for
    assert waited_for <= fresh


async def test_dashboard_shows_every_metric(exported: dict[str, set[str]]) -> None:
    shown = {name for _, query in queries() for name in asked_for(query)}
    ours = {name for name in exported if name.startswith("chrysopedia_")}
    # The buckets of a histogram are enough.
    assert {name for name in ours if not name.endswith(("_sum", "_count"))} <= shown


def test_panels_have_a_place_a_unit_and_a_data_source() -> None:
    taken = Counter[tuple[int, int]]()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        taken.update(
            (place["x"] + right, place["y"] + down)
            for right in range(place["w"])
            for down in range(place["h"])
        )
    assert max(taken.values()) == 1
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    (source, *others) = DASHBOARD["templating"]["list"]
    assert (source["name"], source["type"]) == ("datasource", "datasource")
    assert [it["name"] for it in others] == ["job", "instance"]
    for panel in PANELS:
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["description"], panel["title"]
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_alerts_count_only_failed_turns() -> None:
    endings = "|".join(get_args(get_type_hints(Done)["finish_reason"]))
    failing = [query for _, query in queries() if "ending!~" in query]
    assert len(failing) == 2
    assert all(f'ending!~"{endings}"' in query for query in failing)


def test_alerts_have_a_summary_and_prometheus_loads_them() -> None:
    assert (DEPLOY / PROMETHEUS["rule_files"][0]).exists()
    (job,) = PROMETHEUS["scrape_configs"]
    assert {rule["alert"] for rule in RULES if f'job="{job["job_name"]}"' in rule["expr"]}
    for rule in RULES:
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("page", "ticket")


@pytest.mark.needs("promtool")
async def test_promtool_accepts_metrics_and_configuration(model_settings: Settings) -> None:
    async with running(model_settings) as client:
        await client.ask(QUESTION)
        _, text, _ = await client.call("GET", "/metrics")
    for arguments, given in (
        (["check", "metrics"], text),
        (["check", "config", str(DEPLOY / "prometheus.yml")], b""),
    ):
        done = subprocess.run(  # noqa: S603, ASYNC221 - it is quick
            ["promtool", *arguments],  # noqa: S607
            input=given,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


async def test_metrics_of_two_workers_add_up(
    model_settings: Settings, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", " two"), say("One", " two"), say("One", " two"), say("One", held))
    settings = environment(model_settings)
    async with worker(settings) as one, worker(settings) as other:
        for client in (one, one, other):
            assert (await client.ask(QUESTION))[-1].name == "done"
        with anyio.fail_after(10):
            async with one.stream({"query": QUESTION}) as first:
                seen = await first.until("token")
                turn_id = first.response.headers["X-Turn-Id"]
                async with other.follow(turn_id, after=seen[0].id) as second:
                    here, there = values(await scraped(one)), values(await scraped(other))
                    both = here + there
                    assert (here["turns_running",], there["turns_running",]) == (1, 0)
                    assert (here["viewers",], there["viewers",]) == (1, 1)
                    assert (here["resumes_total",], there["resumes_total",]) == (0, 1)
                    assert sum(both[key] for key in both if key[0] == "turns_total") == 3
                    held.set()
                    await second.rest()
                await first.rest()
        here, there = values(await scraped(one)), values(await scraped(other))
    both = here + there
    ended = {key: both[key] for key in both if key[0] == "turns_total" and both[key]}
    assert sum(ended.values()) == 4
    assert both["time_to_first_token_seconds_count",] == 4
    assert both["time_between_tokens_seconds_count",] == 3
    assert both["turn_duration_seconds_bucket", "+Inf"] == 4
    assert both["turns_running",] == both["viewers",] == 0
    assert here["process_start_time_seconds",] != there["process_start_time_seconds",]
