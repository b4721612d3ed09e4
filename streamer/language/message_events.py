"""What customers and providers say about messages, as conditions of the language: consent, and addresses that are not to be used.

Consent and suppression are events like all others, so a shop may ask the same of them in its own segments.
"""

from __future__ import annotations

from typing import Final, Literal

from . import tree
from .message_specs import Consent
from .tree import Condition, Events

CONSENT_GIVEN: Final = "Consent Given"
CONSENT_WITHDRAWN: Final = "Consent Withdrawn"
UNSUBSCRIBED: Final = "Message Unsubscribed"
BOUNCED: Final = "Message Bounced"
COMPLAINED: Final = "Message Complained"
SUPPRESSED: Final = "Message Suppressed"
UNSUPPRESSED: Final = "Message Unsuppressed"
FAILED: Final = "Message Failed"

TOPIC: Final = tree.Prop(("topic",))
CHANNEL: Final = tree.Prop(("channel",))
PERMANENT: Final = tree.Compare(tree.Prop(("permanent",)), "==", True)

Suppression = Literal["bounced", "complained", "suppressed"]


def may_send(topic: str, consent: Consent, channel: str) -> Condition:
    """Whether a customer allows messages of a topic on a channel: of two events of one time it is the withdrawal that counts."""
    given = tree.Last(Events((CONSENT_GIVEN,), tree.And((_of_topic(topic), _on_or_any(channel)))))
    withdrawals = (
        tree.Last(Events((CONSENT_WITHDRAWN,), tree.And((_of_topic(topic), _on_or_any(channel))))),
        tree.Last(Events((UNSUBSCRIBED,), tree.Or((_of_topic(topic), tree.Not(tree.Exists(TOPIC)))))),
    )
    stands: list[Condition] = [_none_since(withdrawal, given) for withdrawal in withdrawals]
    return tree.And((tree.Exists(given), *stands) if consent == "opt_in" else tuple(stands))


def suppressions(channel: str) -> tuple[tuple[Suppression, Condition], ...]:
    """Why a customer must not be written to on a channel, each with whether it is so: until somebody says ``Message Unsuppressed``."""
    on = tree.Compare(CHANNEL, "==", channel)
    lifted = tree.Last(Events((UNSUPPRESSED,), on))
    said: tuple[tuple[Suppression, Events], ...] = (
        ("bounced", Events((BOUNCED,), tree.And((PERMANENT, on)))),
        ("complained", Events((COMPLAINED,), on)),
        ("suppressed", Events((SUPPRESSED,), on)),
    )
    return tuple((name, tree.Not(_none_since(tree.Last(events), lifted))) for name, events in said)


def _of_topic(topic: str) -> Condition:
    return tree.Compare(TOPIC, "==", topic)


def _on_or_any(channel: str) -> Condition:
    return tree.Or((tree.Compare(CHANNEL, "==", channel), tree.Not(tree.Exists(CHANNEL))))


def _none_since(last: tree.Last, other: tree.Last) -> Condition:
    """Whether there is no ``last``, or ``other`` is later."""
    return tree.Or((tree.Not(tree.Exists(last)), tree.CompareTime(other, ">", last)))
