"""The views that the tests of this folder look at, each by an address of it."""

from __future__ import annotations

from typing import Final

VIEWS: Final = {
    "now": "/",
    "segments": "/segments",
    "segment": "/segments/quick",
    "customers": "/customers",
    "customer": "/customers/c-39?all=1",
    "messages": "/messages",
    "templates": "/templates",
    "ledger": "/ledger",
    "try": "/try",
    "deliveries": "/deliveries",
    "sources": "/sources",
    "letters": "/dead-letters",
    "models": "/models",
    "workers": "/workers",
    "login": "/login",
    "nothing": "/nowhere",
}
