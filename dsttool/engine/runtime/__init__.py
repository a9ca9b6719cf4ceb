"""The only door to clock, sockets, files, randomness and threads."""
