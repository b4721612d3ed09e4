"""Asks a server with the client that was made of its OpenAPI document. Called with the address, a token, a customer and a segment; prints
one line of JSON: what each operation answered, as the client's own classes write it out again."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

import json
import sys
from typing import Any

from reader_client import AuthenticatedClient, Client
from reader_client.api.default import customer, members, memberships, openapi, segments
from reader_client.models import CustomerExplain, MembershipsQuestion


def ask(address: str, token: str, who: str, segment: str) -> dict[str, Any]:
    with AuthenticatedClient(address, token, raise_on_unexpected_status=True) as client:
        told = {
            "customer": customer.sync(who, client=client),
            "chosen": customer.sync(who, client=client, segments=segment),
            "explained": customer.sync(who, client=client, segments=segment, explain=CustomerExplain.VALUE_1),
            "nobody": customer.sync("no/body?", client=client),
            "memberships": memberships.sync(client=client, body=MembershipsQuestion([who, "nobody"], [segment])),
            "segments": segments.sync(client=client),
            "unknown": members.sync("no_such_segment", client=client),
            "openapi": openapi.sync(client=client),
        }
        pages, cursor = [], {}
        while cursor is not None:
            page = members.sync(segment, client=client, limit=3, **cursor)
            pages.append(page)
            cursor = {"cursor": page.next_cursor} if page.next_cursor is not None else None
    with Client(address, raise_on_unexpected_status=True) as stranger:
        told["stranger"] = segments.sync(client=stranger)
    return {
        **{name: answer.to_dict() for name, answer in told.items()},
        "members": [one.to_dict() for page in pages for one in page.members],
    }


if __name__ == "__main__":
    print(json.dumps(ask(*sys.argv[1:])))
