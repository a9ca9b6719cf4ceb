"""The control socket: versioned JSON between daemons and commands."""
