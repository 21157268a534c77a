"""The door for notebooks: `bench.explain` and `bench.evaluate`, without a command line."""
