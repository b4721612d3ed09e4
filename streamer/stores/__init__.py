"""Stores of what is known of customers: ``stores.open(url)`` opens the one that an address names."""

from .opening import Access, Opener, check_scheme, is_shared, open, schemes  # noqa: A004 - stores.open is to a store what gzip.open is to a file

__all__ = ["Access", "Opener", "check_scheme", "is_shared", "open", "schemes"]
