"""Hydra configuration, shipped as the package `bench.conf`."""
