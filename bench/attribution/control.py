"""Controls: maps that do not depend on the model. A useful method beats them."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from bench.attribution.maps import in_one_channel
from bench.attribution.method import Batch, Method, Passes
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone
from bench.errors import BenchError, require_number
from bench.seeding import generator


class Random(Method):
    """Uniform noise, keyed by seed and image.

    Example:
        >>> from bench import explain
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)).eval()
        >>> maps = explain(Random(), net, torch.zeros(2, 1, 2, 2), seed=1)
        >>> again = explain(Random(), net, torch.ones(2, 1, 2, 2), seed=1)
        >>> maps.shape, (maps == again).tolist()[0]
        ((2, 2, 2), [[True, True], [True, True]])
    """

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

    Example:
        >>> from bench import explain
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(9, 2)).eval()
        >>> maps = explain(Center(sigma=0.5), net, torch.rand(1, 1, 3, 3))
        >>> maps[0].astype(float).round(2).tolist()
        [[0.64, 0.8, 0.64], [0.8, 1.0, 0.8], [0.64, 0.8, 0.64]]
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
    """The same value everywhere: all order comes from the tie rule.

    Example:
        >>> from bench import explain
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)).eval()
        >>> explain(Constant(), net, torch.rand(1, 1, 2, 2)).tolist()
        [[[0.0, 0.0], [0.0, 0.0]]]
    """

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
        of: The other method; in YAML its name, or {method: NAME} with its settings.
        sigma: Standard deviation of the Gaussian as a fraction of the shorter side.

    Raises:
        BenchError: `of` is no method, or `sigma` is not in (0, 0.25].

    Example:
        >>> from bench import explain
        >>> from bench.attribution.gradient import Saliency
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(25, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.eye(25)[12:13]  # the pixel in the middle alone
        >>> maps = explain(Blurred(Saliency(), sigma=0.1), net, torch.ones(1, 1, 5, 5), [1])
        >>> maps.astype(float).round(2)[0, 1:4, 1:4].tolist()
        [[0.01, 0.08, 0.01], [0.08, 0.62, 0.08], [0.01, 0.08, 0.01]]
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
        maps = in_one_channel(self.of(scorer, batch))[:, None]
        return gaussian_blur(maps, [2 * reach + 1] * 2, [sigma, sigma])[:, 0]


class Inverted(_Changed):
    """Another method's maps, negated: a method that beats itself upside down has the order right.

    Args:
        of: The other method; in YAML its name, or {method: NAME} with its settings.

    Example:
        >>> from bench import explain
        >>> from bench.attribution.gradient import Saliency
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, -2.0, 3.0, 4.0]])
        >>> explain(Inverted(Saliency()), net, torch.ones(1, 1, 2, 2), [1]).tolist()
        [[[-1.0, -2.0], [-3.0, -4.0]]]
    """

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        return -in_one_channel(self.of(scorer, batch))


class Edge(Method):
    """Sobel gradient magnitude of the mean over the input's channels.

    Example:
        >>> from bench import explain
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2)).eval()
        >>> step = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 1, 3, 4)
        >>> explain(Edge(), net, step)[0].tolist()
        [[0.0, 0.5, 0.5, 0.0], [0.0, 0.5, 0.5, 0.0], [0.0, 0.5, 0.5, 0.0]]
    """

    draws = False

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        gray = functional.pad(batch.x.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="reflect")
        across = gray.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
        kernels = torch.stack([across, across.T])[:, None]
        return functional.conv2d(gray, kernels).square().sum(dim=1).sqrt()
