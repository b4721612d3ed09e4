"""Side lanes: what is new in definitions is folded over the log from its beginning, and joined where the definitions begin to hold."""
