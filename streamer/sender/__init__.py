"""``streamer send``: from decisions to messages, and from what became of them to events.

What is promised of a marketing message is at most once, of a transactional one at least once under one id: see ``ledger``.
"""
