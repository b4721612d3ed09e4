"""``schemas/openapi.v1.json`` is what the code says; that real answers fit it, ``desk`` sees to in every other test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

from streamer.server.openapi import ABOUT, OPENAPI
from streamer.server.routes import ROUTES

FILE = Path(__file__).parents[3] / "schemas" / "openapi.v1.json"


def test_the_file_is_what_the_code_says() -> None:
    """Whoever makes a client of the file must get one that fits. To renew it: python -m tests.unit.server.test_openapi."""
    assert json.loads(FILE.read_text(encoding="utf-8")) == json.loads(json.dumps(OPENAPI))


def test_the_document_is_one_by_the_specification_of_openapi() -> None:
    """By a validator that knows no more of us than generators do."""
    validate(OPENAPI, cls=OpenAPIV31SpecValidator)
    with pytest.raises(OpenAPIValidationError):
        validate({**OPENAPI, "paths": {"no_slash": {}}}, cls=OpenAPIV31SpecValidator)


def test_every_route_and_reference_is_described() -> None:
    """A path that nobody can find is not there, and a reference to nothing breaks generators."""
    assert {route.operation for route in ROUTES} == set(ABOUT)
    text = json.dumps(OPENAPI)
    named = {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert named == set(OPENAPI["components"]["schemas"])
    for route in ROUTES:
        [operation] = OPENAPI["paths"][route.template].values()
        wanted = {part.strip("{}") for part in route.template.split("/") if part.startswith("{")} | set(route.query)
        assert {one["name"] for one in operation["parameters"]} == wanted


if __name__ == "__main__":
    FILE.write_text(json.dumps(OPENAPI, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
