"""SMDL as arXiv 2402.09164 tells it, on Keras: one image, one candidate set after another.

Runs in the environment of scripts/oracle/requirements.txt. Slow loops over the formulas of
`bench.attribution.submodular`, which they check; the scores that need an uncertainty network are
left out, as there is no Keras file of one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import keras
import numpy as np

Preprocess = Callable[[np.ndarray], np.ndarray]
"""RGB uint8 (N, H, W, 3) to inputs of a network."""


@dataclass(frozen=True)
class Search:
    """How one of the record's tables was searched.

    Attributes:
        prior: The method whose map orders the cells, by our name.
        grid_size: Cells along each side.
        set_size: Cells in a region.
        consistency: Weight of that score.
        effectiveness: Weight of that score; collaboration has 1.
        layer: Whose output features are.
        embeds: Whether likeness is an angle of features (faces in 2023) or the class's score.
        of_prediction: Whether the class is the one that the network puts first, or the label.
        smooth: The map is resized to so many pixels a side and back; None: it is not.
    """

    prior: str
    grid_size: int
    set_size: int
    consistency: float = 1
    effectiveness: float = 1
    layer: str = "dense"
    embeds: bool = False
    of_prediction: bool = True
    smooth: int | None = None


SEARCHES = {
    "smdl_celeba": Search("hsic", 14, 4, layer="embedding", embeds=True),
    "smdl_vggface2": Search("hsic_vggface2", 28, 8, 10, 200, "embedding", True, smooth=28),
    "smdl_cub": Search("hsic", 10, 4),
    "smdl_cub_misclassified": Search("score_cam_paper", 10, 4, consistency=20, of_prediction=False),
}
"""By our names of the methods."""


def partition(image: np.ndarray, prior: np.ndarray, search: Search) -> list[np.ndarray]:
    """Cuts an image (H, W, 3) uint8 into regions of `set_size` cells, each on black."""
    side, height = search.grid_size, image.shape[0]
    cells = np.argsort(-cv2.resize(prior, (side, side)).flatten())
    cell = np.arange(height) * side // height
    cell_of_pixel = cell[:, None] * side + cell
    sets = [
        cells[first : first + search.set_size]
        for first in range(0, side**2 - search.set_size + 1, search.set_size)
    ]
    return [np.where(np.isin(cell_of_pixel, each)[..., None], image, 0) for each in sets]


def angle(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angles over pi between vectors (..., D), float32 as in the record."""
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    cosines = (first * second).sum(axis=-1) / lengths
    return np.arccos(np.clip(cosines, -1, 1).astype(np.float32)) / np.float32(np.pi)


def choose(
    model: keras.Model,
    preprocess: Preprocess,
    image: np.ndarray,
    prior: np.ndarray,
    label: int,
    *,
    search: Search,
) -> np.ndarray:
    """Chooses all regions but one, each time the one that raises the sum of scores most.

    Args:
        model: The searched network.
        preprocess: Its.
        image: (H, W, 3) RGB uint8 in its size.
        prior: (H, W).
        label: The image's class.
        search: How.

    Returns:
        The regions in the order of their choice, (K, H, W, 3) uint8.
    """
    features = keras.Model(model.input, model.get_layer(search.layer).output)

    def ask(network: keras.Model, images: list[np.ndarray]) -> np.ndarray:
        return network(preprocess(np.stack(images))).numpy()

    regions = partition(image, prior, search)
    whole = np.sum(regions, axis=0, dtype=np.uint8)  # cells of no region are black
    vectors = ask(features, regions)
    if search.embeds:
        (reference,) = ask(features, [whole])

        def likeness(images: list[np.ndarray]) -> np.ndarray:
            return 1 - angle(ask(features, images), reference)

    else:
        target = ask(model, [whole])[0].argmax() if search.of_prediction else label

        def likeness(images: list[np.ndarray]) -> np.ndarray:
            return ask(model, images)[:, target]

    def effectiveness(members: list[int]) -> float:
        if len(members) == 1:
            return 0.0
        distances = angle(vectors[members][:, None], vectors[members])
        return float((distances + np.eye(len(members))).min(axis=1).sum())

    chosen: list[int] = []
    while len(chosen) < len(regions) - 1:
        left = [each for each in range(len(regions)) if each not in chosen]
        sets = [[*chosen, each] for each in left]
        shown = [np.sum([regions[i] for i in members], 0, dtype=np.uint8) for members in sets]
        total = (
            search.effectiveness * np.array([effectiveness(members) for members in sets])
            + search.consistency * likeness(shown)
            + (1 - likeness([whole - each for each in shown]))
        )
        chosen.append(left[int(np.argmax(total))])
    return np.stack([regions[each] for each in chosen])


def region_map(regions: np.ndarray, smooth: int | None) -> np.ndarray:
    """Regions (K, H, W, 3) uint8 to a map (H, W) float32: the k-th counts K - k where it shows."""
    counts = np.zeros(regions.shape[1:], np.uint8)
    for number, region in enumerate(regions):
        counts[region > 0] = len(regions) - number
    if smooth is not None:
        small = cv2.resize(counts, (smooth, smooth))
        counts = cv2.resize(small, counts.shape[1::-1])
    return counts.mean(axis=2).astype(np.float32)
