"""Leaderboards: stored rows to tables, without running a model."""
