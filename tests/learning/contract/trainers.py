"""All kinds of trainers on one stream; run as a program it prints a digest of everything they know, for comparing processes."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from functools import cache

import msgspec

from streamer.examples import Example, FeatureList, ModelSpec
from streamer.learning.learner import Learner
from streamer.learning.models.propensity import TrainingLimits
from streamer.learning.models.trainer import Trainer
from tests.learning.outcomes import CHURN, DAY_MS, FEATURES, PURCHASE, VALUE, Step, moments

LIMITS = TrainingLimits(warm_up=300, publish_after=500)
SPECS = (
    PURCHASE,
    CHURN,
    VALUE,
    ModelSpec("behaviour", "groups", groups=3),
    ModelSpec("alike", "lookalike", seed="loyal"),
    ModelSpec("odd", "unusual"),
)


@cache
def stream(count: int = 2_600) -> tuple[Example, ...]:
    """Outcomes for the supervised, a profile of every second customer for all, at 60 an hour: about four days a thousand."""
    plain = Step(PURCHASE).examples(moments(count, per_hour=60, seed=4))
    return tuple(_with_profiles(plain))


def _with_profiles(examples: Iterator[Example]) -> Iterator[Example]:
    for number, example in enumerate(examples):
        yield example
        if example.kind == "train" and number % 2:
            seeds = ("loyal",) if example.x[4] > 6 else ()
            yield msgspec.structs.replace(example, kind="profile", model="", t_ms=0, label=0, amount=0, score=None, seeds=seeds, ordinal=1)


def of_model(example: Example, spec: ModelSpec) -> Example:
    """The same outcome, for another model."""
    return msgspec.structs.replace(example, model=spec.name) if example.model else example


def learner(spec: ModelSpec, features: FeatureList = FEATURES) -> Learner:
    """One that has nothing else to do."""
    return Learner([spec], features, LIMITS)


def trainer(spec: ModelSpec) -> Trainer:
    """The trainer inside."""
    return learner(spec).trainers[spec.name]


def digests(count: int) -> Iterator[str]:
    """What each kind knows after the stream."""
    for spec in SPECS:
        one = learner(spec)
        for example in stream(count):
            one.take(of_model(example, spec))
        yield f"{spec.kind} {hashlib.sha256(one.dump()).hexdigest()}"


HORIZON_MS = DAY_MS

if __name__ == "__main__":
    print("\n".join(digests(int(sys.argv[1]))))
