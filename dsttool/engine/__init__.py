"""The engine: everything that serves storage. Rooms import only rooms below them."""
