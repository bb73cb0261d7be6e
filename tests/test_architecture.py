"""Imports within `app` point one way: cli, handlers, bootstrap, services, infra, and the rest."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

APP = Path(__file__).parents[1] / "app"
SOURCES = {
    ".".join(("app", *path.relative_to(APP).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in APP.rglob("*.py")
}
# From the top down: a module imports modules of its own layer and of those below.
LAYERS = (
    r"app\.__main__",
    r"app\.cli\b.*",
    r"app\.asgi",
    r"app\.(handlers\b.*|middleware)",
    r"app\.bootstrap\b.*",
    r"app\.services\b.*",
    r"app\.infra\b.*",
    r"app\.(config|config_transport|config_values|errors|logs|schemas|tracing)",
    r"app(\.(limits|host_names|terminal))?",
)
OTHER_SERVICES = {
    "chat": ("models", "search"),
    "evaluation": ("chat", "ingest", "models", "search"),
    "ingest": ("search",),
    "models": ("search",),
}
FORBIDDEN = {
    r"app\.handlers\b.*": r"app\.infra\b.*",
    r"app\.config": r"app\.(?!limits$|config_values$|host_names$).*",
    r"app\.config_values": r"app\.(?!limits$|host_names$).*",
    r"app\.services\.streams\b.*": r"app\.schemas",
}
HTTP = re.compile(r"starlette|HTTPStatus|\bLocation\b|\bRateLimit\b|\bRetry-After\b.*:")


def imports(module: str, body_only: bool = False) -> Iterator[str]:
    """Yield the modules of `app` that a module imports, also within functions."""
    tree = ast.parse(SOURCES[module].read_text())
    for node in tree.body if body_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from {alias.name for alias in node.names} & SOURCES.keys()
        elif isinstance(node, ast.ImportFrom) and node.module in SOURCES:
            names = {f"{node.module}.{alias.name}" for alias in node.names} & SOURCES.keys()
            yield from names or {node.module}


ARROWS = [(module, other) for module in SOURCES for other in imports(module)]


def layer(module: str) -> int:
    found = [n for n, pattern in enumerate(LAYERS) if re.fullmatch(pattern, module)]
    assert found, f"{module} belongs to no layer"
    return found[0]


def service(module: str) -> str:
    return module.split(".")[2] if module.startswith("app.services.") else ""


def test_imports_point_down() -> None:
    wrong = [arrow for arrow in ARROWS if layer(arrow[0]) > layer(arrow[1])]
    for importer, imported in FORBIDDEN.items():
        wrong += [
            it for it in ARROWS if re.fullmatch(importer, it[0]) and re.fullmatch(imported, it[1])
        ]
    assert wrong == []


def test_a_service_imports_only_the_services_it_builds_on() -> None:
    pairs = {(one, other): (service(one), service(other)) for one, other in ARROWS}
    between = {arrow: pair for arrow, pair in pairs.items() if all(pair) and pair[0] != pair[1]}
    assert [it for it, (one, b) in between.items() if b not in OTHER_SERVICES.get(one, ())] == []


def test_no_modules_import_each_other() -> None:
    TopologicalSorter({it: {*imports(it, body_only=True)} for it in SOURCES}).prepare()


def test_services_do_not_depend_on_http() -> None:
    found = [it for it, path in SOURCES.items() if service(it) and HTTP.search(path.read_text())]
    assert found == []


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [("app.cli.serve", "app.services.evaluation"), ("app.asgi", "app.infra.embedded")],
)
def test_modules_do_not_import_unneeded_packages(module: str, unwanted: str) -> None:
    command = [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"]
    loaded = subprocess.check_output(command, cwd=APP.parent, text=True).split()  # noqa: S603
    assert module in loaded
    assert not [name for name in loaded if name.startswith(unwanted)]
