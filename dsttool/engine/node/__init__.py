"""Devices: files, memory, and remote nodes."""
