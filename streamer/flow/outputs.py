"""What a shard says, in order, and the digest by which two runs over one log are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from streamer.customers.state import is_entry
from streamer.examples import Example, encode_example
from streamer.messages.decision import MessageDecision, encode_decision, without_personal_data
from streamer.segments.change import ENTERED, EXITED, ChangeMoment, ChangePosition, ChangeTemplate
from streamer.segments.merge import MergeData, encode_merge
from streamer.segments.unmerge import UnmergeData, encode_unmerge
from streamer.values import time_text
from streamer.wire import CHANGES, EVENTS, EXAMPLES, LEDGER, MESSAGES, Headers, Output

from .rules import Rules

DIGEST_BYTES: Final = 16


class OutputLog:
    """The outputs of one shard since ``clear``, with the output digest over all outputs it ever had.

    ``ordinal`` numbers the outputs of one record of the log. ``change_counts`` counts changes by (segment, type),
    ``decision_counts`` decisions by (message, reason; ``send`` where it is sent), ``weight_bytes`` the
    values of the outputs, and ``has_sent`` is whether one of them goes into the log of a shard; all since ``clear``. ``example_headers``
    stand beside each example; where ``says_examples`` is false none is said.
    """

    def __init__(self, shard: int, rules: Rules, output_digest: bytes, ordinal: int) -> None:
        self.output_digest = output_digest
        self.ordinal = ordinal
        self._shard = shard
        self._generation = rules.log_generation
        self.source = rules.source
        self.example_headers: Headers = ()
        self.says_examples = True
        self._templates: dict[tuple[str, str], tuple[int, ChangeTemplate]] = {}
        self.clear()

    def clear(self) -> None:
        """Begin a slice; output digest and ordinal go on."""
        self.outputs: list[Output] = []
        self.change_counts: Counter[tuple[str, str]] = Counter()
        self.decision_counts: Counter[tuple[str, str]] = Counter()
        self.weight_bytes = 0
        self.has_sent = False

    def add(self, topic: str, partition: int, offset: int, key: bytes, value: bytes, headers: Headers = ()) -> None:
        """One output for the record at ``offset``. Its digest becomes that of the digest before it and of the output."""
        self.outputs.append(Output(topic, partition, offset, self.ordinal, key, value, headers))
        place = b"%d-%d" % (offset, self.ordinal)
        self.output_digest = blake2b(self.output_digest + topic.encode() + place + value, digest_size=DIGEST_BYTES).digest()
        self.ordinal += 1
        self.weight_bytes += len(value)

    def send(self, partition: int, offset: int, key: bytes, value: bytes, headers: Headers) -> None:
        """A record for the log of a shard, which may be this one."""
        self.has_sent = True
        self.add(EVENTS, partition, offset, key, value, headers)

    def add_change(
        self, customer: str, segment: str, sequence: int, moment: ChangeMoment, because: bytes, version: int, offset: int
    ) -> None:
        """A customer entered a segment (odd ``sequence``) or left it, under definitions of this ``version``; ``because`` is JSON."""
        kind = ENTERED if is_entry(sequence) else EXITED
        template = self._templates.get((segment, kind))
        if template is None or template[0] != version:
            made = ChangeTemplate(self.source, self._generation, self._shard, segment, kind, version)
            template = self._templates[segment, kind] = version, made
        change = template[1].fill(moment, sequence, because, offset, self.ordinal)
        self.add(CHANGES, self._shard, offset, customer.encode(), change)
        self.change_counts[segment, kind] += 1

    def add_merge(self, to: str, from_: str, also: Iterable[str], now: int, cause: str, offset: int) -> None:
        """The past of the id ``from_`` has come to the customer ``to``, and ``also`` further ids lead to them now; at ``now``, log time."""
        position = self.position(offset)
        data = MergeData(from_=from_, to=to, also=sorted(also), at=time_text(now), cause=cause, position=position)
        self.add(CHANGES, self._shard, offset, to.encode(), encode_merge(self.source, data))

    def add_unmerge(self, to: str, from_: str, also: Iterable[str], now: int, offset: int) -> None:
        """The id ``to`` is a customer again, who went by ``from_`` until now, and ``also`` further ids lead to it; at ``now``, log time."""
        data = UnmergeData(from_=from_, to=to, also=sorted(also), at=time_text(now), position=self.position(offset))
        self.add(CHANGES, self._shard, offset, to.encode(), encode_unmerge(self.source, data))

    def position(self, offset: int) -> ChangePosition:
        """Where in the story the next output for the record at ``offset`` stands."""
        return ChangePosition(self._generation, self._shard, offset, self.ordinal)

    def add_decision(self, customer: str, decision: MessageDecision, offset: int) -> None:
        """What was decided of a message: for whoever sends it, and for the ledger, which outlives addresses. Its position is that of the
        former."""
        key = customer.encode()
        self.add(MESSAGES, self._shard, offset, key, encode_decision(decision))
        self.add(LEDGER, self._shard, offset, key, encode_decision(without_personal_data(decision)))
        self.decision_counts[decision.data.message, decision.data.reason or decision.outcome] += 1

    def add_example(self, example: Example) -> None:
        """An example for the learner, where any is said. Its ordinal and the log's generation are filled in here."""
        if not self.says_examples:
            return
        example.ordinal, example.generation = self.ordinal, self._generation
        self.add(EXAMPLES, self._shard, example.offset, b"", encode_example(example), self.example_headers)
