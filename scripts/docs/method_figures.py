"""Draws the map of each method on one of the demo's photos, for the pages of the methods.

    python scripts/docs/method_figures.py [NAME ...]

writes docs/assets/methods/NAME.webp (all methods that can be drawn, if none is named) and the photo
beside them. Ten minutes on two cores. The demo extra has the network and the photos.
"""

import argparse
import sys
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from scipy import stats

import bench
from bench.datasets.photos import Photos

sys.path.insert(0, str(Path(__file__).parent))

from reference.method_facts import method_facts

PICTURES = Path(__file__).parents[2] / "docs/assets/methods"
PHOTO = "imagenet_00_243.jpg"
"""A bull mastiff: it fills a third of the photo and is not in its middle."""

LARGEST = 15_000
"""Bytes of a picture; maps that look like noise are written in less quality than others."""

_COLOURS = matplotlib.colormaps["viridis"](np.arange(256))[:, :3]


def main() -> None:
    """Draws the methods that the command line names."""
    drawn = [name for name, facts in method_facts().items() if not facts.no_picture]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    names = parser.parse_args().names or drawn
    (sample,) = (each for each in Photos().samples if each.image_id == PHOTO)
    network = bench.load_backbone("efficientnet_lite0")
    photo = sample.read()
    small = network.preprocessing.to_size(photo)
    write("photo", small)
    for name in names:
        settings = method_facts()[name].picture
        (found,) = bench.explain(
            name, network, photo[None], [sample.target], score="probability", **settings
        )
        write(name, overlay(small, found))
        print(name, flush=True)


def overlay(photo: NDArray[np.uint8], saliency_map: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A photo in grey (H, W, 3) under the ranks of a map's pixels, the brightest the highest."""
    ranks = stats.rankdata(saliency_map, axis=None).reshape(saliency_map.shape)
    levels = (255 * (ranks - 1) / (ranks.size - 1)).astype(np.uint8)
    grey = photo.mean(axis=2, keepdims=True)
    return (0.25 * grey + 0.75 * (255 * _COLOURS)[levels]).astype(np.uint8)


def write(name: str, picture: NDArray[np.uint8]) -> None:
    """Writes an RGB picture (H, W, 3) under a name, as well as `LARGEST` lets it be."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for quality in range(70, 0, -10):
        _, encoded = cv2.imencode(".webp", picture[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])
        if len(encoded) <= LARGEST:
            break
    (PICTURES / f"{name}.webp").write_bytes(encoded.tobytes())


if __name__ == "__main__":
    main()
