"""A Keras model's graph as a PyTorch module whose submodules bear the Keras layers' names.

The graph is built by running it once: each layer sees an example of its input, so it knows the
shapes that its arrays must have. Sequential and Functional models, nested ones and layers that are
called several times, in the words of Keras 2 and of Keras 3.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.backbones.keras_layers import (
    CONVOLUTIONS,
    Convolution,
    Dense,
    Flatten,
    Layer,
    NormDense,
    Reshape,
    build_layer,
    to_keras,
)
from bench.errors import BenchError

GRAPHS = ("Functional", "Model", "Sequential")
"""Keras's class names of models that are graphs of layers."""

Config = Mapping[str, Any] | list[Mapping[str, Any]]
"""A model's `config`."""

Key = tuple[str, int]
"""A tensor: the layer that gave it, and at which of the layer's calls."""


@dataclass(frozen=True)
class Call:
    """One call of a layer.

    Attributes:
        layer: The layer's name.
        inputs: What it takes.
        output: What it gives.

    Example:
        >>> plan = read_plan([{"class_name": "ReLU", "config": {"name": "relu"}}])
        >>> plan.calls[0] == Call("relu", inputs=(("", 0),), output=("relu", 0))
        True
    """

    layer: str
    inputs: tuple[Key, ...]
    output: Key


@dataclass(frozen=True)
class Plan:
    """A model's calls, in an order in which they can be made.

    Attributes:
        inputs: The tensors that the model is given.
        calls: One after the other.
        output: The tensor that it gives.

    Example:
        >>> first = Call("relu", (("x", 0),), ("relu", 0))
        >>> second = Call("add", (("x", 0), ("relu", 0)), ("add", 0))
        >>> Plan((("x", 0),), (first, second), ("add", 0)).last_uses()
        [[], [('x', 0), ('relu', 0)]]
    """

    inputs: tuple[Key, ...]
    calls: tuple[Call, ...]
    output: Key

    def last_uses(self) -> list[list[Key]]:
        """For each call the tensors that nobody needs after it."""
        last = {key: n for n, call in enumerate(self.calls) for key in (*call.inputs, call.output)}
        del last[self.output]
        uses: list[list[Key]] = [[] for _ in self.calls]
        for key, n in last.items():
            uses[n].append(key)
        return uses


class Arrays:
    """The arrays of a file; each is handed out once.

    Keras puts all arrays of a layer of the outermost model into one group, which bears the layer's
    name. If this layer is a model, the arrays' names tell its layers apart, however deep.

    Args:
        groups: The outermost layer's name -> an array's name, such as `conv/kernel:0` -> array.
        group: If given, stands for the inside of this layer.

    Example:
        >>> arrays = Arrays({"conv": {"conv/kernel:0": np.zeros((3, 3, 3, 8), np.float32)}})
        >>> arrays.left()
        ['conv: conv/kernel:0']
        >>> {name: array.shape for name, array in arrays.of("conv").items()}
        {'kernel': (3, 3, 3, 8)}
        >>> arrays.left()
        []
    """

    def __init__(
        self, groups: Mapping[str, dict[str, NDArray[np.generic]]], group: str | None = None
    ) -> None:
        self._groups = groups
        self._group = group

    def of(self, layer: str) -> dict[str, NDArray[np.generic]]:
        """Hands out a layer's arrays by their last name, without Keras 2's `:0`.

        Args:
            layer: The layer's name.

        Raises:
            BenchError: Two of its arrays have one name.
        """
        inside = self._group is not None
        group = self._groups.get(layer if self._group is None else self._group, {})
        found = {}
        for path in list(group):
            owner, _, name = path.removesuffix(":0").rpartition("/")
            if inside and not f"/{owner}".endswith(f"/{layer}"):
                continue
            if name in found:
                raise BenchError(f"layer '{layer}': expected one array '{name}', found several")
            found[name] = group.pop(path)
        return found

    def inside(self, layer: str) -> "Arrays":
        """The arrays of the layers inside a model that is a layer."""
        return self if self._group is not None else Arrays(self._groups, layer)

    def left(self) -> list[str]:
        """Names of the arrays that nobody asked for."""
        return [f"{group}: {path}" for group, arrays in self._groups.items() for path in arrays]


def _layer_specs(config: Config) -> list[Mapping[str, Any]]:
    """The layers of a model; the oldest Sequential models are nothing but these."""
    return config if isinstance(config, list) else config["layers"]


def _layer_name(spec: Mapping[str, Any]) -> str:
    """A layer's name, which Sequential models have in the layer's settings alone."""
    return spec.get("name") or spec["config"]["name"]


def input_shape(config: Config) -> Sequence[int | None]:
    """Height, width and channels of a model's first input; None where any would do.

    Args:
        config: A model's `config`.

    Returns:
        Three numbers, without the batch dimension.

    Raises:
        BenchError: The file does not say.

    Example:
        >>> settings = {"name": "photo", "batch_input_shape": [None, 224, 224, 3]}
        >>> input_shape({"layers": [{"class_name": "InputLayer", "config": settings}]})
        [224, 224, 3]
    """
    specs = _layer_specs(config)
    first = next((spec for spec in specs if spec["class_name"] == "InputLayer"), specs[0])
    for key in ("batch_input_shape", "batch_shape"):
        if first["config"].get(key):
            return first["config"][key][1:]
    if first["class_name"] in GRAPHS:
        return input_shape(first["config"])
    raise BenchError("no layer tells the shape of the input")


def read_plan(config: Config) -> Plan:
    """Reads which layer is called with what.

    Args:
        config: A model's `config`, as Keras 2 or Keras 3 writes it.

    Returns:
        The calls, each behind those whose outputs it takes.

    Raises:
        BenchError: The model has several outputs or a layer has, a layer is called with something
            else than tensors, or the calls do not fit together.

    Example:
        >>> names = ["first", "second"]
        >>> layers = [{"class_name": "ReLU", "config": {"name": name}} for name in names]
        >>> [(call.inputs[0], call.output) for call in read_plan({"layers": layers}).calls]
        [(('', 0), ('first', 0)), (('first', 0), ('second', 0))]
    """
    specs = _layer_specs(config)
    if isinstance(config, list) or "input_layers" not in config:
        return _chain([_layer_name(spec) for spec in specs], specs[0]["class_name"] == "InputLayer")
    calls = {
        _layer_name(spec): [_arguments(node, _layer_name(spec)) for node in spec["inbound_nodes"]]
        for spec in specs
        if spec["class_name"] != "InputLayer"
    }
    outputs = list(_tensors(config["output_layers"]))
    if len(outputs) != 1:
        names = ", ".join(name for name, _ in outputs)
        raise BenchError(f"expected a model with one output, found {len(outputs)}: {names}")
    used = {key for nodes in calls.values() for keys in nodes for key in keys} | {*outputs}
    models = {_layer_name(spec) for spec in specs if spec["class_name"] in GRAPHS}
    found: dict[Key, Call] = {}
    for name, nodes in calls.items():
        # Keras 2 counts the calls of a nested model from 1: 0 is its own input.
        first = max((n for layer, n in used if layer == name), default=0) + 1 - len(nodes)
        for n, keys in enumerate(nodes, start=max(first, 0) if name in models else 0):
            found[name, n] = Call(name, keys, (name, n))
    inputs = tuple(_tensors(config["input_layers"]))
    for name, n in sorted(used - found.keys() - {*inputs}):
        raise BenchError(f"layer '{name}': its output number {n} is used, but nothing makes it")
    try:
        order = TopologicalSorter({key: call.inputs for key, call in found.items()}).static_order()
        return Plan(inputs, tuple(found[key] for key in order if key in found), outputs[0])
    except CycleError:
        raise BenchError("its layers are called in a circle") from None


def _chain(names: Sequence[str], has_input: bool) -> Plan:
    """The plan of a Sequential model."""
    start = (names[0] if has_input else "", 0)
    keys = [start, *((name, 0) for name in names[has_input:])]
    calls = (Call(key[0], (previous,), key) for previous, key in pairwise(keys))
    return Plan((start,), tuple(calls), keys[-1])


def _arguments(node: Any, name: str) -> tuple[Key, ...]:
    """The tensors of one call, of which Keras 2 writes a list and Keras 3 args and kwargs."""
    if isinstance(node, Mapping):
        tensors, settings = node["args"], [node["kwargs"]]
    else:
        tensors, settings = node, [tensor[3] for tensor in node if len(tensor) > 3]
    for key, value in (item for of_call in settings for item in of_call.items()):
        # `training=False`, usual around a pretrained model, is how everything runs here.
        if value is not None and not (key == "training" and value is False):
            raise BenchError(f"layer '{name}': a call with {key}={value!r} is not supported")
    return tuple(_tensors(tensors))


def _tensors(value: Any) -> Iterator[Key]:
    """The tensors in a nest of them, each [layer, call, output, ...] or in Keras 3's words."""
    match value:
        case {"class_name": "__keras_tensor__", "config": {"keras_history": history}}:
            yield from _tensors(history)
        case [str(layer), int(call), int(output), *_]:
            if output:
                raise BenchError(f"layer '{layer}': a second output is not supported")
            yield layer, call
        case list():
            for each in value:
                yield from _tensors(each)
        case dict():
            yield from _tensors(list(value.values()))
        case _:
            raise BenchError(f"expected a layer's output among the arguments, found {value!r}")


class KerasGraph(nn.Module):
    """Interprets a model's graph.

    Submodules have the Keras layers' names, those of nested models `outer.inner`. A dot becomes an
    underscore, and a name that torch uses itself (`half`, `type`, ...) gets one at its end.

    Args:
        config: The model's `config`.
        arrays: The model's weights.
        examples: Inputs (B, C, H, W) of the size that the model will be given.

    Raises:
        BenchError: Something in the graph is not supported or does not fit together.

    Example:
        >>> pool = {"class_name": "GlobalAveragePooling2D", "config": {"name": "pool"}}
        >>> softmax = {"class_name": "Softmax", "config": {"name": "scores"}}
        >>> graph = KerasGraph({"layers": [pool, softmax]}, Arrays({}), [torch.zeros(1, 3, 4, 4)])
        >>> graph(torch.ones(2, 3, 4, 4)).shape, graph.output_kind()
        (torch.Size([2, 3]), 'probabilities')
    """

    def __init__(self, config: Config, arrays: Arrays, examples: Sequence[Tensor]) -> None:
        super().__init__()
        specs = {_layer_name(spec): spec for spec in _layer_specs(config)}
        self._plan = read_plan(config)
        self._last_uses = self._plan.last_uses()
        self._submodules: dict[str, str] = {}
        self._kinds = {name: spec["class_name"] for name, spec in specs.items()}
        if len(examples) != len(self._plan.inputs):
            raise BenchError(
                f"expected a model with {len(examples)} input, found {len(self._plan.inputs)}"
            )

        def build_and_call(layer: str, inputs: Sequence[Tensor]) -> Tensor:
            try:
                if layer not in self._submodules:
                    self._add(layer, _build(specs[layer], arrays, inputs))
                return self._call(layer, inputs)
            except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
                shapes = ", ".join(str(tuple(to_keras(x).shape[1:])) for x in inputs)
                raise BenchError(
                    f"layer '{layer}' ({self._kinds[layer]}): cannot take an input of shape "
                    f"{shapes}: {' '.join(str(error).split())}"
                ) from error

        self._run(examples, build_and_call)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Maps inputs (B, C, H, W) to the model's output."""
        return self._run(inputs, self._call)

    def convolutions(self) -> list[str]:
        """Names of the submodules with `filters`, of which Xplique 1.1.0 takes the last for CAMs.

        Those of nested models come first: Xplique fails where the outermost layers have none.
        """
        names = [name for name in self._kinds if name in self._submodules]
        outermost = [self._submodules[name] for name in names if self._kinds[name] in CONVOLUTIONS]
        nested = [
            f"{self._submodules[name]}.{inner}"
            for name in names
            if isinstance(module := self._modules[self._submodules[name]], KerasGraph)
            for inner in module.convolutions()
        ]
        return nested + outermost

    def output_kind(self) -> str | None:
        """What the outputs are, of `bench.score.OUTPUT_KINDS`; None if that is unclear."""
        calls = {call.output: call for call in self._plan.calls}
        key = self._plan.output
        while key in calls:
            match self._modules[self._submodules[key[0]]]:
                case KerasGraph() as model:
                    return model.output_kind()
                case NormDense():
                    return "cosines"
                case nn.Softmax() | Dense(activation=nn.Softmax()):
                    return "probabilities"
                case Convolution(activation=nn.Softmax()):
                    return "probabilities"
                case Dense(activation=nn.Identity()):
                    return "logits"
                case nn.Identity() | Flatten() | Reshape():
                    (key,) = calls[key].inputs
                case _:
                    return None
        return None

    def _run(
        self, inputs: Sequence[Tensor], call_layer: Callable[[str, Sequence[Tensor]], Tensor]
    ) -> Tensor:
        """Makes all calls; no tensor is kept longer than somebody needs it."""
        values = dict(zip(self._plan.inputs, inputs, strict=True))
        for call, last in zip(self._plan.calls, self._last_uses, strict=True):
            values[call.output] = call_layer(call.layer, [values[key] for key in call.inputs])
            for key in last:
                del values[key]
        return values[self._plan.output]

    def _call(self, layer: str, inputs: Sequence[Tensor]) -> Tensor:
        return self.get_submodule(self._submodules[layer])(*inputs)

    def _add(self, layer: str, module: nn.Module) -> None:
        name = layer.replace(".", "_")
        while hasattr(self, name):
            name += "_"
        self.add_module(name, module)
        self._submodules[layer] = name


def _build(spec: Mapping[str, Any], arrays: Arrays, inputs: Sequence[Tensor]) -> nn.Module:
    """Builds a layer, or a nested model."""
    name, kind = _layer_name(spec), spec["class_name"]
    if kind not in GRAPHS:
        return build_layer(Layer(name, kind, spec["config"], arrays.of(name)), inputs)
    try:
        return KerasGraph(spec["config"], arrays.inside(name), inputs)
    except BenchError as error:
        raise BenchError(f"model '{name}' inside: {error}") from error
