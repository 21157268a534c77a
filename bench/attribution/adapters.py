"""Methods of other packages, and plain functions, by their dotted path.

We cannot know what such code does, so by default it explains one image at a time, with the global
random generators seeded for that image. Its map then depends on nothing else. What it changes on
the network is put back after each call, see `bench.attribution.guard`.
"""

import hashlib
import inspect
import random
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.attribution.guard import Isolation, guarded
from bench.attribution.maps import exact_floats
from bench.attribution.method import Batch, Method
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone
from bench.batching import fixed_batches
from bench.errors import BenchError, require_integer, require_known
from bench.seeding import generator

CHANNELS = {
    "mean": lambda maps: maps.mean(dim=1),
    "sum": lambda maps: maps.sum(dim=1),
    "abs_mean": lambda maps: maps.abs().mean(dim=1),
    "abs_max": lambda maps: maps.abs().amax(dim=1),
}
"""Ways to make one map (B, H, W) of channels (B, C, H, W)."""

UPSAMPLINGS = ("nearest-exact", "bilinear", "bicubic")
"""Ways to enlarge maps that are smaller than the input."""


class ClassScores(nn.Module):
    """A scorer as a module: inputs (B, C, H, W) to the scores (B, K) of all classes.

    The network is a submodule, for those who put hooks on layers. Passes are counted.

    Args:
        scorer: The scores, and the network that they are read off.

    Example:
        >>> from bench.attribution.scorer import Scorer
        >>> from bench.backbones.backbone import Backbone, Preprocessing
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]])
        >>> backbone = Backbone("toy", net, Preprocessing(2, mean=0, std=255), "logits")
        >>> model = ClassScores(Scorer(backbone, "logit", batch_size=16))
        >>> model(torch.ones(1, 1, 2, 2)).tolist()
        [[10.0, 0.0]]
    """

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self.network = scorer.backbone.module
        self._scorer = scorer
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self._scorer.class_scores(x)


class _Adapter(Method):
    """Base of the methods whose maps are made by code that is not ours.

    Args:
        setting: Name of the setting that holds the path.
        path: Dotted path of that code, or itself.
        extra: The package that a path beginning with its name needs, and our extra with it.
        batched: Explain as many images at once as a batch holds. Faster, and right for code that
            explains each image as if it were alone; draws then go by the place in the batch.
        channels: How channels become one map, a key of `CHANNELS`.
        upsampling: How maps of another size than the input are resized, one of `UPSAMPLINGS`.
        forward_passes: Forward passes for one image, for the estimate of a run; None: not known.
        backward_passes: Backward passes for one image; None: not known.
        citation: Where the method comes from.

    Raises:
        BenchError: A setting is unknown, or the path leads nowhere.
    """

    version = 2  # float64 maps are no longer rounded to float32
    forward_passes: int | None = None
    backward_passes: int | None = None

    def __init__(
        self,
        setting: str,
        path: str | Callable[..., Any],
        extra: tuple[str, str] | None = None,
        *,
        batched: bool = False,
        channels: str = "mean",
        upsampling: str = "bilinear",
        forward_passes: int | None = None,
        backward_passes: int | None = None,
        citation: str | None = None,
    ) -> None:
        if not isinstance(batched, bool):
            raise BenchError(f"batched: expected true or false, found {batched!r}")
        require_known("channels", channels, CHANNELS)
        require_known("upsampling", upsampling, UPSAMPLINGS)
        for name, passes in (
            ("forward_passes", forward_passes),
            ("backward_passes", backward_passes),
        ):
            if passes is not None:
                require_integer(name, passes, 0)
        self._is_named = isinstance(path, str)
        self.path = path if isinstance(path, str) else getattr(path, "__qualname__", "function")
        self.loaded: Any = _load(setting, path, extra) if isinstance(path, str) else path
        self.batched = batched
        self.channels = channels
        self.upsampling = upsampling
        self.forward_passes = forward_passes
        self.backward_passes = backward_passes
        self.citation = type(self).citation if citation is None else citation

    def identity(self, image_ids: Sequence[str]) -> dict[str, object]:
        """Hash of the source file that the path leads to, and versions of the packages it is of.

        What that file imports from elsewhere is not seen. Of code that was given itself, nothing:
        whoever gives it says what it is (`bench.notebook.fingerprint`).
        """
        if not self._is_named:
            return {}
        return {"source_sha256": _source_sha256(self.loaded), "packages": _versions(self.loaded)}

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        with guarded(scorer, batch.x, self._warn):
            return torch.cat(list(self._calls(scorer, batch)))

    def _calls(self, scorer: Scorer, batch: Batch) -> Iterator[Tensor]:
        x, isolated = batch.x, Isolation(scorer)
        size = scorer.batch_size if self.batched else 1
        for index, items in fixed_batches(len(x), size, x.device):
            names = [] if self.batched else [batch.image_ids[items.start]]
            draws = generator(batch.seed, type(self).__name__, self.path, *names)
            with isolated():
                _seed_globally(draws.initial_seed())
                found = self._explain(scorer, ClassScores(scorer), x[index], batch.targets[index])
                maps = self._maps(found, x[index])
            yield maps[: items.stop - items.start]

    def _warn(self, changes: str) -> None:
        """A run makes a failure of it (`bench.evaluation.explain`)."""
        warnings.warn(f"'{self.path}' left changed: {changes}; it was put back", stacklevel=2)

    @abstractmethod
    def _explain(self, scorer: Scorer, model: ClassScores, x: Tensor, targets: Tensor) -> Any:
        """Inputs (B, C, H, W), to be changed at will, and targets (B,) to what `_maps` takes."""

    def _maps(self, found: Any, x: Tensor) -> Tensor:
        """What was given, for inputs x, to maps (B, H, W), float32 or float64."""
        if isinstance(found, np.ndarray):
            found = torch.from_numpy(found)
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        if not isinstance(found, Tensor) or found.ndim not in (3, 4) or len(found) != len(x):
            raise BenchError(
                f"'{self.path}': expected maps (images, H, W) or (images, channels, H, W) of "
                f"{len(x)} images, found {shape}"
            )
        maps = exact_floats(found.detach().to(x.device))
        maps = CHANNELS[self.channels](maps) if maps.ndim == 4 else maps
        if maps.shape[1:] == x.shape[2:]:
            return maps
        return functional.interpolate(maps[:, None], x.shape[2:], mode=self.upsampling)[:, 0]


class Captum(_Adapter):
    """An `Attribution` of Captum (github.com/pytorch/captum), explaining the scorer's score.

    Those that want a layer get the CAM layer. Those that change how modules pass gradients back
    (DeepLift, GuidedBackprop, LRP) see only what the network calls as a module.

    Args:
        attribution: Dotted path of the class, as "captum.attr.IntegratedGradients".
        arguments: For its constructor, besides the network and the layer.
        attribute: For its method `attribute`, besides inputs and target; lists become tuples.
        layer: Name of the submodule for those that want one; None: the backbone's CAM layer.
        **settings: `batched`, `channels`, `upsampling`, `forward_passes`, `backward_passes` and
            `citation`, as `Function` has them.

    Raises:
        BenchError: Captum is not installed, the class is none of its attributions, or a setting
            is unknown.

    Example:
        >>> from bench import explain
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, -2.0, 3.0, 0.0]])
        >>> method = Captum("captum.attr.IntegratedGradients", attribute={"n_steps": 8})
        >>> maps = explain(method, net, torch.tensor([[[[4.0, 3.0], [2.0, 1.0]]]]), [1])
        >>> maps.astype(float).round(2).tolist()
        [[[4.0, -6.0], [6.0, 0.0]]]
    """

    citation = "Kokhlikyan et al. 2020, arXiv 2009.07896"

    def __init__(
        self,
        attribution: str,
        arguments: Mapping[str, Any] | None = None,
        attribute: Mapping[str, Any] | None = None,
        layer: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__("attribution", attribution, ("captum", "captum"), **settings)
        _require_class("attribution", attribution, self.loaded)
        self._parameters = list(inspect.signature(self.loaded).parameters)
        if self._parameters[:1] == ["attribution_method"] or not hasattr(self.loaded, "attribute"):
            raise BenchError(
                f"attribution: expected a class of Captum that explains a network, found "
                f"'{attribution}': wrap it in a function of yours and use method=[function]"
            )
        self.arguments = dict(arguments or {})
        self.attribute = _tuples(attribute or {})
        self.layer = layer

    def check(self, backbone: Backbone) -> None:
        """Refuses a layer that maps cannot be taken from, where the class wants one."""
        if "layer" not in self._parameters:
            return
        layout = backbone.layout(self.layer)
        if layout.kind != "bchw":
            raise BenchError(
                f"layer: '{self.path}' takes channels for the first dimension of "
                f"'{self.layer or backbone.cam_layer}', which gives {layout}: use a method of "
                "bench, or method=[pytorch_grad_cam]"
            )

    def _explain(self, scorer: Scorer, model: ClassScores, x: Tensor, targets: Tensor) -> Any:
        wants_layer = "layer" in self._parameters
        layer = [scorer.backbone.layer(self.layer)] if wants_layer else []
        explainer = self.loaded(model, *layer, **self.arguments)
        picks = "target" in inspect.signature(self.loaded.attribute).parameters
        target = {"target": targets} if picks else {}
        found = explainer.attribute(x, **target, **self.attribute)
        return found[0] if isinstance(found, tuple) else found


class GradCamPackage(_Adapter):
    """A `BaseCAM` of the package grad-cam (github.com/jacobgil/pytorch-grad-cam).

    Its maps have no negative part, are scaled to 0..1 image by image, and are enlarged by it.

    Args:
        cam: Dotted path of the class, as "pytorch_grad_cam.EigenCAM".
        arguments: For its constructor, besides the network and the layer. With a
            `reshape_transform` the layer's output may have any shape; without, it is made of the
            layer's layout where the channels do not come first.
        call: For the call that makes the maps, as `{eigen_smooth: true}`.
        layer: Name of the submodule; None: the backbone's CAM layer.
        **settings: `batched`, `channels`, `upsampling`, `forward_passes`, `backward_passes` and
            `citation`, as `Function` has them.

    Raises:
        BenchError: The package is not installed, the path leads to no class, or a setting is
            unknown.

    Example:
        >>> class FirstChannel:  # stands for "pytorch_grad_cam.EigenCAM"
        ...     def __init__(self, model, target_layers):
        ...         self.model, self.layer = model, target_layers[0]
        ...     def __call__(self, input_tensor, targets):
        ...         found = []
        ...         self.layer.register_forward_hook(lambda *call: found.append(call[2]))
        ...         self.model(input_tensor)
        ...         return found[0][:, 0].detach().numpy()
        >>> from torch import nn
        >>> from bench import explain
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5)).eval()
        >>> explain(GradCamPackage(FirstChannel, layer="0"), net, torch.rand(2, 3, 8, 8)).shape
        (2, 8, 8)
    """

    citation = "Gildenblat et al. 2021, github.com/jacobgil/pytorch-grad-cam"

    def __init__(
        self,
        cam: str,
        arguments: Mapping[str, Any] | None = None,
        call: Mapping[str, Any] | None = None,
        layer: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__("cam", cam, ("pytorch_grad_cam", "grad-cam"), **settings)
        _require_class("cam", cam, self.loaded)
        self.arguments = dict(arguments or {})
        self.call = dict(call or {})
        self.layer = layer

    def check(self, backbone: Backbone) -> None:
        """Refuses a layer that maps cannot be taken from."""
        self._target_layer(backbone)

    def _target_layer(self, backbone: Backbone) -> nn.Module:
        return backbone.layer(self.layer, any_shape="reshape_transform" in self.arguments)

    def _reshape(self, backbone: Backbone) -> dict[str, Any]:
        if "reshape_transform" in self.arguments:
            return {}
        layout = backbone.layout(self.layer)
        return {} if layout.kind == "bchw" else {"reshape_transform": layout.to_maps}

    def _explain(self, scorer: Scorer, model: ClassScores, x: Tensor, targets: Tensor) -> Any:
        layer = self._target_layer(scorer.backbone)
        arguments = self._reshape(scorer.backbone) | self.arguments
        cam = self.loaded(model=model, target_layers=[layer], **arguments)
        # After the package's hooks: on a CPU it keeps the layer's output itself, which what
        # follows may change in place.
        layer.register_forward_hook(lambda *call: call[2].clone())
        wanted = [_Target(target) for target in targets.tolist()]
        # Frozen weights give no graph, so the input must.
        return cam(input_tensor=x.requires_grad_(), targets=wanted, **self.call)


class Function(_Adapter):
    """A function `f(model, x, targets, **settings)` that gives maps.

    It gets the scores' module (`ClassScores`), inputs (B, C, H, W) and targets (B,) int64, and
    gives maps (B, H, W) or (B, C, H, W), higher = more important, a tensor or an array.

    Args:
        function: Its dotted path, as "my_module.my_maps", or itself.
        settings: Its keyword arguments.
        **others: `batched`: explain as many images at once as a batch holds, not one at a time;
            faster, and right for code that explains each image as if it were alone; draws then go
            by the place in the batch. `channels`: how channels become one map, a key of
            `CHANNELS`. `upsampling`: how maps of another size than the input are resized, one of
            `UPSAMPLINGS`. `forward_passes` and `backward_passes` for one image, for the estimate
            of a run; None: not known. `citation`: where the method comes from.

    Raises:
        BenchError: A setting is unknown, or the path leads nowhere.

    Example:
        >>> from bench import explain
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, -2.0, 3.0, 0.0]])
        >>> def times_gradient(model, x, targets):
        ...     x = x.requires_grad_()
        ...     (gradients,) = torch.autograd.grad(model(x)[:, targets].sum(), x)
        ...     return x * gradients
        >>> explain(Function(times_gradient), net, torch.ones(1, 1, 2, 2), [1]).tolist()
        [[[1.0, -2.0], [3.0, 0.0]]]
    """

    def __init__(
        self,
        function: str | Callable[..., Any],
        settings: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        super().__init__("function", function, **others)
        if not callable(self.loaded):
            raise BenchError(
                f"function: expected '{function}' to be a function, found {self.loaded!r}"
            )
        self.settings = dict(settings or {})

    def _explain(self, scorer: Scorer, model: ClassScores, x: Tensor, targets: Tensor) -> Any:
        return self.loaded(model, x, targets, **self.settings)


class _Target:
    """What grad-cam calls a target: a network's output (K,) to the score of one class."""

    def __init__(self, target: int) -> None:
        self.target = target

    def __call__(self, output: Tensor) -> Tensor:
        return output[..., self.target]


def _load(setting: str, path: str, extra: tuple[str, str] | None) -> Any:
    """What a dotted path leads to."""
    module, _, name = str(path).rpartition(".")
    if not module:
        raise BenchError(f"{setting}: expected a dotted path, as package.name, found '{path}'")
    if extra and module.partition(".")[0] == extra[0] and find_spec(extra[0]) is None:
        raise BenchError(
            f"{setting}: '{path}' needs a package that is not installed: "
            f"pip install 'insdel-bench[{extra[1]}]'"
        )
    try:
        loaded = import_module(module)
    except ImportError as error:
        raise BenchError(f"{setting}: cannot import '{path}': {error}") from None
    if not hasattr(loaded, name):
        require_known(
            setting, path, [f"{module}.{known}" for known in dir(loaded) if known[0] != "_"]
        )
    return getattr(loaded, name)


def _require_class(setting: str, path: str, loaded: Any) -> None:
    if not isinstance(loaded, type):
        raise BenchError(f"{setting}: expected '{path}' to be a class, found {loaded!r}")


def _tuples(value: Any) -> Any:
    """Captum wants tuples where YAML has lists."""
    if isinstance(value, Mapping):
        return {key: _tuples(member) for key, member in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _source_sha256(loaded: Any) -> str | None:
    try:
        path = inspect.getsourcefile(inspect.unwrap(loaded))
    except TypeError:  # built in, or made by a call
        return None
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else None


def _versions(loaded: Any) -> dict[str, str]:
    """Versions of the packages that a function is of, or a class and its bases."""
    bases = getattr(loaded, "__mro__", [loaded])
    modules = {base.__module__ for base in bases if base is not object}
    owners = metadata.packages_distributions()
    names = {name for module in modules for name in owners.get(module.partition(".")[0], [])}
    return {name: metadata.version(name) for name in sorted(names)}


def _seed_globally(seed: int) -> None:
    """Seeds the generators that code which is not ours draws from."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)
