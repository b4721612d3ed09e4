"""The examples of the README, as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def example(section: str, language: str, word: str, **replaced: str) -> str:
    """The one example of a section in a language with that word in it, with other texts for those in it that a test cannot use."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(section)}$(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"the README has no section {section}"
    [code] = [code for kind, code in BLOCK.findall(found[1]) if kind == language and word in code]
    for one, other in replaced.items():
        assert one in code, f"the example says nothing of {one}"
        code = code.replace(one, other)
    return code
