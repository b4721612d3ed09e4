"""The server for readers: what is committed of customers and segments, asked by HTTP, and the changes as they come.

It owns nothing and keeps nothing: states are the store's and changes are Kafka's, so any number of processes may run, and one that is
killed loses nobody anything.
"""
