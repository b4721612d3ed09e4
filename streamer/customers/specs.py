"""All kinds of memories: what is remembered for rules, and what for models."""

from __future__ import annotations

from .memories import RuleSpec
from .model_data import AwaitedMemory, ScoreMemory
from .profile import ProfileMemory

Spec = RuleSpec | ProfileMemory | ScoreMemory | AwaitedMemory
