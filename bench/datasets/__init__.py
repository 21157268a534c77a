"""Labelled images, and the hashes that identify them."""
