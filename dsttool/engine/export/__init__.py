"""Exports: a device offered over DST and NBD."""
