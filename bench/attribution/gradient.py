"""Methods that read the map off gradients with respect to the input."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from bench.attribution.method import Batch, Method
from bench.attribution.scorer import Scorer
from bench.errors import require_integer, require_number
from bench.seeding import generator


class Saliency(Method):
    """Absolute gradient of the score, maximum over channels.

    Simonyan et al. 2014, arXiv 1312.6034, section 3.1; as in Xplique's `Saliency`.

    Example:
        >>> from bench import explain
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, -2.0, 3.0, 0.0]])
        >>> explain(Saliency(), net, torch.ones(1, 1, 2, 2), [1]).tolist()
        [[[1.0, 2.0], [3.0, 0.0]]]
    """

    citation = "Simonyan et al. 2014, arXiv 1312.6034"
    forward_passes = 1
    backward_passes = 1
    draws = False

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        return scorer.input_gradients(batch.x, batch.targets).abs().amax(dim=1)


class SignedGradient(Method):
    """Gradient of the score, signed, of each channel by itself.

    As Captum's `Saliency(abs=False)`, "SM" in Zhu et al. 2024, arXiv 2312.13630.

    Example:
        >>> from bench import explain
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, -2.0, 4.0]])
        >>> explain(SignedGradient(), net, torch.ones(1, 3, 1, 1), [1])  # the mean of channels
        array([[[1.]]], dtype=float32)
    """

    citation = "Simonyan et al. 2014, arXiv 1312.6034"
    keeps_channels = True
    forward_passes = 1
    backward_passes = 1
    draws = False

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        return scorer.input_gradients(batch.x, batch.targets)


class GradientInput(Method):
    """Input times gradient, signed, mean over channels.

    Shrikumar et al. 2017, arXiv 1605.01713. Xplique's `GradientInput` keeps the three channels
    and its metrics take their mean, so the ranking is the same.

    Example:
        >>> from bench import explain
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, -2.0, 3.0, 0.0]])
        >>> explain(GradientInput(), net, torch.tensor([[[[4.0, 3.0], [2.0, 1.0]]]]), [1]).tolist()
        [[[4.0, -6.0], [6.0, 0.0]]]
    """

    citation = "Shrikumar et al. 2017, arXiv 1605.01713"
    forward_passes = 1
    backward_passes = 1
    draws = False

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        return (batch.x * scorer.input_gradients(batch.x, batch.targets)).mean(dim=1)


class GuidedBackprop(Method):
    """Gradient with every ReLU passing back positive values only; signed, mean over channels.

    Springenberg et al. 2015, arXiv 1412.6806. As in Xplique, activations other than ReLU and
    ReLU6 keep their gradient; where a network has none of the two, this is the plain gradient.

    Example:
        >>> from torch import nn
        >>> from bench import explain
        >>> net = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(4, 1)).eval()
        >>> net[2].weight.data = torch.tensor([[1.0, -2.0, 3.0, 4.0]])
        >>> x = torch.tensor([[[[1.0, 1.0], [-1.0, 1.0]]]])
        >>> explain(GuidedBackprop(), net, x, [1]).tolist()
        [[[1.0, 0.0], [0.0, 4.0]]]
        >>> explain("saliency", net, x, [1]).tolist()
        [[[1.0, 2.0], [0.0, 4.0]]]
    """

    citation = "Springenberg et al. 2015, arXiv 1412.6806"
    forward_passes = 1
    backward_passes = 1
    draws = False

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        with _GuidedReLU():
            return scorer.input_gradients(batch.x, batch.targets).mean(dim=1)


class IntegratedGradients(Method):
    """Input times the mean gradient on the way from zero to the input; signed, mean over channels.

    Sundararajan et al. 2017, arXiv 1703.01365, equation 3 by the trapezoidal rule, as in Xplique.

    Args:
        steps: Points on the way, both ends included.

    Raises:
        BenchError: `steps` is less than 2.

    Example:
        >>> from bench import explain
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, -2.0, 3.0, 0.0]])
        >>> x = torch.tensor([[[[4.0, 3.0], [2.0, 1.0]]]])
        >>> maps = explain(IntegratedGradients(steps=5), net, x, [1])
        >>> maps.tolist(), maps.sum().item() == net(x).item()  # it is complete
        ([[[4.0, -6.0], [6.0, 0.0]]], True)
    """

    citation = "Sundararajan et al. 2017, arXiv 1703.01365"
    version = 2
    draws = False

    def __init__(self, steps: int = 80) -> None:
        require_integer("steps", steps, 2)
        self.steps = self.forward_passes = self.backward_passes = steps

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        return self._by_channel(scorer, batch).mean(dim=1)

    def _by_channel(self, scorer: Scorer, batch: Batch) -> Tensor:
        """Maps (B, C, H, W)."""
        # As TensorFlow's linspace rounds: torch's differs in the last bit, and so would every ReLU
        # whose input is zero but for rounding.
        shares = torch.arange(self.steps, device=batch.x.device) * (
            torch.ones((), device=batch.x.device) / (self.steps - 1)
        )
        shares[-1] = 1
        mean = torch.zeros_like(batch.x)

        def build(x: Tensor, steps: Tensor) -> Tensor:
            return shares[steps][:, None, None, None] * x

        for image, step, gradient in _sampled_gradients(scorer, batch, self.steps, build):
            weight = 0.5 if step in (0, self.steps - 1) else 1.0
            mean[image].add_(gradient, alpha=weight / (self.steps - 1))
        return batch.x * mean


class ChannelIntegratedGradients(IntegratedGradients):
    """Integrated Gradients of each channel by itself.

    The order of Captum's `IntegratedGradients(method="riemann_trapezoid")`: with `n_steps=50` its
    values are 49/50 of these with `steps=50`, because it divides by the points, not the intervals.

    Example:
        >>> ChannelIntegratedGradients(steps=50).keeps_channels
        True
    """

    keeps_channels = True

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        return self._by_channel(scorer, batch)


class _NoisyGradients(Method):
    """Base of the methods that look at gradients under Gaussian noise, the same for all images.

    Args:
        num_samples: Noisy copies of each image.
        noise: Standard deviation of the noise, in units of the network's input.

    Raises:
        BenchError: An argument is out of range.
    """

    def __init__(self, num_samples: int = 80, noise: float = 0.2) -> None:
        require_integer("num_samples", num_samples, 1)
        require_number("noise", noise, 0, float("inf"))
        self.num_samples = num_samples
        self.noise = noise
        self.forward_passes = self.backward_passes = num_samples

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        noise = _Noise(self.noise, batch)
        state = torch.zeros(2, *batch.x.shape, device=batch.x.device)

        def build(x: Tensor, samples: Tensor) -> Tensor:
            return x + noise(samples)

        for image, sample, gradient in _sampled_gradients(scorer, batch, self.num_samples, build):
            self._add(state[:, image], gradient, sample + 1)
        return self._finish(state).mean(dim=1)

    @abstractmethod
    def _add(self, state: Tensor, gradient: Tensor, count: int) -> None:
        """Adds a gradient (C, H, W), the `count`-th of an image, to its state (2, C, H, W)."""

    def _finish(self, state: Tensor) -> Tensor:
        """State (2, B, C, H, W) to the statistic (B, C, H, W)."""
        return state[0] / self.num_samples


class SmoothGrad(_NoisyGradients):
    """Mean gradient under Gaussian noise; signed, mean over channels.

    Smilkov et al. 2017, arXiv 1706.03825, as in Xplique.

    Args:
        num_samples: Noisy copies of each image, so forward and backward passes for it.
        noise: Standard deviation of the noise, in units of the network's input.

    Raises:
        BenchError: An argument is out of range.

    Example:
        >>> from bench import explain
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, -2.0, 3.0, 0.0]])
        >>> explain(SmoothGrad(num_samples=4), net, torch.ones(1, 1, 2, 2), [1]).tolist()
        [[[1.0, -2.0], [3.0, 0.0]]]
    """

    citation = "Smilkov et al. 2017, arXiv 1706.03825"

    def _add(self, state: Tensor, gradient: Tensor, count: int) -> None:
        state[0] += gradient


class SquareGrad(_NoisyGradients):
    """Mean squared gradient under Gaussian noise; mean over channels.

    Hooker et al. 2019, arXiv 1806.10758, as in Xplique.

    Args:
        num_samples: Noisy copies of each image, so forward and backward passes for it.
        noise: Standard deviation of the noise, in units of the network's input.

    Raises:
        BenchError: An argument is out of range.

    Example:
        >>> from bench import explain
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, -2.0, 3.0, 0.0]])
        >>> explain(SquareGrad(num_samples=4), net, torch.ones(1, 1, 2, 2), [1]).tolist()
        [[[1.0, 4.0], [9.0, 0.0]]]
    """

    citation = "Hooker et al. 2019, arXiv 1806.10758"

    def _add(self, state: Tensor, gradient: Tensor, count: int) -> None:
        state[0] += gradient.square()


class VarGrad(_NoisyGradients):
    """Variance of the gradient under Gaussian noise; mean over channels.

    Adebayo et al. 2018, arXiv 1810.03307, as in Xplique (divided by the number of samples).

    Args:
        num_samples: Noisy copies of each image, so forward and backward passes for it.
        noise: Standard deviation of the noise, in units of the network's input.

    Raises:
        BenchError: An argument is out of range.

    Example:
        >>> from torch import nn
        >>> from bench import explain
        >>> net = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(4, 1)).eval()
        >>> noisy = SmoothGrad(num_samples=8), SquareGrad(num_samples=8), VarGrad(num_samples=8)
        >>> x = torch.zeros(1, 1, 2, 2)
        >>> mean, square, variance = (explain(method, net, x, [1]) for method in noisy)
        >>> np.allclose(variance, square - mean**2)
        True
    """

    citation = "Adebayo et al. 2018, arXiv 1810.03307"

    def _add(self, state: Tensor, gradient: Tensor, count: int) -> None:
        mean, squares = state  # Welford's update: sums of squares would lose digits
        difference = gradient - mean
        mean += difference / count
        squares += difference * (gradient - mean)

    def _finish(self, state: Tensor) -> Tensor:
        return state[1] / self.num_samples


def _sampled_gradients(
    scorer: Scorer, batch: Batch, num_samples: int, build: Callable[[Tensor, Tensor], Tensor]
) -> Iterator[tuple[int, int, Tensor]]:
    """Gradients of variants of each image.

    Args:
        scorer: What is differentiated.
        batch: The images.
        num_samples: Variants of each.
        build: Images (n, C, H, W) and sample numbers (n,) to variants.

    Yields:
        Image, sample and gradient (C, H, W); an image's samples come in ascending order, so that
        sums over them do not depend on the other images.
    """
    count = len(batch.x)

    def build_jobs(jobs: Tensor) -> tuple[Tensor, Tensor]:
        images = jobs % count
        inputs = build(batch.x[images], jobs // count)
        return inputs.contiguous(memory_format=torch.channels_last), batch.targets[images]

    found = scorer.built_gradients(build_jobs, num_samples * count, batch.x.device)
    for jobs, gradients in found:
        for job, gradient in zip(jobs, gradients, strict=True):
            yield job % count, job // count, gradient


class _Noise:
    """Gaussian noise of the shape of an input, one for each sample number, made when asked for."""

    def __init__(self, deviation: float, batch: Batch) -> None:
        self.deviation = deviation
        self.seed = batch.seed
        self.like = batch.x[0]

    def __call__(self, samples: Tensor) -> Tensor:
        """Sample numbers (n,) to noise (n, C, H, W)."""
        unique, index = samples.unique(return_inverse=True)
        return torch.stack([self._draw(sample) for sample in unique.tolist()])[index]

    def _draw(self, sample: int) -> Tensor:
        draws = generator(self.seed, "noise", str(sample))
        noise = torch.randn(self.like.shape, generator=draws) * self.deviation
        return noise.to(self.like.device)


class _GuidedReLU(TorchFunctionMode):
    """Gives ReLU and ReLU6 their guided gradient wherever a network calls them."""

    _RELUS = frozenset(
        {torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, functional.relu, functional.relu_}
    )

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        x = args[0] if args else kwargs.get("input")
        if function in self._RELUS:
            return _GuidedFunction.apply(x, torch.inf)
        if function is functional.relu6:
            return _GuidedFunction.apply(x, 6.0)
        if function is functional.hardtanh:  # what nn.ReLU6 calls
            low, high = (*args[1:3], *(kwargs[k] for k in ("min_val", "max_val") if k in kwargs))
            if low == 0:
                return _GuidedFunction.apply(x, high)
        return function(*args, **kwargs)


class _GuidedFunction(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, limit: float) -> Tensor:
        context.save_for_backward(x)
        return x.clamp(0, limit)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = context.saved_tensors
        return gradient.relu() * (x > 0), None
