"""Addresses, units, paths and TOML files: parsing and validation only."""
