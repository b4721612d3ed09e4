"""What we sign is verified by the library that receivers use: npm's ``standardwebhooks``, which shares no code with ours."""

from __future__ import annotations

import base64
import json
import subprocess
from time import time

from streamer.webhooks.signatures import Signatory, new_secret
from tests.clients.conftest import needs
from tests.clients.installed import node, node_clients
from tests.clients.programs import HERE

BODY = '{"subject": "née 🙂", "data": {"sequence": 1}}'


def verify(*deliveries: tuple[str, dict[str, str], str]) -> list[dict[str, object]]:
    """What the library says of each (secret, headers, body)."""
    given = [
        json.dumps({"secret": secret, "headers": headers, "body": base64.b64encode(body.encode()).decode()})
        for secret, headers, body in deliveries
    ]
    done = subprocess.run(
        [str(node()), str(HERE / "standard_webhooks.cjs")],
        input="\n".join(given).encode(),
        env={"NODE_PATH": str(node_clients())},
        stdout=subprocess.PIPE,
        timeout=20,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_library_of_the_standard_verifies_what_we_sign_and_nothing_else() -> None:
    """With the new secret and, while it is changed, with the old one; not with another, not another body, not an old delivery."""
    needs(node, node_clients)
    new, old = new_secret(), new_secret()
    now_ms = int(time() * 1_000)
    headers = Signatory([new, old]).headers("1-0-7-0-abc", now_ms, BODY)
    stale = Signatory([new]).headers("1-0-7-0-abc", now_ms - 600_000, BODY)
    told = verify(
        (new, headers, BODY),
        (old, headers, BODY),
        (new_secret(), headers, BODY),
        (new, headers, BODY + " "),
        (new, {**headers, "webhook-id": "1-0-8-0-abc"}, BODY),
        (new, stale, BODY),
    )
    assert told[:2] == [{"told": json.loads(BODY)}] * 2
    assert [list(one) for one in told[2:]] == [["refused"]] * 4
    assert told[-1] == {"refused": "Message timestamp too old"}
