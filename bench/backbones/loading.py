"""State dicts into networks: every name and every shape has to fit."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from bench.backbones.checkpoint import AVERAGED, read_state, verify
from bench.backbones.naming import whose_names
from bench.errors import BenchError, warn

_OF_HEADS = ("head.",)
"""What mmpretrain puts in front of the head's names, where the others begin with `backbone.`."""


@dataclass(frozen=True)
class _Fit:
    """How a state dict fits a network.

    Attributes:
        missing: Names that the network has and the state dict does not.
        unexpected: The reverse.
        reshaped: By name, the shapes expected and found where they differ.
        prefixes: What was taken off the names.
    """

    missing: list[str]
    unexpected: list[str]
    reshaped: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    prefixes: list[str]

    @property
    def is_complete(self) -> bool:
        return not (self.missing or self.unexpected or self.reshaped)

    @property
    def problems(self) -> str:
        shapes = [
            f"{name}: expected {expected}, found {found}"
            for name, (expected, found) in self.reshaped.items()
        ]
        return ", ".join(
            f"{len(names)} {what} ({'; '.join(names[:10])}{', ...' if len(names) > 10 else ''})"
            for what, names in (
                ("missing", self.missing),
                ("unexpected", self.unexpected),
                ("of another shape", shapes),
            )
            if names
        )


def load_file(
    module: nn.Module,
    path: Path,
    name: str = "",
    *,
    sha256: str | None = None,
    key: str | None = None,
    without: str = "",
) -> str:
    """Loads a checkpoint file, all of whose names and shapes must fit; returns its sha256.

    Args:
        module: Gets the values.
        path: The file.
        name: What its library calls the network, for messages.
        sha256: Of the file, if it is to be verified.
        key: Which entry of the file; see `bench.backbones.checkpoint.read_state`.
        without: A layer whose parameters are left out, if the file has them.

    Returns:
        The sha256 of the file.

    Raises:
        BenchError: It cannot be read, is another file, or does not fit; see `load_strictly`.

    Example:
        >>> from pathlib import Path
        >>> from torch import nn
        >>> saved, net = nn.Linear(2, 3), nn.Linear(2, 3)
        >>> torch.save({"state_dict": saved.state_dict()}, "linear.pth")
        >>> digest = load_file(net, Path("linear.pth"))
        >>> torch.equal(net.weight, saved.weight), len(digest)
        (True, 64)
    """
    digest = verify(path, sha256)
    state = read_state(path, key=key)
    if without:
        state = _without_layer(state, without, module.state_dict())
    load_strictly(module, state, path, name)
    return digest


def _without_layer(
    state: Mapping[str, Tensor], layer: str, expected: Collection[str]
) -> dict[str, Tensor]:
    """All but a layer's parameters, whatever stands in front of their names."""
    parameters = (f"{layer}.weight", f"{layer}.bias")
    return {
        name: tensor
        for name, tensor in state.items()
        if not (name.endswith(parameters) and _prefix(name, expected) is None)
    }


def load_strictly(
    module: nn.Module, state: Mapping[str, Tensor], path: Path | str, name: str = ""
) -> None:
    """Loads a state dict whose names and shapes must all fit.

    What names have in front (`model.`, `backbone.`) is taken off, and a warning says so, where all
    of them fit then. BatchNorm's `num_batches_tracked`, which older files lack, plays no part in
    evaluation, and neither does SWA's `n_averaged`.

    Args:
        module: Gets the values.
        state: As `read_state` gives it.
        path: Where it comes from, for the message.
        name: What its library calls the network, for the message.

    Raises:
        BenchError: Names are missing or unexpected, or shapes differ; it names the first ten.

    Example:
        >>> from torch import nn
        >>> net = nn.Linear(2, 3)
        >>> load_strictly(net, {"weight": torch.ones(3, 2), "bias": torch.zeros(3)}, "ones.pth")
        >>> net(torch.ones(1, 2)).tolist()
        [[2.0, 2.0, 2.0]]
    """
    expected = module.state_dict()
    state = {key: value for key, value in state.items() if key.rpartition(".")[2] != AVERAGED}
    fit = _fit(state, expected, [])
    if not fit.is_complete:
        state, prefixes = _without_prefixes(state, expected, path)
        fit = _fit(state, expected, prefixes)
        if not fit.is_complete:
            raise BenchError(f"weights: '{path}' {_what_is_wrong(module, state, fit, name)}")
        warn(
            f"weights: '{path}': {' and '.join(prefixes)} taken off the names of its tensors, "
            "which all fit then"
        )
    module.load_state_dict({key: state.get(key, expected[key]) for key in expected})


def _fit(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], prefixes: list[str]) -> _Fit:
    return _Fit(
        missing=[name for name in expected if name not in state and not _is_counter(name)],
        unexpected=[name for name in state if name not in expected],
        reshaped={
            name: (tuple(expected[name].shape), tuple(state[name].shape))
            for name in expected
            if name in state and expected[name].shape != state[name].shape
        },
        prefixes=prefixes,
    )


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _without_prefixes(
    state: Mapping[str, Tensor], expected: Collection[str], path: Path | str
) -> tuple[Mapping[str, Tensor], list[str]]:
    """Takes off what stands in front of at least half of the names that are expected.

    Returns:
        The state dict, and what was taken off.

    Raises:
        BenchError: There are two such prefixes: the file holds the network more than once.
    """
    counted = [name for name in state if not _is_counter(name)]
    covered = Counter(_prefix(name, expected) for name in counted)
    half = sum(not _is_counter(name) for name in expected) / 2
    found = [prefix for prefix, count in covered.items() if prefix is not None and count >= half]
    if len(found) > 1:
        raise BenchError(
            f"weights: '{path}' holds the network {len(found)} times, under "
            f"{' and '.join(prefix or 'its own names' for prefix in found)}: choose one, "
            f"backbone.key={found[-1].rstrip('.') or found[0].rstrip('.')}"
        )
    if not found or not found[0]:
        return state, []
    renamed: dict[str, Tensor] = {}
    taken = {found[0]: True}
    for name, tensor in state.items():
        prefix = _prefix(name, expected)
        if prefix in (*found, *_OF_HEADS):
            taken[prefix] = True
            name = name.removeprefix(prefix)
        renamed[name] = tensor
    return (renamed, list(taken)) if len(renamed) == len(state) else (state, [])


def _prefix(name: str, expected: Collection[str]) -> str | None:
    """What stands in front of the longest ending that is an expected name; None: there is none."""
    parts = name.split(".")
    endings = (".".join(parts[start:]) for start in range(len(parts)))
    return next((name.removesuffix(each) for each in endings if each in expected), None)


def _what_is_wrong(module: nn.Module, state: Mapping[str, Tensor], fit: _Fit, name: str) -> str:
    """What does not fit, and the mend where there is one."""
    after = f" after {' and '.join(fit.prefixes)} is taken off its names" if fit.prefixes else ""
    head = _only_layer(module, fit.missing)
    if head and not fit.reshaped:
        instead = f"; it has {len(fit.unexpected)} others, as {''.join(fit.unexpected[:1])}"
        return (
            f"has no head{after}: {', '.join(fit.missing)} missing"
            f"{instead if fit.unexpected else ''}. Without '{head}' the network gives features and "
            "no class scores: expected a file that has it, or, of networks of timm, images of "
            "each class in its place: backbone=timm dataset@backbone.gallery=folder "
            "backbone.gallery.root=FOLDER"
        )
    mend = "check backbone.name and backbone.num_classes"
    if _only_layer(module, fit.reshaped) and not fit.missing and not fit.unexpected:
        classes = next(iter(fit.reshaped.values()))[1][0]
        mend = f"{mend}: this head has {classes} classes"
    elif fit.missing and fit.unexpected:
        mend = whose_names(state, name) or mend
    return f"does not fit the network{after}: {fit.problems}; {mend}"


def _only_layer(module: nn.Module, names: Collection[str]) -> str:
    """The linear layer that all of these parameters are of; empty if there is none."""
    layers = {name.rpartition(".")[0] for name in names}
    if len(layers) != 1:
        return ""
    layer = layers.pop()
    is_linear = isinstance(module.get_submodule(layer), nn.Linear | nn.Conv2d)
    return layer if is_linear else ""
