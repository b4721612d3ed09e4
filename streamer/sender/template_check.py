"""Whether a folder of templates has what messages need, and messages have what templates need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from streamer.errors import DefinitionError
from streamer.language.definitions import Definitions
from streamer.language.message_specs import CartFact, MessageSpec
from streamer.suggest import did_you_mean

from .templates.folder import Templates


class TemplateFault(NamedTuple):
    """What is wrong with the template of a message, and where the message stands."""

    message: MessageSpec
    text: str
    hint: str = ""


def template_faults(definitions: Definitions, folder: Path) -> Iterator[TemplateFault]:
    """Templates that are not there or cannot be read, and names in them that no fact of their message has, or no item of one."""
    if not folder.is_dir():
        raise DefinitionError("expected a folder of templates, found none", file=str(folder))
    templates = Templates(folder)
    if not templates.names and not templates.problems:
        raise DefinitionError("expected templates in it, NAME/LANGUAGE/subject.liquid and text.liquid, found none", file=str(folder))
    yield from faults_of(definitions, templates)


def faults_of(definitions: Definitions, templates: Templates) -> Iterator[TemplateFault]:
    """The same of templates that were read already."""
    for message in definitions.messages:
        name = message.template
        if name in templates.problems:
            yield TemplateFault(message, f"has the template {name!r}, which cannot be used: {templates.problems[name]}")
        elif name not in templates.names:
            there = f"there are {', '.join(templates.names)}" if templates.names else "there is none that can be used"
            yield TemplateFault(message, f"has the unknown template {name!r}", did_you_mean(name, templates.names) or there)
        else:
            yield from _missing_facts(message, templates)
            yield from _missing_properties(message, templates)


def _missing_facts(message: MessageSpec, templates: Templates) -> Iterator[TemplateFault]:
    facts = [fact.name for fact in message.facts]
    for name, place in templates.needs(message.template).items():
        if name not in facts:
            known = f"its facts are {', '.join(facts)}" if facts else "it has no facts"
            text = f"has the template {message.template!r}, which at {place} needs {name!r}, and no such fact"
            yield TemplateFault(message, text, did_you_mean(name, facts) or known)


def _missing_properties(message: MessageSpec, templates: Templates) -> Iterator[TemplateFault]:
    """An item has what its list keeps, and a template that asks it for more fails at every send."""
    for fact in message.facts:
        if not isinstance(fact, CartFact):
            continue
        kept = [".".join(path) for path in fact.keep]
        for name, place in templates.item_needs(message.template, fact.name).items():
            if name not in kept:
                known = f"it keeps {', '.join(kept)}" if kept else "it keeps nothing"
                text = f"has the template {message.template!r}, which at {place} needs {name!r} of an item, and {fact.name!r} keeps none"
                yield TemplateFault(message, text, did_you_mean(name, kept) or known)
