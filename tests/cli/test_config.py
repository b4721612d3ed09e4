"""``streamer config`` and the help: what a newcomer reads first."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamer.cli import HOMES, command_line
from streamer.settings import Settings, without_password
from tests.cli.conftest import ROOT, Run, run_apart

COMMANDS = (
    *(
        "demo",
        "worker",
        "replay",
        "explain",
        "erase",
        "config",
        "send",
        "doctor",
        "segments",
        "segments check",
        "segments publish",
        *(f"segments {name}" for name in ("status", "diff", "cut-over", "rollback", "cancel")),
    ),
    *("customers", "customers show", "customers links", "customers merge"),
    *("webhooks", "webhooks run", "webhooks add", "webhooks list", "webhooks show", "webhooks pause", "webhooks resume"),
    *("webhooks test", "webhooks replay", "webhooks log", "webhooks remove", "webhooks secret"),
    *("models", "models list", "models show", "models pin", "models rollback", "models unpin", "models evaluate"),
)
SECRETS = {
    "STREAMER_STORE": "redis://me:hunter2/?#@localhost:6379/0?password=hunter2",
    "STREAMER_KAFKA_USERNAME": "me",
    "STREAMER_KAFKA_PASSWORD": "hunter2",
}


def test_every_setting_is_printed_under_the_name_of_its_variable(run: Run) -> None:
    """Whoever wants to change one needs its name, its value and what it is for."""
    told = run("config")
    assert told.code == 0
    assert [line.split()[0] for line in told.out.splitlines()] == [f"STREAMER_{name.upper()}" for name in Settings.model_fields]
    assert all(str(field.description) in told.out for field in Settings.model_fields.values())


def test_secrets_are_stars(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed ends in tickets and chats."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    for told in (run("config"), run("config", "--json")):
        assert told.code == 0
        assert "hunter2" not in told.out + told.err
        assert "********" in told.out
        assert "localhost:6379" in told.out


def test_the_same_for_machines(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """One object, by name; what is not set has its default."""
    monkeypatch.setenv("STREAMER_SHARDS", "7")
    shown = json.loads(run("config", "--json").out)
    assert set(shown) == set(Settings.model_fields)
    assert (shown["shards"], shown["lateness"]) == (7, "1d")


def test_a_file_is_read_after_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A container's environment overrides the file that all of them share."""
    (tmp_path / "streamer.toml").write_text('shards = 5\nnamespace = "shop"\n', encoding="utf-8")
    monkeypatch.setenv("STREAMER_CONFIG", str(tmp_path / "streamer.toml"))
    monkeypatch.setenv("STREAMER_SHARDS", "7")
    shown = json.loads(run("config", "--json").out)
    assert (shown["shards"], shown["namespace"]) == (7, "shop")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("STREAMER_SHARDS", "many", "STREAMER_SHARDS: "),
        (
            "STREAMER_STORE",
            "hunter2",
            "STREAMER_STORE: expected an address that begins with redis://, rediss://, unix://, ",
        ),
        ("STREAMER_LATENESS", "a day", "STREAMER_LATENESS: expected a duration"),
        ("STREAMER_CONFIG", "/no/such/file", "STREAMER_CONFIG: expected a TOML file, found nothing at /no/such/file"),
    ],
)
def test_a_setting_that_is_none_is_named_without_its_value(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    """It may be a secret under the wrong name."""
    monkeypatch.setenv(name, value)
    told = run("config")
    assert (told.code, told.out) == (3, "")
    assert says in told.err
    assert len(told.err.splitlines()) == 1
    assert "hunter2" not in told.err


@pytest.mark.parametrize("name", ["password", "ssl_password", "SSL_PASSWORD", "ssl_keyfile", "access_token", "client-secret", "api_key"])
def test_a_secret_in_the_query_of_an_address_is_stars(name: str) -> None:
    """A library's own options travel there, and only some of them are called password."""
    for address in (f"rediss://h/0?{name}=hunter2", f"rediss://h/0?db=1&{name}=hunter2&timeout=5", f"unix:///run/r?{name}=hunter2/?#@x"):
        shown = without_password(address)
        assert "hunter2" not in shown
        assert f"{name}=********" in shown
    assert without_password("redis://h:1/0?db=1&timeout=5") == "redis://h:1/0?db=1&timeout=5"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_help_with_its_exit_codes(run: Run, command: str) -> None:
    """A script's author looks for them there."""
    told = run(*command.split(), "--help")
    assert told.code == 0
    assert "Exit codes: 0 done; 1 the answer is no" in told.out
    assert all(len(line) <= 140 for line in told.out.splitlines())


@pytest.mark.parametrize("group", ["", "segments", "models", "webhooks"])
def test_the_help_names_all_commands_whole(run: Run, group: str) -> None:
    """A sentence that is cut off is no help."""
    told = run(*group.split(), "--help")
    listing = told.out.partition("Commands:")[2].partition("Exit codes")[0]
    assert "..." not in listing
    names = [command.removeprefix(group).strip() for command in COMMANDS if command.startswith(group) and command != group]
    assert all(f"  {name} " in listing for name in names if " " not in name)


def test_without_a_command_there_is_help_and_wrong_use() -> None:
    """The module, the name of the program and the exit code as a shell sees them."""
    told = run_apart()
    assert told.returncode == 2
    assert b"Usage:" in told.stdout + told.stderr
    unknown = run_apart("replya", "x")
    assert unknown.returncode == 2
    assert b"No such command 'replya'" in unknown.stderr


def test_every_command_is_found_by_its_first_word() -> None:
    """A file is imported only for its own commands: one that is missing from the list would be slow, or not there."""
    listed = {command.split()[0] for command in COMMANDS}
    assert {word for words in HOMES.values() for word in words} >= listed | {"--version"}
    for word in listed:
        told = CliRunner().invoke(command_line(word), [word, "--help"], catch_exceptions=False)
        assert told.exit_code == 0
        assert "Usage:" in told.stdout


def test_the_version_costs_no_import_of_the_product() -> None:
    """The first question in every report of a fault, and asked by scripts; it took a second."""
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "streamer", "--version"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in told.stderr.splitlines()}
    assert told.stdout.strip() == version("streamer")
    assert "streamer.cli" in imported, "the list was read"
    assert not {"streamer.language", "streamer.segments", "streamer.flow", "redis", "aiokafka", "faust", "pydantic"} & imported


def test_the_version_is_told(run: Run) -> None:
    """The first question in every report of a fault."""
    told = run("--version")
    assert told.code == 0
    assert told.out.strip().count(".") == 2


def test_no_two_programs_listen_on_one_port_unless_they_are_told_to() -> None:
    """All of them run on one machine in a trial, and the second one on a port does not start."""
    ports = {name: field.default for name, field in Settings.model_fields.items() if name.endswith("_port")}
    ports.pop("smtp_port")  # of somebody else's server
    assert len(set(ports.values())) == len(ports), ports
