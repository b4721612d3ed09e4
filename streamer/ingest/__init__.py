"""Existing topics of a shop, read in their own format and written to the log as events.

``message_reader`` knows what a message is, ``translation`` makes records of the log of it, ``loop`` moves the group's position only once
they are written, ``process`` is the life of it all.
"""
