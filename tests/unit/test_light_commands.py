"""Commands that need no server load no client of one: whoever tries `streamer` meets these first."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from streamer.segments.library import library_path

SERVERS = frozenset({"aiokafka", "confluent_kafka", "faust", "mode", "prometheus_client", "pydantic_settings", "redis", "structlog"})
LEARNING = frozenset({"numpy", "river", "scipy"})
REST = frozenset({"pyarrow", "rich"})
HEAVY = SERVERS | LEARNING | REST
PROGRAM = """
import json, sys
from streamer.cli import main
try:
    main()
finally:
    print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})), file=sys.stderr)
"""
ORDER = '{"event": "Order Completed", "messageId": "1", "userId": "ada", "timestamp": "2026-03-01T10:00:00Z"}\n'


def loaded_by(*arguments: str) -> set[str]:
    """Top-level names of all modules that a command loads."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "words", [("--version",), ("segments", "check"), ("replay",), ("explain", "ada", "--events")], ids=lambda words: words[0]
)
def test_what_needs_no_server_loads_no_client_of_one(words: tuple[str, ...], tmp_path: Path) -> None:
    """Each of these costs a tenth of a second and more before the first word is said."""
    events = tmp_path / "events.ndjson"
    events.write_text(ORDER, encoding="utf-8")
    file = {"--version": (), "segments": (str(library_path()),)}.get(words[0], (str(events),))
    assert loaded_by(*words, *file) & HEAVY == set()


def test_the_version_is_said_without_the_segmenter() -> None:
    """It is what scripts ask first."""
    assert loaded_by("--version") & {"asyncio", "msgpack", "orjson", "yaml", "pydantic"} == set()
