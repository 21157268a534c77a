"""The method contract."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone
from bench.errors import BenchError, require_integer


@dataclass(frozen=True)
class Batch:
    """What a method is given to explain.

    Attributes:
        x: (B, C, H, W) float32 model inputs.
        targets: (B,) int64 classes to explain.
        image_ids: B ids, to key draws that depend on the image.
        images: B images as read, RGB uint8 (H, W, 3).
        seed: The run's seed. Draws come from `bench.seeding.generator(seed, name)` if all images
            share them and from `generator(seed, name, image_id)` if not, so that a map does not
            depend on what else is in the batch.

    Example:
        >>> from bench.attribution.control import Center
        >>> x, targets = torch.rand(2, 3, 8, 8), torch.tensor([4, 7])
        >>> batch = Batch(x, targets, image_ids=["a.jpg", "b.jpg"], images=[])
        >>> Center()(None, batch).shape
        torch.Size([2, 8, 8])
    """

    x: Tensor
    targets: Tensor
    image_ids: Sequence[str]
    images: Sequence[NDArray[np.uint8]]
    seed: int = 0


class Passes(NamedTuple):
    """Passes through a network.

    Attributes:
        forward: How many images go forward.
        backward: How many gradients go back.

    Example:
        >>> Passes(forward=80, backward=80)
        Passes(forward=80, backward=80)
        >>> Passes(forward=4000).backward
        0
    """

    forward: int = 0
    backward: int = 0


class Method(ABC):
    """An attribution method: explains a score with a map.

    Attributes:
        version: Raised whenever the method's numbers change; part of a row's identity.
        forward_passes: Forward passes for one image, where that is known without the network; None
            if nobody knows. Set in `__init__` if it depends on settings.
        backward_passes: Backward passes for one image, counted the same way.
        places: Settings that say where something lies. They decide no number: `identity` has the
            hash of what lies there.
        citation: Where the method comes from, as "Author et al. 2020, arXiv 2001.00001".
        explains_any_input: Whether it can be asked about inputs that are no image of the run;
            false if it only looks up what was made before.
        keeps_channels: Whether its maps have a channel for each of the input's. Metrics that rank
            channels by themselves read them; everybody else gets their mean.
        draws: Whether its maps may depend on the run's seed; false only where it draws nothing.
            What the methods do that it calls is theirs to say; see `may_draw`.

    Example:
        >>> from bench import explain
        >>> class Brightness(Method):
        ...     def __call__(self, scorer, batch):
        ...         return batch.x.mean(dim=1)
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 5)).eval()
        >>> x = torch.tensor([[3.0, 0.0], [0.0, 6.0]]).expand(1, 3, 2, 2)
        >>> explain(Brightness(), net, x).tolist()
        [[[3.0, 0.0], [0.0, 6.0]]]
    """

    version: int = 1
    explains_any_input: bool = True
    keeps_channels: bool = False
    draws: bool = True
    forward_passes: int | None = 0
    backward_passes: int | None = 0
    places: tuple[str, ...] = ()
    citation: str = ""

    def __init_subclass__(cls, **settings: Any) -> None:
        """A class of somebody else's does not inherit that a shipped one draws nothing."""
        super().__init_subclass__(**settings)
        if "draws" not in vars(cls) and not cls.__module__.startswith("bench."):
            cls.draws = True

    def passes(self, backbone: Backbone) -> Passes | None:
        """What one image costs, for the estimate of a run and the leaderboard; None: unknown.

        Args:
            backbone: The network, on whose input size or layers the number may depend.
        """
        if self.forward_passes is None or self.backward_passes is None:
            return None
        return Passes(self.forward_passes, self.backward_passes)

    def check(self, backbone: Backbone) -> None:
        """Called before a run spends a pass; what is wrong with the network ends it.

        Args:
            backbone: The network to explain.

        Raises:
            BenchError: The method cannot explain this network.
        """
        for method in self._called:
            method.check(backbone)

    def identity(self, image_ids: Sequence[str]) -> dict[str, Any]:
        """What decides the maps besides version, settings, seed, images and network.

        Args:
            image_ids: All images of the run.

        Raises:
            BenchError: The method cannot be used on them.
        """
        return {}

    @property
    def citations(self) -> list[str]:
        """The method's citation and those of the methods that it calls."""
        found = [self.citation, *(line for each in self._called for line in each.citations)]
        return list(dict.fromkeys(filter(None, found)))

    @property
    def can_explain_again(self) -> bool:
        """Whether it, and each method that it calls, can be asked about changed inputs."""
        return self.explains_any_input and all(each.can_explain_again for each in self._called)

    @property
    def may_draw(self) -> bool:
        """Whether its maps, or those of a method that it calls, may depend on the run's seed."""
        return self.draws or any(each.may_draw for each in self._called)

    @property
    def _called(self) -> "list[Method]":
        return [value for value in vars(self).values() if isinstance(value, Method)]

    @abstractmethod
    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """Computes attribution maps.

        Args:
            scorer: The score to explain.
            batch: The images and their targets.

        Returns:
            (B, H, W), signed, higher = more important for the target. Reducing the
            channels is left to the method, unless it `keeps_channels`: then (B, C, H, W).
        """


def require_declared(name: str, method: Method) -> None:
    """Refuses a method that declares of itself what cannot be counted or cited.

    Args:
        name: Where it stands in the configuration.
        method: Maybe somebody else's.

    Raises:
        BenchError: `version`, passes, `draws` or `citation` are not of the types that `Method` has.

    Example:
        >>> from bench.attribution.control import Random
        >>> method = Random()
        >>> method.version = "1.0"
        >>> require_declared("method.mine", method)
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: method.mine.version: expected an integer >= 0, found '1.0'
    """
    require_integer(f"{name}.version", method.version, 0)
    for key in ("forward_passes", "backward_passes"):
        if getattr(method, key) is not None:
            require_integer(f"{name}.{key}", getattr(method, key), 0)
    for key in ("draws", "keeps_channels"):
        if not isinstance(getattr(method, key), bool):
            raise BenchError(
                f"{name}.{key}: expected True or False, found {getattr(method, key)!r}"
            )
    if not isinstance(method.citation, str):
        raise BenchError(f"{name}.citation: expected text, found {method.citation!r}")
