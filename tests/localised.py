"""Comparisons of methods whose boxes' IoU at each threshold are given."""

import numpy as np
from toy_rows import identity, rows, typed

from bench.leaderboard.comparison import comparisons
from bench.storage.store import open_run, stored_runs


def localised(folder, overlaps, iou=(0.5,), *, pointed=None, maps=None, controls=()):
    """Stores runs and compares them; the images are a, b, c, ...

    Args:
        folder: The results folder.
        overlaps: Method -> IoU (n, thresholds); NaN where an image has no box.
        iou: The least IoU of the metric.
        pointed: Method -> (n,) 1 or 0, whether its highest point is on the object; None: nobody
            asked.
        maps: Method -> image -> map.
        controls: The methods that are controls.
    """
    (count, points) = next(iter(overlaps.values())).shape
    metrics = {"max_box_acc": {"contours": "all", "iou": list(iou), "thresholds": points}}
    if pointed is not None:
        metrics["pointing_game"] = {"tolerance": 0}
    protocol = {
        "name": "boxes", "auc": "trapezoid", "score": "logit", "ties": "stable", "metrics": metrics,
    }  # fmt: skip
    images = [chr(ord("a") + number) for number in range(count)]
    for method, found in overlaps.items():
        kind = {"kind": "Random"} if method in controls else {"_target_": "x.X"}
        described = {"name": method, "version": 1, "settings": {**kind, "of": None, "is": method}}
        fields = identity(method=described, protocol=protocol)
        fields["dataset"]["num_images"] = count
        run = open_run(folder, *typed(fields), {}, {})
        run.set_label("board", method)
        stored = rows(*images).drop(columns=["insertion_curve", "deletion_curve"])
        stored["max_box_acc_iou"] = list(np.float32(found))
        if pointed is not None:
            stored["pointing_game"] = np.asarray(pointed[method], float)
        run.append(stored)
        for image_id, saliency_map in (maps or {}).get(method, {}).items():
            run.save_map(image_id, saliency_map)
    (comparison,) = comparisons(stored_runs(folder, "board"), "board")
    return comparison
