"""Links and listeners: sockets with back-pressure."""
