"""History from before a log begins, brought in from files or by requests, as events that arrived when they happened: at the head of a log
that has not begun, else in a topic of its own.

So nothing else needs to know of it: segments, models, explanations and previews have it as they have any event. ``sifting`` says what is
history, ``head`` where an import stands in each shard, ``importer`` writes what files have, ``requests`` what a collector is sent.
"""
