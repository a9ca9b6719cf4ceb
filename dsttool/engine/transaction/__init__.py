"""Transactions: the in-flight table, budgets and backoff. Pure."""
