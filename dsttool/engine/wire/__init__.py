"""Bytes on the wire: NBD and DST/2, parsed and packed without doing I/O. Pure."""
