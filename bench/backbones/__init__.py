"""Networks that score images, each with its own preprocessing."""
