import torch

from bench.seeding import generator


def test_draws_depend_on_every_name_and_the_seed():
    keys = [(0, "a"), (1, "a"), (0, "b"), (0, "a", "x"), (0, "ax"), (0, "a", "y")]
    draws = [torch.rand(1, generator=generator(*key)).item() for key in keys]
    assert len(set(draws)) == len(keys)
    assert torch.rand(1, generator=generator(0, "a")).item() == draws[0]
