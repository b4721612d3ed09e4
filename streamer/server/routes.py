"""The paths of the server, which role each needs, and the parameters that it knows. ``schemas/openapi.v1.json`` is made of these."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from .tokens import Role

Operation = Literal["customer", "memberships", "segments", "members", "past_members", "changes", "openapi"]
ApiMethod = Literal["GET", "POST"]


class ApiRoute(NamedTuple):
    """A path. ``parts`` are between its slashes, an empty one stands for anything. ``role`` is None where nothing of customers is said."""

    operation: Operation
    method: ApiMethod
    template: str
    role: Role | None
    query: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the path, empty ones for variables."""
        return tuple("" if part.startswith("{") else part for part in self.template.strip("/").split("/"))


ROUTES: Final = (
    ApiRoute("customer", "GET", "/v1/customers/{customer}", "read", ("segments", "explain", "at", "min_position")),
    ApiRoute("memberships", "POST", "/v1/memberships", "read"),
    ApiRoute("segments", "GET", "/v1/segments", "read"),
    ApiRoute("members", "GET", "/v1/segments/{segment}/members", "read", ("cursor", "limit")),
    ApiRoute("past_members", "GET", "/v1/segments/{segment}/past-members", "read", ("at", "cursor", "limit")),
    ApiRoute("changes", "GET", "/v1/changes", "read", ("segments", "last_event_id")),
    ApiRoute("openapi", "GET", "/v1/openapi.json", None),
)
_BY_LENGTH: Final[dict[int, list[ApiRoute]]] = {
    length: [route for route in ROUTES if len(route.parts) == length] for length in {len(route.parts) for route in ROUTES}
}


class Match(NamedTuple):
    """A route, and what stands in its variable part, percent-encoded as it came."""

    route: ApiRoute
    variable: str


def is_of_api(raw_path: str) -> bool:
    """Whether a path belongs to the API, a known one or not: the rest is the page's."""
    return raw_path.startswith("/v1/") or raw_path == "/v1"


def find_route(raw_path: str) -> Match | None:
    """The route of a path without its query; None where there is none. A path has at most one method."""
    parts = raw_path.removeprefix("/").split("/")
    for route in _BY_LENGTH.get(len(parts), ()):
        variable = ""
        for wanted, part in zip(route.parts, parts, strict=True):
            if not part or (wanted and wanted != part):
                break
            variable = variable if wanted else part
        else:
            return Match(route, variable)
    return None
