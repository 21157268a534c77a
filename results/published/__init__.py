"""Published tables, shipped as `bench.published`."""
