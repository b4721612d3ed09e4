"""The collector: what SDKs send by HTTP, into the log.

An answer 200 says that every event of the request is in the log, acknowledged by all replicas. There is no other state than the connection
to Kafka, so any number of processes may run.
"""
