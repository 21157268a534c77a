"""Labelled images: where they come from, and proof of which ones they were."""
