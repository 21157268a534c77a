"""A results folder with rows, maps and pictures, as a report reads it, made without a network."""

from pathlib import Path

import numpy as np
from toy_rows import begin, rows

from bench.leaderboard.comparison import comparisons
from bench.metrics.protocol import load_protocol
from bench.storage.pictures import Picture, pictures_folder, save_picture
from bench.storage.store import stored_runs

SIDE = 24
METHODS = {
    "rise": {"_target_": "bench.attribution.masking.Rise", "num_masks": 4},
    "grad_cam": {"_target_": "bench.attribution.cam.GradCAM"},
    "random": {"_target_": "bench.attribution.control.Random"},
}


def protocol(name="smdl-cub"):
    """Settings of a shipped protocol; of this one, insertion and deletion differ in steps."""
    return load_protocol(name).settings()


def rows_of_protocol(*names):
    """Rows with as many points as `protocol` asks for."""
    return rows(*names, insertion=np.linspace(0, 1, 26), deletion=np.linspace(1, 0, 11))


def write_results(
    folder: Path, images=("a.png", "b.png", "c.png"), names=tuple(METHODS), settings=None, side=SIDE
) -> Path:
    """Three methods on three images; insertion is best for the first, worst for the last."""
    settings = settings or protocol()
    draws = np.random.default_rng(0)
    for number, (name, method) in enumerate(zip(names, METHODS.values(), strict=True)):
        dataset = {
            "name": "birds", "num_images": len(images), "list_sha256": "a", "pixels_sha256": "b",
        }  # fmt: skip
        described = {"name": name, "version": 1, "settings": method}
        run = begin(folder, name, dataset=dataset, method=described, protocol=settings)
        for image_id in images:
            insertion = np.linspace(0, 1, 26) ** (1 + number + draws.uniform(0, 0.5))
            deletion = np.linspace(1, 0, 11) ** (3 - number + draws.uniform(0, 0.5))
            run.append(rows(image_id, insertion=insertion, deletion=deletion))
            run.save_map(image_id, draws.normal(size=(side, side)).astype(np.float32))
    (comparison,) = comparisons(stored_runs(folder, "board"), "board")
    where = pictures_folder(folder, comparison.title, comparison.key)
    for number, image_id in enumerate(images):
        photo = draws.integers(0, 256, (side, side, 3), dtype=np.uint8)
        grey = np.full_like(photo, 127)
        noise = draws.integers(0, 256, photo.shape, dtype=np.uint8)
        save_picture(
            where,
            Picture(image_id, photo, f"bird {number}", {"insertion": grey, "deletion": noise}),
        )
    return folder
