"""What definitions would do if they were published: whom they would catch, who would come and go, without anything being written.

``fold`` tells a log anew under them, in memory, on all customers or on a share of them (``share``). ``files`` and ``deployment`` say where
the log is from, ``aside`` does it in a process of its own. ``result`` is the answer.
"""
