"""History from before a log begins, brought in from files: it is written at the head of the log, as events that arrived when they happened.

So nothing else needs to know of it: segments, models, explanations and previews have it as they have any event. ``sifting`` says what is
history, ``head`` where an import stands in each shard, ``importer`` writes.
"""
