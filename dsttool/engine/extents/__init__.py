"""Extents of bytes: ranges, range sets, ordering of overlapping writes. Pure."""
