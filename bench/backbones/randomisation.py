"""Draws a network's parameters anew, layer by layer from the top, and puts them back to the bit."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.backbones.backbone import Backbone
from bench.errors import BenchError
from bench.seeding import generator

Layers = Sequence[str]
"""Names of submodules that have parameters themselves; that of the network is empty."""


def layers_from_the_top(network: Backbone, x: Tensor) -> list[str]:
    """The layers with parameters, the last one that is called first.

    The order is that in which a forward pass begins to call them, not that of their registration. A
    layer whose parameters are used without a call of it stands at the submodule that it is in: a
    position embedding, say, at the bottom, where the transformer as a whole begins.

    Args:
        network: The network.
        x: (B, C, H, W) inputs; one is passed through the network, counted nowhere.

    Returns:
        Their names; a module that has two names has the first.

    Example:
        >>> from torch import nn
        >>> from bench.backbones.backbone import Backbone, Preprocessing
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5))
        >>> network = Backbone("tiny", net, Preprocessing(8, (127.5,) * 3, (127.5,) * 3), "logits")
        >>> layers_from_the_top(network, torch.zeros(1, 3, 8, 8))
        ['2', '0']
    """
    modules = dict(network.module.named_modules())
    called: dict[str, int] = {}

    def note(name: str, *_: Any) -> None:
        called.setdefault(name, len(called))

    with ExitStack() as hooks:
        for name, module in modules.items():
            hooks.callback(module.register_forward_pre_hook(partial(note, name)).remove)
        with torch.no_grad():
            network.outputs(x[:1])

    def place(name: str) -> int:
        while name not in called and name:
            name = name.rpartition(".")[0]
        return called.get(name, 0)

    with_parameters = [name for name, module in modules.items() if _drawable(module)]
    return sorted(with_parameters, key=place)[::-1]  # stable: as registered, within a place


def count_layers(network: Backbone) -> int:
    """How many layers `layers_from_the_top` gives; takes no pass.

    Args:
        network: The network.

    Example:
        >>> from torch import nn
        >>> from bench.backbones.backbone import Backbone, Preprocessing
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5))
        >>> count_layers(Backbone("tiny", net, Preprocessing(8, (0.0,) * 3, (1.0,) * 3), "logits"))
        2
    """
    return sum(bool(_drawable(module)) for module in network.module.modules())


def in_stages(layers: Layers, stages: int | None) -> list[list[str]]:
    """Layers in at most so many groups of neighbours, as equal as can be, larger ones first.

    Args:
        layers: In their order.
        stages: None: a group each.

    Example:
        >>> in_stages(["head", "norm", "last", "first"], 3)
        [['head', 'norm'], ['last'], ['first']]
    """
    if not layers:
        return []
    count = len(layers) if stages is None else min(stages, len(layers))
    return [part.tolist() for part in np.array_split(np.array(layers, dtype=object), count)]


@contextmanager
def put_back_after(module: nn.Module) -> Iterator[Callable[[], None]]:
    """Puts all parameters and buffers back to the bit, whatever ends the `with` block.

    Args:
        module: The network.

    Yields:
        What puts them back before.

    Example:
        >>> from torch import nn
        >>> net = nn.Linear(2, 2)
        >>> before = net.weight.clone()
        >>> with put_back_after(net):
        ...     randomise(net, [""], seed=0)
        ...     print(torch.equal(net.weight, before))
        False
        >>> torch.equal(net.weight, before)
        True
    """
    tensors = [*module.parameters(), *module.buffers()]
    before = [tensor.detach().clone() for tensor in tensors]

    @torch.no_grad()
    def put_back() -> None:
        for tensor, values in zip(tensors, before, strict=True):
            tensor.copy_(values)

    try:
        yield put_back
    finally:
        put_back()


@torch.no_grad()
def randomise(module: nn.Module, layers: Layers, seed: int) -> None:
    """Draws the parameters of layers anew, in place.

    A layer is drawn by its `reset_parameters`, as a new one is: of a BatchNorm that sets weights to
    1 and biases to 0, and the running statistics to those of no data. Parameters that it leaves as
    they are, and those of layers without one (position embeddings, LayerScale, what was converted
    from Keras), are drawn from the normal distribution with their mean and standard deviation. So a
    single number, and numbers that are all equal, stay. Buffers change by `reset_parameters` alone.

    Draws depend on the seed and the layer's name. They are made on the CPU in float32, so that all
    devices, dtypes and memory formats draw the same.

    Args:
        module: The network.
        layers: Names of submodules.
        seed: The run's seed.

    Raises:
        BenchError: A layer's `reset_parameters` fails.

    Example:
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        >>> first, last = (layer.weight.clone() for layer in net)
        >>> randomise(net, ["1"], seed=0)
        >>> torch.equal(net[0].weight, first), torch.equal(net[1].weight, last)
        (True, False)
    """
    for name in layers:
        layer = module.get_submodule(name)
        draws = generator(seed, "parameters", name)
        fresh = _reset(layer, name, draws)
        for key, parameter in _drawable(layer).items():
            values = fresh.get(key)
            trained = parameter.float().cpu()
            if values is None or torch.equal(values.to(trained), trained):
                deviation, mean = torch.std_mean(trained, correction=0)
                noise = torch.randn(trained.shape, generator=draws)
                values = noise * deviation + mean
            parameter.copy_(values)
        for key, buffer in layer.named_buffers(recurse=False):
            if key in fresh:
                buffer.copy_(fresh[key])


def _drawable(layer: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of a layer, not of those inside, that are real floating point numbers."""
    parameters = layer.named_parameters(recurse=False)
    return {name: each for name, each in parameters if each.is_floating_point()}


def _reset(layer: nn.Module, name: str, draws: torch.Generator) -> dict[str, Tensor]:
    """The parameters and buffers that `reset_parameters` gives a layer; empty if it has none.

    It is given copies in the plain format, also of the layers inside this one, which it may reset,
    too: those are drawn when their turn comes.
    """
    reset = getattr(layer, "reset_parameters", None)
    if not callable(reset):
        return {}
    modules = list(layer.modules())
    held = [(module._parameters, module._buffers) for module in modules]
    try:
        for module, (parameters, buffers) in zip(modules, held, strict=True):
            module._parameters = {
                key: each if each is None else nn.Parameter(_plain(each), requires_grad=False)
                for key, each in parameters.items()
            }
            module._buffers = {
                key: each if each is None else _plain(each) for key, each in buffers.items()
            }
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(draws.initial_seed())
            reset()
        return {
            key: each.detach()
            for members in (layer._parameters, layer._buffers)
            for key, each in members.items()
            if each is not None
        }
    except Exception as error:  # anybody's code
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise BenchError(
            f"layer '{name}' ({type(layer).__name__}): its reset_parameters, which is to draw its "
            f"parameters anew, raised {reason}"
        ) from error
    finally:
        for module, (parameters, buffers) in zip(modules, held, strict=True):
            module._parameters, module._buffers = parameters, buffers


def _plain(tensor: Tensor) -> Tensor:
    """A copy on the CPU, in the plain format; of floating point numbers as float32."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to("cpu", dtype, copy=True).contiguous()
