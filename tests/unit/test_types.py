"""How much of the package has no type: the figures fall and do not rise again."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "streamer"
FILES = {str(file.relative_to(PACKAGE)): file.read_text(encoding="utf-8") for file in sorted(PACKAGE.rglob("*.py"))}
MOST_ANY = 404  # lower it with each that goes
# What they use of a library has no type there. Take a file out, with its comment, when it has one; put none in.
PARTLY_UNKNOWN = {
    "cli/texts.py",
    "demo/traffic.py",
    "deployment/asking.py",
    "events/adapters/columns.py",
    "flow/evaluation.py",
    "language/definitions.py",
    "language/lint/feasible.py",
    "learning/algorithms/group_matching.py",
    "learning/online/linear.py",
    "learning/online/river_privates.py",
    "learning/snapshot.py",
    "offline.py",
    "segments/change.py",
    "segments/plan/memory_inputs.py",
    "segments/plan/plan_expressions.py",
    "segments/plan/predicates/numbers.py",
    "segments/plan/where.py",
    "settings.py",
    "stores/redis.py",
    "transports/kafka/changes.py",
    "transports/kafka/commands_topic.py",
    "transports/kafka/control.py",
    "transports/kafka/definitions_topic.py",
    "transports/kafka/journal.py",
    "transports/kafka/log_consumer.py",
    "transports/kafka/log_ends.py",
    "transports/kafka/log_inspector.py",
    "transports/kafka/open_transactions.py",
    "transports/kafka/partition.py",
    "transports/kafka/sink.py",
    "transports/kafka/topics.py",
    "values.py",
    "worker/application.py",
    "worker/commands/redrive.py",
    "worker/learner_service.py",
    "worker/process.py",
    "worker/segmenter.py",
    "worker/status/alerts.py",
}
UNKNOWN = {
    "reportUnknownMemberType",
    "reportUnknownArgumentType",
    "reportUnknownVariableType",
    "reportUnknownLambdaType",
    "reportUnknownParameterType",
}

pytestmark = pytest.mark.fast


def test_any_grows_rarer() -> None:
    """``Any`` switches the checker off for all that it touches, in callers too: a value of JSON is ``Json``."""
    found = {name: len(re.findall(r"\bAny\b", text)) for name, text in FILES.items()}
    assert sum(found.values()) <= MOST_ANY, sorted(found.items(), key=lambda item: -item[1])[:10]


def test_only_the_listed_files_may_use_what_has_no_type() -> None:
    """Pyright says where a type is unknown; a file that switches this off at its top is an exception."""
    waived = {name for name, text in FILES.items() if re.search(r"^# pyright:.*=false", text, re.MULTILINE)}
    assert waived <= PARTLY_UNKNOWN


def test_the_checker_says_where_a_type_is_unknown() -> None:
    """One line in the settings would switch it off for everything and make the list above mean nothing."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pyright"]
    assert settings["typeCheckingMode"] == "strict"
    assert not UNKNOWN & set(settings)
    assert [place["root"] for place in settings["executionEnvironments"]] == ["tests"]
