"""Stores pictures and maps of a few images, for figures and reports.

Figures and reports are made later, and need neither the data set nor the network.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.attribution.maps import in_one_channel
from bench.attribution.method import Batch
from bench.backbones.backbone import Backbone
from bench.datasets.dataset import Dataset, Sample
from bench.errors import BrokenFileError, warn
from bench.evaluation.explain import Explainer
from bench.evaluation.method_run import StoredMethodRun
from bench.files import set_aside
from bench.leaderboard.comparison import comparisons, extremes
from bench.metrics.baseline import Inputs
from bench.metrics.protocol import Protocol
from bench.metrics.region import Region
from bench.storage.pictures import Picture, read_picture, save_class_names, save_picture
from bench.storage.store import Run


def images_to_show(runs: Sequence[Run], name: str, first: Sequence[str]) -> set[str]:
    """The images that a reader gets to see, with every method's maps.

    Args:
        runs: Rows of one leaderboard that may be compared.
        name: The leaderboard.
        first: Images that are shown whatever their rows say.

    Returns:
        The first images and those that each method which has all its rows does best, typically and
        worst on (`bench.leaderboard.comparison.extremes`); controls have no say.
    """
    shown = set(first)
    for comparison in comparisons(list(runs), name):
        for row in comparison.runs.keys() - comparison.controls.keys():
            shown |= set(extremes(comparison, row).values())
    return shown


@dataclass(frozen=True)
class PictureKeeper:
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
        """Keeps the pictures that are not there yet, or whose boxes are no longer those drawn.

        Reads no other image; where a metric draws boxes, all that are wanted. Names of classes are
        kept where the data set has one for each class of the network.

        Args:
            folder: See `bench.storage.pictures.pictures_folder`.
            image_ids: The images wanted.

        Raises:
            BenchError: An image cannot be read.
        """
        for sample in self.dataset.samples:
            if sample.image_id in image_ids and not self._is_kept(folder, sample):
                save_picture(folder, self.paint(sample))
        names = self.dataset.class_names
        if names is not None and len(names) == self.backbone.num_classes:
            save_class_names(folder, names)

    def paint(self, sample: Sample) -> Picture:
        """The picture of one image: all of it as the network's inputs say, turned into RGB."""
        image = sample.read()
        x = self.backbone.preprocess([image])
        inputs = Inputs(x, [sample.image_id], self.seed, self.backbone.to_input)
        names = self.dataset.class_names
        return Picture(
            image_id=sample.image_id,
            photo=self._seen(x),
            label=str(sample.target) if names is None else names[sample.target],
            baselines={
                name: self._seen(curve.baseline(inputs).expand_as(x))
                for name, curve in self.protocol.curves.items()
            },
            boxes=self._boxes(sample, image) if self.protocol.boxes else None,
        )

    def _is_kept(self, folder: Path, sample: Sample) -> bool:
        """Whether a picture need not be made; a broken one is set aside."""
        try:
            picture = read_picture(folder, sample.image_id)
        except BrokenFileError as error:
            warn(set_aside(error))
            return False
        if picture is None or not self.protocol.boxes:
            return picture is not None
        # Without a metric of the protocol itself that reads them, the folder does not depend on
        # what is annotated: it may have changed since.
        boxes = self._boxes(sample, sample.read())
        return picture.boxes is not None and np.array_equal(picture.boxes, boxes)

    def _boxes(self, sample: Sample, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """What is marked in an image, in pixels of the network's input (N, 4)."""
        return Region(sample.annotation, image.shape[:2], self.backbone.preprocessing).boxes

    def _seen(self, x: Tensor) -> NDArray[np.uint8]:
        """RGB (H, W, 3) of an input (1, C, H, W)."""
        rgb = self.backbone.preprocessing.to_rgb(x[0].permute(1, 2, 0))
        return rgb.round().clamp(0, 255).byte().numpy()


@dataclass(frozen=True)
class MapKeeper:
    """Keeps maps beside the rows, as far as they can be had without a pass through a network.

    Attributes:
        explainer: Calls methods.
        device: Where the network lives.
        seed: The run's.
    """

    explainer: Explainer
    device: torch.device
    seed: int

    def keep(
        self, samples: Sequence[Sample], runs: Sequence[StoredMethodRun], shown: Collection[str]
    ) -> Counter[str]:
        """Keeps the maps that are not there yet, of images that have a row.

        Args:
            samples: All images.
            runs: The methods, with what is stored of them.
            shown: The images wanted.

        Returns:
            By method's name, how many could not be had.
        """
        wanted = {run: run.stored.image_ids() & {*shown} for run in runs}
        lacking: Counter[str] = Counter()
        for sample in samples:
            image_id = sample.image_id
            without = [
                run
                for run in runs
                if image_id in wanted[run] and run.stored.load_map(image_id, self._size) is None
            ]
            maps = self._maps(sample, without)
            for run, saliency_map in maps.items():
                run.stored.save_map(image_id, saliency_map)
            lacking.update(run.name for run in without if run not in maps)
        return lacking

    def _maps(
        self, sample: Sample, runs: Sequence[StoredMethodRun]
    ) -> dict[StoredMethodRun, NDArray[np.floating]]:
        """Maps (H, W) of one image; the image is read only where a method is called."""
        maps = {}
        for run in runs:
            if run.maps is not None:
                found = run.maps.load([sample.image_id], self._size)
                if found:
                    maps[run] = found[sample.image_id].in_one_channel
        called = [run for run in runs if run.is_free and run not in maps]
        if called:
            batch = self._batch(sample)
            made = {run: self.explainer(run, batch).maps for run in called}
            maps |= {
                run: in_one_channel(found)[0].cpu().numpy()
                for run, found in made.items()
                if found is not None
            }
        return maps

    @property
    def _size(self) -> tuple[int, int]:
        """Of a map."""
        return self.explainer.scorer.backbone.preprocessing.shape

    def _batch(self, sample: Sample) -> Batch:
        image = sample.read()
        backbone = self.explainer.scorer.backbone
        x = backbone.preprocess([image]).to(self.device)
        labels = torch.tensor([sample.target], device=self.device)
        return Batch(
            x=x,
            targets=self.explainer.classes(labels, x),
            image_ids=[sample.image_id],
            images=[backbone.preprocessing.to_photo(image)],
            seed=self.seed,
        )
