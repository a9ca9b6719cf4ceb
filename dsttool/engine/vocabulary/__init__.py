"""Words, errors, limits and the status schema that every room shares. Pure."""
