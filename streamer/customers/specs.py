"""All kinds of memories: what is remembered for rules, for messages, and for models."""

from __future__ import annotations

from .cart import Cart
from .memories import RuleSpec
from .model_data import AwaitedMemory, ScoreMemory
from .profile import ProfileMemory

Spec = RuleSpec | Cart | ProfileMemory | ScoreMemory | AwaitedMemory
