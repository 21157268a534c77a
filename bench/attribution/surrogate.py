"""Black-box methods that fit a linear model to the scores of images with hidden segments."""

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from skimage.segmentation import quickshift
from torch import Tensor

from bench.attribution.method import Batch, Method
from bench.attribution.scorer import Scorer
from bench.batching import score_in_batches
from bench.errors import require_integer, require_number
from bench.seeding import generator


class _Surrogate(Method):
    """Base of the methods whose map is the coefficients of a linear model of segments.

    As in Xplique 1.1.0, quickshift segments the network's input, as if its channels were RGB; a
    sample shows some segments and hides the others; a linear model of what is shown is fitted to
    the samples' scores, and a pixel has its segment's coefficient, signed. Segments and samples
    are drawn for each image.

    Args:
        num_samples: Samples, so forward passes for each image.
        fill: What hidden pixels become, in units of the network's input.
        quickshift_ratio: Weight of colour against distance in the image, in (0, 1].
        quickshift_kernel_size: Width of the kernel that smooths the density; wider, fewer segments.
        quickshift_max_dist: Pixels farther apart than this are not joined.

    Raises:
        BenchError: An argument is out of range.
    """

    def __init__(
        self,
        num_samples: int = 1000,
        fill: float = 0.5,
        quickshift_ratio: float = 0.5,
        quickshift_kernel_size: int = 2,
        quickshift_max_dist: float = 10,
    ) -> None:
        require_integer("num_samples", num_samples, 2)
        require_number("fill", fill, -math.inf, math.inf)
        require_number("quickshift_ratio", quickshift_ratio, 0, 1)
        require_integer("quickshift_kernel_size", quickshift_kernel_size, 1)
        require_number("quickshift_max_dist", quickshift_max_dist, 0, math.inf)
        self.num_samples = num_samples
        self.fill = fill
        self.quickshift = {
            "ratio": quickshift_ratio,
            "kernel_size": quickshift_kernel_size,
            "max_dist": quickshift_max_dist,
        }
        self.forward_passes = num_samples

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        x, count = batch.x, len(batch.x)
        images = x.cpu()
        segments = torch.stack([self._segments(image) for image in images])
        numbers = (segments.flatten(1).amax(dim=1) + 1).tolist()
        samples = self._samples(numbers, batch)
        bits, pixels = samples.to(x.device), segments.flatten(1).to(x.device)

        def build(jobs: Tensor) -> tuple[Tensor, Tensor]:
            image, sample = jobs % count, jobs // count
            segment = pixels[image]
            shown = (bits[image, sample].gather(1, segment // 8) >> (segment % 8)) & 1
            shown = shown.bool().view(-1, 1, *x.shape[2:])
            inputs = torch.where(shown, x[image], self.fill)
            return inputs.contiguous(memory_format=torch.channels_last), batch.targets[image]

        jobs = self.num_samples * count
        scores = score_in_batches(scorer, build, jobs, scorer.batch_size, x.device)
        scores = scores.view(self.num_samples, count).T.cpu().double()
        maps = torch.empty(segments.shape)
        for image, number in enumerate(numbers):
            draws = np.unpackbits(samples[image].numpy(), axis=1, count=number, bitorder="little")
            coefficients = self._coefficients(
                torch.from_numpy(draws).bool(), scores[image], images[image], segments[image]
            )
            maps[image] = coefficients.float()[segments[image]]
        return maps.to(x.device)

    def _samples(self, numbers: Sequence[int], batch: Batch) -> Tensor:
        """All images' samples (B, n, bytes) uint8, a bit a segment.

        As bits, because a photo in caffe's units has 40,000 segments: 160 MB for a block of 32.

        Args:
            numbers: How many segments each image has.
            batch: The images.
        """
        samples = torch.zeros(
            len(numbers), self.num_samples, -(-max(numbers) // 8), dtype=torch.uint8
        )
        for of_image, number, image_id in zip(samples, numbers, batch.image_ids, strict=True):
            draws = self._draws(number, generator(batch.seed, type(self).__name__, image_id))
            packed = np.packbits(draws.numpy(), axis=1, bitorder="little")
            of_image[:, : packed.shape[1]] = torch.from_numpy(packed)
        return samples

    def _segments(self, image: Tensor) -> Tensor:
        """Input (C, H, W) to its pixels' segments (H, W) int64, numbered from 0."""
        colour = image.expand(3, -1, -1)  # quickshift compares colours; grey ones have three, too
        channels_last = colour.permute(1, 2, 0).double().numpy()
        return torch.from_numpy(quickshift(channels_last, **self.quickshift)).long()

    @abstractmethod
    def _draws(self, num_segments: int, draws: torch.Generator) -> Tensor:
        """Which segments each sample shows, (num_samples, num_segments) bool."""

    @abstractmethod
    def _coefficients(
        self, draws: Tensor, scores: Tensor, image: Tensor, segments: Tensor
    ) -> Tensor:
        """Coefficients (M,) float64 of one image's segments.

        Args:
            draws: (n, M) bool.
            scores: (n,) float64.
            image: (C, H, W) input.
            segments: (H, W) int64.
        """


class Lime(_Surrogate):
    """LIME: ridge regression on samples that weigh the more, the nearer they are to the image.

    Ribeiro et al. 2016, arXiv 1602.04938, as in Xplique 1.1.0: a sample weighs
    exp(-distance^2 / kernel_width^2), with the Euclidean distance between image and sample in units
    of the network's input. Segments are quickshift's; a pixel has its segment's signed coefficient.

    Where all weights of an image underflow in float32, as they do for every photo in caffe's units,
    Xplique raises ZeroDivisionError. Here all its samples weigh the same then, as with a wide
    kernel. Weights relative to the nearest sample would leave that sample alone: the second nearest
    weighs less by hundreds of orders of magnitude, and the map would be flat.

    Args:
        num_samples: Samples, so forward passes for each image.
        probability: Chance that a segment is shown.
        kernel_width: Distance at which a sample's weight is 1 / e.
        alpha: Penalty on the sum of squared coefficients.
        fill: What hidden pixels become, in units of the network's input.
        quickshift_ratio: Weight of colour against distance in the image, in (0, 1].
        quickshift_kernel_size: Width of the kernel that smooths the density; wider, fewer segments.
        quickshift_max_dist: Pixels farther apart than this are not joined.

    Raises:
        BenchError: An argument is out of range.

    Example:
        >>> from torch import nn
        >>> from bench import explain
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(243, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.ones(1, 243)
        >>> x = torch.zeros(1, 3, 9, 9)
        >>> for channel, value in enumerate((1.0, 0.75, 0.5)):  # a red, a green and a blue stripe
        ...     x[0, channel, :, 3 * channel : 3 * channel + 3] = value
        >>> maps = explain(Lime(num_samples=100, fill=0.0), net, x, [1])
        >>> maps.shape, maps.astype(float).round(1)[0, 0, ::3].tolist()  # shrunk by `alpha`
        ((1, 9, 9), [25.0, 19.0, 12.4])
    """

    citation = "Ribeiro et al. 2016, arXiv 1602.04938"

    def __init__(
        self,
        num_samples: int = 1000,
        probability: float = 0.5,
        kernel_width: float = 45.0,
        alpha: float = 2.0,
        *,
        fill: float = 0.5,
        quickshift_ratio: float = 0.5,
        quickshift_kernel_size: int = 2,
        quickshift_max_dist: float = 10,
    ) -> None:
        super().__init__(
            num_samples, fill, quickshift_ratio, quickshift_kernel_size, quickshift_max_dist
        )
        require_number("probability", probability, 0, 1)
        require_number("kernel_width", kernel_width, 0, math.inf)
        require_number("alpha", alpha, 0, math.inf)
        self.probability = probability
        self.kernel_width = kernel_width
        self.alpha = alpha

    def _draws(self, num_segments: int, draws: torch.Generator) -> Tensor:
        return lime_draws(self.num_samples, num_segments, self.probability, draws)

    def _coefficients(
        self, draws: Tensor, scores: Tensor, image: Tensor, segments: Tensor
    ) -> Tensor:
        costs = (image.double() - self.fill).square().sum(dim=0).flatten()
        costs = torch.bincount(segments.flatten(), costs, minlength=draws.shape[1])
        weights = lime_weights(draws, costs, self.kernel_width)
        return lime_coefficients(draws, scores, weights, self.alpha)


class KernelShap(_Surrogate):
    """Kernel SHAP: least squares on samples drawn from the Shapley kernel.

    Lundberg and Lee 2017, arXiv 1705.07874, as in Xplique 1.1.0: samples with nothing or everything
    shown are never drawn, so that coefficients need not add up to the difference of their scores;
    where there are more segments than samples, the solution of least norm is taken. Segments are
    quickshift's; a pixel has its segment's signed coefficient.

    Args:
        num_samples: Samples, so forward passes for each image.
        fill: What hidden pixels become, in units of the network's input.
        quickshift_ratio: Weight of colour against distance in the image, in (0, 1].
        quickshift_kernel_size: Width of the kernel that smooths the density; wider, fewer segments.
        quickshift_max_dist: Pixels farther apart than this are not joined.

    Raises:
        BenchError: An argument is out of range.

    Example:
        >>> from torch import nn
        >>> from bench import explain
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(243, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.ones(1, 243)
        >>> x = torch.zeros(1, 3, 9, 9)
        >>> for channel, value in enumerate((1.0, 0.75, 0.5)):  # a red, a green and a blue stripe
        ...     x[0, channel, :, 3 * channel : 3 * channel + 3] = value
        >>> maps = explain(KernelShap(num_samples=100, fill=0.0), net, x, [1])
        >>> maps.shape, maps.astype(float).round(2)[0, 0, ::3].tolist()  # what each stripe adds
        ((1, 9, 9), [27.0, 20.25, 13.5])
    """

    citation = "Lundberg and Lee 2017, arXiv 1705.07874"

    def _draws(self, num_segments: int, draws: torch.Generator) -> Tensor:
        return kernel_shap_draws(self.num_samples, num_segments, draws)

    def _coefficients(
        self, draws: Tensor, scores: Tensor, image: Tensor, segments: Tensor
    ) -> Tensor:
        return kernel_shap_coefficients(draws, scores)


def lime_draws(
    num_samples: int, num_segments: int, probability: float, draws: torch.Generator
) -> Tensor:
    """LIME's samples: each segment is shown with the same probability, whatever the others are.

    Args:
        num_samples: n.
        num_segments: M.
        probability: Chance that a segment is shown.
        draws: A generator on the CPU.

    Returns:
        (n, M) bool, whether a sample shows a segment.

    Example:
        >>> draws = lime_draws(1000, 3, probability=0.5, draws=torch.Generator().manual_seed(0))
        >>> draws.shape, [round(share, 1) for share in draws.double().mean(dim=0).tolist()]
        (torch.Size([1000, 3]), [0.5, 0.5, 0.5])
    """
    blocks = _uniform(num_samples, num_segments, draws)
    return torch.cat([block < probability for block in blocks])


def kernel_shap_draws(num_samples: int, num_segments: int, draws: torch.Generator) -> Tensor:
    """Kernel SHAP's samples, drawn from the Shapley kernel so that they all weigh the same.

    Of M segments, k are shown with p(k) ~ (M - 1) / (k (M - k)), any k of them alike. One segment
    has no such k and is always shown.

    Args:
        num_samples: n.
        num_segments: M.
        draws: A generator on the CPU.

    Returns:
        (n, M) bool, whether a sample shows a segment.

    Example:
        >>> draws = kernel_shap_draws(1000, 4, torch.Generator().manual_seed(0))
        >>> draws.shape, draws.sum(dim=1).unique().tolist()  # never none and never all
        (torch.Size([1000, 4]), [1, 2, 3])
    """
    if num_segments == 1:
        return torch.ones(num_samples, 1, dtype=torch.bool)
    sizes = torch.arange(1, num_segments, dtype=torch.float64)
    distribution = (1 / (sizes * (num_segments - sizes))).cumsum(0)
    distribution /= distribution[-1].clone()
    found = []
    for block in _uniform(num_samples, num_segments + 1, draws):
        first, values = block[:, :1].contiguous(), block[:, 1:]
        size = torch.searchsorted(distribution, first, right=True) + 1
        found.append(values < values.sort(dim=1).values.gather(1, size))
    return torch.cat(found)


def lime_weights(draws: Tensor, costs: Tensor, kernel_width: float) -> Tensor:
    """exp(-distance^2 / kernel_width^2) of each sample, or ones where all are 0 in float32.

    Args:
        draws: (n, M) bool, what each sample shows.
        costs: (M,) float64 squared distance from the image when the segment alone is hidden.
        kernel_width: Width of the kernel.

    Returns:
        (n,) float64.

    Example:
        >>> draws = torch.tensor([[True, True], [False, True], [False, False]])
        >>> weights = lime_weights(draws, torch.tensor([4.0, 12.0]).double(), kernel_width=2.0)
        >>> weights.log().tolist()
        [0.0, -1.0, -4.0]
    """
    weights = torch.exp(-((~draws).double() @ costs) / kernel_width**2)
    # TensorFlow takes what is below float32's smallest normal number for 0.
    underflow = weights.max() < torch.finfo(torch.float32).tiny
    return torch.ones_like(weights) if underflow else weights


def lime_coefficients(draws: Tensor, scores: Tensor, weights: Tensor, alpha: float) -> Tensor:
    """Ridge regression with an intercept b: min sum_i w_i (y_i - b - z_i c)^2 + alpha |c|^2.

    The system that is solved has the size of the samples or of the segments, whichever are fewer.
    Equal to scikit-learn's `Ridge`.

    Args:
        draws: (n, M) bool, samples z.
        scores: (n,) float64, scores y.
        weights: (n,) float64, weights w, not all of them 0.
        alpha: Penalty; 0 gives the least-squares solution of least norm.

    Returns:
        Coefficients c (M,) float64.

    Example:
        >>> draws = torch.tensor([[True, True], [False, True], [True, False], [False, False]])
        >>> scores = draws.double() @ torch.tensor([2.0, -1.0]).double() + 5
        >>> same = torch.ones(4, dtype=torch.float64)
        >>> found = [lime_coefficients(draws, scores, same, alpha) for alpha in (0, 1)]
        >>> [[round(value, 6) for value in coefficients.tolist()] for coefficients in found]
        [[2.0, -1.0], [1.0, -0.5]]
    """
    roots, total = weights.sqrt(), weights.sum()

    def centred(columns: Tensor) -> Tensor:  # about the weighted mean: the intercept drops out
        values = columns.double()
        return roots[:, None] * (values - weights @ values / total)

    num_samples, num_segments = draws.shape
    y = centred(scores[:, None])[:, 0]
    if num_segments <= num_samples:
        z = centred(draws)
        return _inverse(z.T @ z, alpha) @ (z.T @ y)
    columns = draws.split(4096, dim=1)  # float64 of 1000 samples of 42,000 segments is 340 MB
    gram = torch.zeros(num_samples, num_samples, dtype=torch.float64)
    for z in map(centred, columns):
        gram += z @ z.T
    errors = _inverse(gram, alpha) @ y
    return torch.cat([z.T @ errors for z in map(centred, columns)])


def kernel_shap_coefficients(draws: Tensor, scores: Tensor) -> Tensor:
    """Least squares with an intercept, of least norm; equal to scikit-learn's `LinearRegression`.

    Args:
        draws: (n, M) bool.
        scores: (n,) float64.

    Returns:
        Coefficients (M,) float64.

    Example:
        >>> alone = torch.eye(3, dtype=torch.bool)
        >>> draws = torch.cat([alone, ~alone])
        >>> scores = draws.double() @ torch.tensor([2.0, -1.0, 0.5]).double() + 5
        >>> [round(value, 6) for value in kernel_shap_coefficients(draws, scores).tolist()]
        [2.0, -1.0, 0.5]
    """
    return lime_coefficients(draws, scores, torch.ones_like(scores), alpha=0)


def _inverse(gram: Tensor, alpha: float) -> Tensor:
    """Pseudo-inverse of a Gram matrix (k, k) with `alpha` added to its diagonal.

    Eigenvalues below 1e-12 of the largest, so singular values of the samples below 1e-6, are
    taken for 0 as scikit-learn 1.9 does.
    """
    penalised = gram + alpha * torch.eye(len(gram), dtype=gram.dtype)
    return torch.linalg.pinv(penalised, rtol=1e-12, hermitian=True)


def _uniform(count: int, width: int, draws: torch.Generator) -> Iterator[Tensor]:
    """Uniform numbers (count, width) float64, at most 64 rows at a time."""
    for start in range(0, count, 64):
        rows = min(64, count - start)
        yield torch.rand(rows, width, generator=draws, dtype=torch.float64)
