"""Arrays: members and the algorithm over them."""
