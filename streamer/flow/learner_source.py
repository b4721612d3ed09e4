"""Learners of the versions of definitions that were published."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from importlib import import_module
from typing import TYPE_CHECKING

from streamer.customers.features import FEATURES
from streamer.errors import HaltError
from streamer.language.definitions import Definitions
from streamer.segments.feature_leakage import excluded_features

from .catalog import read_definitions
from .published import Versions

if TYPE_CHECKING:
    from streamer.learning.learner import Learner


class LearnerSource:
    """Makes learners. Each method raises HaltError where the topic of definitions lacks the version that it asks for."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._last: tuple[int, Definitions] | None = None  # one switch asks for them several times

    async def definitions(self, version: int) -> Definitions:
        """The definitions of a version."""
        if self._last is None or self._last[0] != version:
            content = await self._versions.content(version)
            if content is None:
                raise HaltError(f"an example names version {version} of the definitions, and the topic of definitions does not have it")
            self._last = version, read_definitions(content)
        return self._last[1]

    async def of(self, version: int, dumped: bytes) -> Learner:
        """One for the models of a version, of which those that were dumped go on as they were; empty: none was."""
        kind, definitions = await self._kind(), await self.definitions(version)
        specs, out = definitions.models, excluded_features(definitions, FEATURES)
        if dumped:
            return kind.restore(specs, FEATURES, dumped, zone=definitions.clock, left_out=out)
        return kind(specs, FEATURES, zone=definitions.clock, left_out=out)

    async def of_the_past(self, version: int, models: Collection[str], *, dumped: bytes, beside: bytes) -> Learner:
        """One that learns the past of some models of a version: as it was dumped, or else a new one, to join the one that is ``beside``."""
        kind, definitions = await self._kind(), await self.definitions(version)
        specs, out = [spec for spec in definitions.models if spec.name in models], excluded_features(definitions, FEATURES)
        if dumped:
            return kind.restore(specs, FEATURES, dumped, zone=definitions.clock, left_out=out)
        return kind.of_the_past(specs, FEATURES, beside, zone=definitions.clock, left_out=out)

    @staticmethod
    async def _kind() -> type[Learner]:
        """It takes a second and 100 MB: a worker that only scores needs none of it, and the shards share the loop."""
        return (await asyncio.to_thread(import_module, "streamer.learning.learner")).Learner
