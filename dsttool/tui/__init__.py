"""The screens of `dsttool tui`: a client of the control sockets, never part of an engine.

app           what is on the screen, and what keys do
source        where pictures come from: running daemons, or a recording
look          glyph, word and colour of every state; themes; ASCII
keys          every key, in one table
table         a table that draws its own lines
tree, transactions, hosts, ...   one panel each
"""
