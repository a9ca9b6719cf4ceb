"""The command tree: commands that ask, commands that serve, and how answers look."""
