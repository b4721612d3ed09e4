"""The description of the API as OpenAPI 3.1, made of the routes and of the bodies that the code itself uses.

``schemas/openapi.v1.json`` is this; a test compares the two, and another holds real answers against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import cleandoc
from typing import Final, NamedTuple

import msgspec

from streamer import __version__
from streamer.values import Json

from .answers import CustomerAnswer, MembersAnswer, MembershipsAnswer, MembershipsQuestion, PastMembersAnswer, SegmentsAnswer
from .errors import STATUS, AnswerCode, ErrorBody
from .routes import ROUTES, ApiRoute, Operation

OpenApiPart = dict[str, Json]  # a part of the document


class About(NamedTuple):
    """What is said of an operation besides its route: in words, its answer, its question, and the errors of its own."""

    summary: str
    answer: type | None
    question: type | None = None
    errors: Sequence[AnswerCode] = ()


CHANGES_WORDS: Final = (
    "Segment changes as server-sent events, each once, in order within each shard. The id of an event is a position in all shards: with it "
    "as Last-Event-ID a stream goes on behind it, without a gap or a repetition. Data is a CloudEvent: segment-change.v1.json, "
    "customer-merged.v1.json or customer-unmerged.v1.json. Where Accept names text/event-stream, as a browser's EventSource sends it, 503 "
    "comes as 200 with an event "
    "`unavailable`, whose data is an ErrorBody, and an end: EventSource comes back after no other status."
)
ABOUT: Final[Mapping[Operation, About]] = {
    "customer": About(
        "One customer: memberships, since when, next flips, scores; and why, if asked; now, or at a moment of the past.",
        CustomerAnswer,
        errors=("unknown_customer", "unknown_segment", "past_unknown", "kafka_away", "not_yet", "being_joined", "unreadable"),
    ),
    "memberships": About(
        "Up to 100 customers at once.", MembershipsAnswer, MembershipsQuestion, ("too_large", "slow_body", "unknown_segment", "unreadable")
    ),
    "segments": About("The segments in force, with their exact sizes.", SegmentsAnswer, errors=("not_ready",)),
    "members": About(
        "The members of a segment, page by page. A page reads up to 2,000 states; sizes are exact without reading any.",
        MembersAnswer,
        errors=("unknown_segment", "bad_cursor", "cursor_expired", "not_ready", "unreadable"),
    ),
    "past_members": About(
        "Who was in a segment at a moment of the past, page by page: by who is in it now, and by what was said since.",
        PastMembersAnswer,
        errors=("unknown_segment", "past_unknown", "bad_cursor", "cursor_expired", "kafka_away", "unreadable"),
    ),
    "changes": About(CHANGES_WORDS, None, errors=("bad_cursor", "cursor_expired", "kafka_away")),
    "openapi": About("This document.", None),
}
ALWAYS: Final[Sequence[AnswerCode]] = ("bad_request", "host_not_allowed", "overloaded", "store_away", "internal")
WITH_ROLE: Final[Sequence[AnswerCode]] = ("missing_token", "unknown_token", "role_missing")
MIN_POSITION: Final = (
    "SHARD:OFFSET of a record of this customer's in the events topic, as a producer is told it: the answer waits up to a second for it to "
    "be applied, and is 425 otherwise. Under an old id it means applied there; what was sent on from there may still be under way."
)
AT: Final = (
    "As of this moment, such as 2026-01-31T12:00:00Z. Of a customer: they are told anew from their own records in the log, under the "
    "definitions and models of then; an id that leads to another by now is who it was then. Of a time at which nothing was known of them, "
    "what was imported since says who they were (of_history). No flips are looked for. 404 past_unknown: where their records lie was not "
    "noted, or the log has lost some. Of a segment, where it must be given: who was in it, by what was said since; 404 past_unknown "
    "where the topic of changes does not keep that any more."
)
PARAMETERS: Final[Mapping[str, tuple[str, OpenApiPart]]] = {
    "customer": ("The customer's id, percent-encoded; one of before a merge leads to the survivor.", {"type": "string", "maxLength": 256}),
    "segment": ("The name of a segment.", {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$"}),
    "segments": ("Names of segments, separated by commas; left out: see the answer.", {"type": "string"}),
    "explain": ("1: say why, too.", {"enum": ["0", "1"]}),
    "at": (AT, {"type": "string", "format": "date-time"}),
    "min_position": (MIN_POSITION, {"type": "string", "pattern": "^[0-9]{1,4}:[0-9]{1,18}$"}),
    "last_event_id": ("The same as the header Last-Event-ID, for a first connection that cannot send one.", {"type": "string"}),
    "cursor": ("next_cursor of the page before.", {"type": "string"}),
    "limit": ("Members of a page at most.", {"type": "integer", "minimum": 1, "maximum": 1_000, "default": 100}),
}


def _describe() -> OpenApiPart:
    kinds = [kind for about in ABOUT.values() for kind in (about.answer, about.question) if kind is not None]
    _, schemas = msgspec.json.schema_components([*kinds, ErrorBody], ref_template="#/components/schemas/{name}")
    for schema in schemas.values():
        if "description" in schema:
            schema["description"] = " ".join(cleandoc(schema["description"]).split())
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "streamer: customers and segments",
            "version": __version__,
            "description": "What is committed of customers, with its age. Every answer says as of when and up to which position it holds.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://localhost:8090"}],
        "paths": {route.template: {route.method.lower(): _operation(route)} for route in ROUTES},
        "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(route: ApiRoute) -> OpenApiPart:
    about = ABOUT[route.operation]
    found: OpenApiPart = {
        "operationId": route.operation,
        "summary": about.summary,
        "security": [{"token": []}] if route.role is not None else [],
        "parameters": [*_path_parameters(route), *(_parameter(name, "query") for name in route.query)],
        "responses": {"200": _answer(route, about), **_errors(route, about)},
    }
    if about.question is not None:
        found["requestBody"] = {"required": True, "content": _json(about.question.__name__)}
    if route.role is not None:
        found["description"] = f"Where tokens are needed: one with the role {route.role}."
    return found


def _path_parameters(route: ApiRoute) -> list[OpenApiPart]:
    names = [part.strip("{}") for part in route.template.split("/") if part.startswith("{")]
    return [_parameter(name, "path") for name in names]


def _parameter(name: str, place: str) -> OpenApiPart:
    words, schema = PARAMETERS[name]
    return {"name": name, "in": place, "required": place == "path", "description": words, "schema": schema}


def _answer(route: ApiRoute, about: About) -> OpenApiPart:
    kind = "text/event-stream" if route.operation == "changes" else "application/json"
    plain: OpenApiPart = {kind: {"schema": {"type": "string" if route.operation == "changes" else "object"}}}
    content = plain if about.answer is None else _json(about.answer.__name__)
    found: OpenApiPart = {"description": about.summary, "content": content}
    if route.operation == "customer":
        etag = "Weak; the same while nothing but the age of the answer differs. Sent back as If-None-Match it gives 304."
        found["headers"] = {"ETag": {"description": etag, "schema": {"type": "string"}}}
    return found


def _errors(route: ApiRoute, about: About) -> OpenApiPart:
    """By status, with the codes that have it."""
    by_status: dict[str, list[str]] = {}
    for code in (*ALWAYS, *(WITH_ROLE if route.role is not None else ()), *about.errors):
        by_status.setdefault(str(STATUS[code]), []).append(code)
    found: OpenApiPart = {
        status: {"description": ", ".join(codes), "content": _json(ErrorBody.__name__)} for status, codes in sorted(by_status.items())
    }
    if route.operation == "customer":
        found["304"] = {"description": "Nothing but the age of the answer differs."}
    return found


def _json(name: str) -> OpenApiPart:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


OPENAPI: Final = _describe()
