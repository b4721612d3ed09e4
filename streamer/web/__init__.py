"""What the processes that answer HTTP share: a server with bounds, a file that is read again when it changes, whether an address is this
machine's alone."""
