"""Controls: maps that know nothing of the model. A method worth its passes beats them."""

import torch
from torch import Tensor
from torch.nn import functional

from bench.attribution.method import Batch, Method
from bench.attribution.scorer import Scorer
from bench.errors import require_number
from bench.seeding import generator


class Random(Method):
    """Uniform noise, keyed by seed and image."""

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        shape = batch.x.shape[2:]
        noise = [
            torch.rand(shape, generator=generator(batch.seed, "Random", image_id))
            for image_id in batch.image_ids
        ]
        return torch.stack(noise).to(batch.x.device)


class Center(Method):
    """A Gaussian bump in the middle of the image.

    Args:
        sigma: Standard deviation as a fraction of each side.

    Raises:
        BenchError: `sigma` is not in (0, 10].
    """

    def __init__(self, sigma: float = 0.25) -> None:
        require_number("sigma", sigma, 0, 10)
        self.sigma = sigma

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        count, _, height, width = batch.x.shape
        down, across = (
            torch.exp(-(((torch.arange(side) + 0.5) / side - 0.5) ** 2) / (2 * self.sigma**2))
            for side in (height, width)
        )
        return torch.outer(down, across).expand(count, -1, -1).to(batch.x.device)


class Edge(Method):
    """Sobel gradient magnitude of the mean over the input's channels."""

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        gray = functional.pad(batch.x.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="reflect")
        across = gray.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
        kernels = torch.stack([across, across.T])[:, None]
        return functional.conv2d(gray, kernels).square().sum(dim=1).sqrt()
