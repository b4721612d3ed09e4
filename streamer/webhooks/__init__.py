"""Segment changes out by HTTP: signed as Standard Webhooks says, in order for each customer.

``subscription`` is what somebody asked for, ``subscriptions`` the topic that remembers it. ``lanes`` keeps each customer's order and knows
how far everything is; ``schedule`` and ``circuit`` say when to try again; ``addresses`` and ``sending`` do one attempt; ``delivery`` brings
one change to its end; ``subscriber`` is one subscription at work, ``process`` the life of all of them.
"""
