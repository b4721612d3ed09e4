"""What Kafka fails at, as an error of ours."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from aiokafka.errors import KafkaError

from streamer.errors import UnansweredError


@contextmanager
def answering(then: str = "") -> Generator[None]:
    """UnansweredError, which names the kind alone, where Kafka does not do its part. ``then``: what is to be done about it."""
    try:
        yield
    except (KafkaError, TimeoutError, OSError) as error:
        raise UnansweredError(f"Kafka did not do its part ({type(error).__name__}){then and f'; {then}'}") from None


__all__ = ["answering"]
