"""Algorithms that map an array's bytes to its members. Pure and pluggable."""
