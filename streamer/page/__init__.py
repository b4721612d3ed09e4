"""The page: what people look at in a browser. ``site`` answers; a view is a file in ``views/``, a template in ``templates/`` and a table in
each catalogue of ``texts/``; ``static/`` is sent as it is. How to add one: docs/page.md."""
