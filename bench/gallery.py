"""What is kept of a run for those who read its leaderboard: pictures of a few images, and maps.

Figures and reports are made of it later, where neither the data set nor the network may be at hand.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.attribution.method import Batch
from bench.backbones.backbone import Backbone
from bench.datasets.dataset import Dataset, Sample
from bench.errors import BrokenFileError, warn
from bench.explain import Explainer
from bench.files import set_aside
from bench.leaderboard.comparison import comparisons, extremes
from bench.map_store import MapStore
from bench.metrics.baseline import Inputs
from bench.metrics.protocol import Protocol
from bench.pictures import Picture, read_picture, save_picture
from bench.store import Run


def images_to_show(runs: Mapping[str, Run], name: str, first: Sequence[str]) -> set[str]:
    """The images that a reader gets to see, with every method's maps.

    Args:
        runs: By method, rows of one leaderboard that may be compared.
        name: The leaderboard.
        first: Images that are shown whatever their rows say.

    Returns:
        The first images and those that each method which has all its rows does best, typically and
        worst on (`bench.leaderboard.comparison.extremes`); controls have no say.
    """
    shown = set(first)
    for comparison in comparisons(list(runs.values()), name):
        for row in comparison.runs.keys() - comparison.controls.keys():
            shown |= set(extremes(comparison, row).values())
    return shown


@dataclass(frozen=True)
class Painter:
    """Makes pictures of images.

    Attributes:
        dataset: Has the images and names their classes.
        backbone: Says how the network gets an image.
        protocol: Says what removed pixels become.
        seed: The run's; noise depends on it.
    """

    dataset: Dataset
    backbone: Backbone
    protocol: Protocol
    seed: int

    def keep(self, folder: Path, image_ids: Collection[str]) -> None:
        """Keeps the pictures that are not there yet; reads no other image.

        Args:
            folder: See `bench.pictures.pictures_folder`.
            image_ids: The images wanted.

        Raises:
            BenchError: An image cannot be read.
        """
        for sample in self.dataset.samples:
            if sample.image_id in image_ids and not _has_picture(folder, sample.image_id):
                save_picture(folder, self.paint(sample))

    def paint(self, sample: Sample) -> Picture:
        """The picture of one image: all of it as the network's inputs say, turned into RGB."""
        x = self.backbone.preprocess([sample.read()])
        inputs = Inputs(x, [sample.image_id], self.seed, self.backbone.to_input)
        names = self.dataset.class_names
        return Picture(
            image_id=sample.image_id,
            photo=self._seen(x),
            insertion=self._seen(self.protocol.insertion.baseline(inputs).expand_as(x)),
            deletion=self._seen(self.protocol.deletion.baseline(inputs).expand_as(x)),
            label=str(sample.target) if names is None else names[sample.target],
        )

    def _seen(self, x: Tensor) -> NDArray[np.uint8]:
        """RGB (S, S, 3) of an input (1, 3, S, S)."""
        rgb = self.backbone.preprocessing.to_rgb(x[0].permute(1, 2, 0))
        return rgb.round().clamp(0, 255).byte().numpy()


@dataclass(frozen=True)
class MapKeeper:
    """Keeps maps beside the rows, as far as they can be had without a pass through a network.

    Attributes:
        explainer: Has the methods.
        stores: By method, the maps that it has made.
        free: The methods that make no passes: these may be called again.
        device: Where the network lives.
        seed: The run's.
    """

    explainer: Explainer
    stores: Mapping[str, MapStore]
    free: Collection[str]
    device: torch.device
    seed: int

    def keep(
        self,
        samples: Sequence[Sample],
        runs: Mapping[str, Run],
        shown: Collection[str],
    ) -> Counter[str]:
        """Keeps the maps that are not there yet, of images that have a row.

        Args:
            samples: All images.
            runs: By method.
            shown: The images wanted.

        Returns:
            By method, how many could not be had.
        """
        wanted = {method: run.image_ids() & {*shown} for method, run in runs.items()}
        lacking: Counter[str] = Counter()
        for sample in samples:
            image_id = sample.image_id
            without = [
                method
                for method, run in runs.items()
                if image_id in wanted[method] and run.load_map(image_id, self._size) is None
            ]
            maps = self._maps(sample, without)
            for method, saliency_map in maps.items():
                runs[method].save_map(image_id, saliency_map)
            lacking.update(set(without) - set(maps))
        return lacking

    def _maps(self, sample: Sample, methods: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Maps (H, W) of one image; the image is read only where a method is called."""
        maps = {}
        for method in set(methods) & set(self.stores):
            found = self.stores[method].load([sample.image_id], self._size)
            if found:
                maps[method] = found[sample.image_id].values
        called = [own for own in methods if own in self.free and own not in maps]
        if called:
            batch = self._batch(sample)
            found = {own: self.explainer(own, batch).maps for own in called}
            maps |= {own: made[0].cpu().numpy() for own, made in found.items() if made is not None}
        return maps

    @property
    def _size(self) -> tuple[int, int]:
        """Of a map."""
        side = self.explainer.scorer.backbone.preprocessing.size
        return side, side

    def _batch(self, sample: Sample) -> Batch:
        image = sample.read()
        return Batch(
            x=self.explainer.scorer.backbone.preprocess([image]).to(self.device),
            targets=torch.tensor([sample.target], device=self.device),
            image_ids=[sample.image_id],
            images=[image],
            seed=self.seed,
        )


def _has_picture(folder: Path, image_id: str) -> bool:
    """Whether it need not be made; a broken one is set aside."""
    try:
        return read_picture(folder, image_id) is not None
    except BrokenFileError as error:
        warn(set_aside(error))
        return False
