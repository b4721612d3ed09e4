"""What ``streamer doctor`` says of a collector by its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streamer.cli.checks.collector_checks import check_collector
from streamer.collector.keys import new_key
from streamer.settings import Settings


def said(**settings: Any) -> list[tuple[str, str]]:
    """Verdict and finding of each result."""
    return [(found.verdict, found.found) for found in check_collector(Settings(**settings))]


def test_who_collects_nothing_hears_nothing_of_it() -> None:
    """Most installations have no collector on the machine on which they ask."""
    assert said() == []


def test_a_file_of_keys_that_cannot_be_used_is_wrong(tmp_path: Path) -> None:
    """A collector that runs goes on with the old ones, so nobody notices before the next start."""
    file = tmp_path / "keys.toml"
    [(verdict, why)] = said(collect_keys=file)
    assert (verdict, "cannot read" in why) == ("wrong", True)
    file.write_text("[keys.web]")
    assert [verdict for verdict, _ in said(collect_keys=file)] == ["wrong"]
    [(verdict, why)] = said(collect_host="0.0.0.0")  # noqa: S104 - it is refused
    assert (verdict, "this machine alone" in why) == ("wrong", True)


def test_a_proxy_that_is_not_believed_makes_one_address_of_all_customers(tmp_path: Path) -> None:
    """Their rates then hold for all of them together, and the first busy hour is answered with 429."""
    file = tmp_path / "keys.toml"
    file.write_text(new_key("server")[1])
    assert said(collect_keys=file) == [("ok", "1 write keys, 0 of them for browsers")]
    file.write_text(new_key("browser")[1])
    assert [verdict for verdict, _ in said(collect_keys=file)] == ["ok", "warning"]
    assert [verdict for verdict, _ in said(collect_keys=file, collect_proxies="10.0.0.0/8")] == ["ok"]
    assert [verdict for verdict, _ in said(collect_keys=file, collect_host="0.0.0.0")] == ["ok"]  # noqa: S104 - it only says
