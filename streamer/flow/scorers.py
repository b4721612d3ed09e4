"""The scorers of models, read from the log or the store and made ready once."""

from __future__ import annotations

from typing import Final, cast

from streamer.customers.features import FEATURES
from streamer.errors import HaltError, RefusedError
from streamer.language.definitions import content_digest
from streamer.learning.scorers.decode import Groups, Scorer, decode_scorer
from streamer.segments.plan.plan import Plan
from streamer.stores.base import Store
from streamer.stores.documents import scorer_document
from streamer.wire import Control, unpack

from .checkpoint import CheckpointBody

SCORERS_MAX: Final = 64  # kept ready for all shards of a worker


class Scorers:
    """Scorers by the digest of their content, decoded once for all shards of a worker."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ready: dict[str, Scorer | Groups] = {}

    def over(self, store: Store) -> Scorers:
        """The same, of shards of another store; what is decoded is decoded for both."""
        others = Scorers(store)
        others._ready = self._ready
        return others

    async def in_force(self, body: CheckpointBody, shard: int) -> dict[str, Scorer | Groups]:
        """Those that serve in a shard, by model; HaltError when the store does not have one."""
        found: dict[str, Scorer | Groups] = {}
        for model, (version, digest) in body.models.items():
            content = await self._store.get_document(scorer_document(model), shard=shard)
            if content is None or content_digest(content) != digest:
                raise HaltError(
                    f"the scorer of version {version} of the model {model!r} is not in the store of shard {shard}; "
                    f"run `streamer shards rebuild {shard}`"
                )
            found[model] = self._decoded(content, digest)
        return found

    def read(self, control: Control, plan: Plan) -> tuple[Scorer | Groups, bytes]:
        """What a ``model`` record carries, ready to score, and as it is. Raises RefusedError when it is damaged or does not fit the
        definitions."""
        content = unpack(control)
        if content_digest(content) != control.digest:
            raise RefusedError("bad_control", path="$.digest", detail="the digest does not fit the content")
        scorer = self._decoded(content, control.digest)
        kinds = {spec.name: spec.kind for spec in plan.definitions.models}
        if kinds.get(control.model) != scorer.kind or scorer.features != FEATURES.version:
            raise RefusedError("bad_control", path="$.model", detail=f"a {scorer.kind} model that the definitions in force do not have")
        _try_out(scorer)
        return scorer, content

    def _decoded(self, content: bytes, digest: str) -> Scorer | Groups:
        if digest not in self._ready:
            if len(self._ready) >= SCORERS_MAX:
                self._ready.pop(next(iter(self._ready)))
            self._ready[digest] = decode_scorer(content)
        return self._ready[digest]


def _try_out(scorer: Scorer | Groups) -> None:
    """Whatever a decoder overlooked shows here rather than at each event: one that reads more features than there are, say."""
    nobody = (0.0,) * len(FEATURES.names)
    try:
        if scorer.kind == "groups":
            cast("Groups", scorer).assign(nobody, None)
        else:
            one = cast("Scorer", scorer)
            one.percentile(one.score(nobody))
    except (ArithmeticError, LookupError, ValueError) as error:
        raise RefusedError("bad_control", path="$.packed", detail=f"it cannot score: {type(error).__name__}") from None
