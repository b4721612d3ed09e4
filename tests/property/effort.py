"""How hard the properties are tried: ``STREAMER_TEST_EXAMPLES`` is the number of examples of the heaviest one (others scale along)."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

DEFAULT = 120
WANTED = int(os.environ.get("STREAMER_TEST_EXAMPLES", str(DEFAULT)))


def effort(share: float = 1.0) -> settings:
    """Settings for a property that gets a share of the wanted examples; the same examples in each run unless more are wanted."""
    return settings(
        max_examples=max(10, round(WANTED * share)),
        derandomize=WANTED == DEFAULT,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.filter_too_much,
            HealthCheck.large_base_example,
        ],
    )
