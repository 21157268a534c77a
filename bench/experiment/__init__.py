"""A run from settings to stored rows, and what is made of runs as a whole."""
