"""The console: command lines one after the other, typed with help or read from a script.

It runs the commands of the one tree (dsttool.cli.tree), to which it adds a few of its own, and asks daemons
through their control sockets only.
"""
