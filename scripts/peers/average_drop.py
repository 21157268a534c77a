"""Golden values of average drop and increase in confidence, of grad-cam, torch-cam and ADCC.

In the environment of scripts/peers/requirements.txt, with metrics/average_drop.py of
github.com/aimagelab/ADCC (at e52dadf) beside:

    .venv-peers/bin/python scripts/peers/average_drop.py ADCC tests/golden/average_drop.npz
"""

import runpy
import sys
from contextlib import nullcontext
from functools import partial
from importlib import metadata

import numpy as np
import torch
from linear import Linear
from pytorch_grad_cam.metrics.cam_mult_image import DropInConfidence, IncreaseInConfidence
from pytorch_grad_cam.utils.image import scale_cam_image
from torchcam.metrics import ClassificationMetric

HEIGHT, WIDTH = 14, 11


class Maps:
    """Stands for an extractor of torch-cam: gives one map that there is already."""

    def __init__(self, model: torch.nn.Module, one: np.ndarray) -> None:
        self.model, self._map = model, one

    def __call__(self, *_: object, **__: object) -> list[torch.Tensor]:
        """The map (1, H, W)."""
        return [torch.from_numpy(self._map)[None]]

    def fuse_cams(self, cams: list[torch.Tensor]) -> torch.Tensor:
        """The one map."""
        return cams[0]

    _hooks_off = staticmethod(nullcontext)


def main() -> None:
    """Makes the file."""
    draws = np.random.default_rng(0)
    weight = 0.2 * draws.standard_normal((4, 3, HEIGHT, WIDTH)).astype(np.float32)
    x = draws.standard_normal((6, 3, HEIGHT, WIDTH)).astype(np.float32)
    maps = draws.standard_normal((6, HEIGHT, WIDTH)).astype(np.float32)
    maps[1] = np.maximum(maps[1], 0)
    maps[2] -= 5
    maps[4] = 0.25  # constant
    model = Linear(weight)
    classes = model(torch.from_numpy(x)).argmax(dim=1).tolist()  # ADCC's class: the prediction
    maps[5] = (x[5] * weight[classes[5]]).sum(axis=0)  # shows what speaks for the class
    scaled = scale_cam_image(maps)
    targets = [partial(lambda number, output: output[number], number) for number in classes]
    asked = torch.from_numpy(x), scaled, targets, model
    of_adcc = runpy.run_path(f"{sys.argv[1]}/metrics/average_drop.py")["average_drop"]
    torch_cam, adcc = [], []
    for image, one, number in zip(torch.from_numpy(x)[:, None], scaled, classes, strict=True):
        metric = ClassificationMetric(Maps(model, one))
        metric.update(image, number)
        torch_cam.append(list(metric.summary().values()))
        # It takes the softmax itself, of logits.
        logits = lambda inputs: model(inputs).log()  # noqa: E731
        adcc.append(of_adcc(image, image * torch.from_numpy(one), logits, model(image), number))
    versions = [f"{name} {metadata.version(name)}" for name in ("grad-cam", "torchcam")]
    np.savez_compressed(
        sys.argv[2], x=x, weight=weight, maps=maps, classes=np.array(classes),
        grad_cam_drop=DropInConfidence()(*asked), grad_cam_increase=IncreaseInConfidence()(*asked),
        torch_cam=np.array(torch_cam), adcc=np.array(adcc),
        versions=np.array(versions),
    )  # fmt: skip


main()
