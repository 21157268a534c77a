"""MaxBoxAcc of a bump in the middle of the image on CUB's test images: no network, no photo.

    python scripts/center_on_cub.py datasets/CUB_200_2011

The published centre row has 59.7 % at IoU 0.5 (Choe et al. 2020, arXiv 2001.07437; among methods,
the best of its table on CUB have 63.7 %). Sizes of photos are read off their headers, or from a
file of lines `path,width,height`.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from bench.attribution.control import Center
from bench.attribution.method import Batch
from bench.backbones.backbone import Preprocessing
from bench.datasets.annotation import Annotation
from bench.metrics.box_accuracy import MaxBoxAcc
from bench.metrics.region import Region

IOU = (0.3, 0.5, 0.7)


def main() -> None:
    """Prints the share of test images that are found, in percent."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("root", type=Path, help="with images.txt, bounding_boxes.txt and images/")
    parser.add_argument("--sizes", type=Path, help="lines `path,width,height`, in place of images/")
    parser.add_argument("--thresholds", type=int, default=1000)
    given = parser.parse_args()
    x = torch.zeros(1, 3, 224, 224)
    batch = Batch(x=x, targets=torch.tensor([0]), image_ids=["0"], images=[], seed=0)
    bump = Center()(None, batch)[0].double().numpy()  # type: ignore[arg-type]  # asks no scorer
    regions = read_regions(given.root, given.sizes)
    for contours in ("largest", "all"):
        metric = MaxBoxAcc(contours, IOU, given.thresholds)
        boxes = metric.boxes(bump)
        overlaps = [metric.best_iou(boxes, region.boxes) for region in regions]
        rows = pd.DataFrame({metric.column: overlaps})
        (statistic,) = metric.statistics
        each = {
            level: replace(metric, iou=(level,)).summary(statistic, rows, "trapezoid")
            for level in IOU
        }
        shown = ", ".join(f"{100 * share:.2f} at {level:g}" for level, share in each.items())
        mean = 100 * metric.summary(statistic, rows, "trapezoid")
        print(f"{len(regions):,} images, {contours} contours: {shown}; mean {mean:.2f}")


def read_regions(root: Path, sizes: Path | None) -> list[Region]:
    """The boxes of the test images, in inputs of 224 x 224."""
    paths = dict(line.split() for line in (root / "images.txt").read_text().splitlines())
    splits = dict(line.split() for line in (root / "train_test_split.txt").read_text().splitlines())
    boxes = {
        image: np.array([values], float)
        for image, *values in map(str.split, (root / "bounding_boxes.txt").read_text().splitlines())
    }
    known = {}
    if sizes is not None:
        for line in sizes.read_text().splitlines():
            path, width, height = line.split(",")
            known[path] = int(height), int(width)
    made = Preprocessing(224, (0,), (255,))
    regions = []
    for image, path in paths.items():
        if splits[image] == "1":
            continue
        if sizes is None:
            with Image.open(root / "images" / path) as opened:
                known[path] = opened.size[::-1]
        corner, size = boxes[image][:, :2], boxes[image][:, 2:]
        annotation = Annotation(np.concatenate([corner, corner + size], axis=1))
        regions.append(Region(annotation, known[path], made))
    return regions


if __name__ == "__main__":
    main()
