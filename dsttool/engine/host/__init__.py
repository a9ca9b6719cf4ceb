"""The only assembler: configuration to a running engine."""
