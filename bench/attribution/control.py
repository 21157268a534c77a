"""Controls: maps that do not depend on the model. A useful method beats them."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from bench.attribution.method import Batch, Method, Passes
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone
from bench.errors import BenchError, require_number
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

    draws = False

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


class Constant(Method):
    """The same value everywhere: all order comes from the tie rule."""

    draws = False

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        return batch.x.new_zeros(len(batch.x), *batch.x.shape[2:])


class _Changed(Method):
    """Base of the controls that change another method's maps.

    Args:
        of: The other method; in YAML its name, or {method: NAME} with its settings.

    Raises:
        BenchError: It is no method.
    """

    draws = False

    def __init__(self, of: Method) -> None:
        if not isinstance(of, Method):
            raise BenchError(f"of: expected the name of a method, found {of!r}")
        self.of = of
        self.version = of.version  # what is done to its maps has not changed since

    def passes(self, backbone: Backbone) -> Passes | None:
        """Those of the other method."""
        return self.of.passes(backbone)

    def identity(self, image_ids: Sequence[str]) -> dict[str, object]:
        """See `Method`."""
        return self.of.identity(image_ids)


class Blurred(_Changed):
    """Another method's maps, blurred: does it know more than where the object is, roughly?

    Args:
        of: See `_Changed`.
        sigma: Standard deviation of the Gaussian as a fraction of the shorter side.

    Raises:
        BenchError: `of` is no method, or `sigma` is not in (0, 0.25].
    """

    def __init__(self, of: Method, sigma: float = 0.05) -> None:
        super().__init__(of)
        require_number("sigma", sigma, 0, 0.25)
        self.sigma = sigma

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        # Late: it loads torch's compiler, a third of the time that a command takes to start.
        from torchvision.transforms.functional import gaussian_blur

        side = min(batch.x.shape[2:])
        sigma = self.sigma * side
        reach = min(int(3 * sigma + 0.5), side - 1)  # torchvision mirrors no more than the image
        maps = self.of(scorer, batch)[:, None]
        return gaussian_blur(maps, [2 * reach + 1] * 2, [sigma, sigma])[:, 0]


class Inverted(_Changed):
    """Another method's maps, negated: a method that beats itself upside down has the order right.

    Args:
        of: See `_Changed`.
    """

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        return -self.of(scorer, batch)


class Edge(Method):
    """Sobel gradient magnitude of the mean over the input's channels."""

    draws = False

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        gray = functional.pad(batch.x.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="reflect")
        across = gray.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
        kernels = torch.stack([across, across.T])[:, None]
        return functional.conv2d(gray, kernels).square().sum(dim=1).sqrt()
