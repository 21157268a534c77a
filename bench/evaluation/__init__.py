"""The loop that makes rows: maps made or fetched, checked, and measured."""
