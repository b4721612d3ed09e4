"""``docker-compose.yml`` without Docker: it follows the specification, opens nothing to the network, and waits for what it needs."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import jsonschema_rs
import pytest
import yaml

TOP = Path(__file__).parents[3]
COMPOSE = cast("dict[str, Any]", yaml.safe_load((TOP / "docker-compose.yml").read_text()))
SERVICES = cast("dict[str, dict[str, Any]]", COMPOSE["services"])
every_service = pytest.mark.parametrize("name", sorted(SERVICES))


def test_it_follows_the_compose_specification() -> None:
    """A misspelt key is ignored by some versions of Compose and fatal for others."""
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    validator = jsonschema_rs.validator_for(json.loads(schema.read_text()))
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    assert not validator.is_valid({**COMPOSE, "services": {"kafka": {"imagge": "x"}}})


def test_it_has_what_it_promises() -> None:
    """Kafka, Redis, two workers, the definitions' publisher, eyes on them; the other processes only where asked for."""
    begun = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert begun == {"kafka", "redis", "publish", "worker-1", "worker-2", "prometheus", "grafana"}
    assert {"ingest", "collect", "webhooks", "send", "serve"} == SERVICES.keys() - begun


@every_service
def test_each_service_says_where_its_image_comes_from(name: str) -> None:
    """Never ``latest``: the same file has to give the same servers next year."""
    service = SERVICES[name]
    if "build" in service:
        assert (TOP / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    else:
        tag = service["image"].partition(":")[2]
        assert tag.lstrip("v")[:1].isdigit()


@every_service
def test_each_port_is_bound_to_this_machine_alone(name: str) -> None:
    """Docker's ports pass by the firewall; neither Kafka nor Redis asks for a password here."""
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:")


@every_service
def test_each_service_can_say_whether_it_is_well_or_ends_by_itself(name: str) -> None:
    """Without a health check "up" means only that a process exists."""
    service = SERVICES[name]
    if _ends_by_itself(service):
        assert service["restart"] == "no"
    else:
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
        assert {"interval", "timeout", "retries"} <= set(service["healthcheck"])
        assert service["restart"] == "unless-stopped"


@every_service
def test_each_dependency_can_be_met(name: str) -> None:
    """Waiting for the health of a service without a health check waits for ever."""
    for other, how in SERVICES[name].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if _ends_by_itself(SERVICES[other]) else "service_healthy"
        assert wanted == how["condition"]


@every_service
def test_each_service_is_bounded(name: str) -> None:
    """In memory and in what it logs."""
    assert "mem_limit" in SERVICES[name]
    assert {"max-size", "max-file"} == set(SERVICES[name]["logging"]["options"])


@every_service
def test_each_mounted_path_exists(name: str) -> None:
    """Docker makes a folder of a missing path, and the server then fails on it."""
    for volume in SERVICES[name].get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (TOP / source).exists(), source
            assert volume.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


def test_a_worker_finds_its_servers_under_the_names_they_have() -> None:
    """An address is written in two places; both must agree."""
    for name in ("publish", "worker-1", "worker-2"):
        environment = SERVICES[name]["environment"]
        assert f"INTERNAL://{environment['STREAMER_KAFKA']}" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
        assert environment["STREAMER_STORE"].startswith("redis://redis:")


def test_the_store_never_evicts_and_keeps_a_file() -> None:
    """What the worker verifies at its start."""
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert (options["--maxmemory-policy"], options["--appendonly"]) == ("noeviction", "yes")


def test_every_variable_is_a_setting() -> None:
    """A variable that nobody reads looks like a setting that has no effect."""
    from streamer.settings import Settings  # noqa: PLC0415 - only here

    known = {f"STREAMER_{name.upper()}" for name in Settings.model_fields}
    assert set(SERVICES["worker-1"]["environment"]) | set(SERVICES["ingest"]["environment"]) <= known


def _ends_by_itself(service: dict[str, Any]) -> bool:
    return service["healthcheck"].get("disable", False)
