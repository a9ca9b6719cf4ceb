"""Completion scripts for bash, zsh and fish: hand-written functions and tables made of the command tree."""
