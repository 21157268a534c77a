"""Golden maps by the package grad-cam on the tests' small network, and its adapter next to it.

Needs bench with its extra `grad-cam`, in an environment that may hold opencv-python; the golden
file holds the weights, so that its numbers do not hang on torch's generators:

    python scripts/oracle/grad_cam.py tests/golden
"""

import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytorch_grad_cam

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from toy import backbone, make_batch

from bench.attribution.adapters import GradCamPackage
from bench.attribution.scorer import Scorer

CAMS = ("GradCAM", "GradCAMPlusPlus", "ScoreCAM", "EigenCAM", "LayerCAM", "XGradCAM", "HiResCAM")
STORED = ("GradCAM", "GradCAMPlusPlus")


def main() -> None:
    """Makes the file."""
    scorer, batch = Scorer(backbone(), "logit", 4), make_batch()
    scorer.backbone.module.head.weight.mul_(1000)  # else its epsilon of 1e-6 shows in Grad-CAM++
    state = scorer.backbone.module.state_dict()
    arrays = {f"weight {name}": value.numpy() for name, value in state.items()}
    for name in CAMS:
        direct = _direct(name, scorer, batch)
        for batched in (False, True):
            method = GradCamPackage(f"pytorch_grad_cam.{name}", batched=batched)
            maps = method(scorer, batch).numpy()
            print(f"{name}, batched={batched}: adapter against the package: "
                  f"{np.abs(maps - direct).max():.1e}")  # fmt: skip
        if name in STORED:
            arrays[f"maps {name}"] = direct
    x, targets = batch.x.contiguous().numpy(), batch.targets.numpy()
    version = metadata.version("grad-cam")
    path = Path(sys.argv[1]) / "grad_cam.npz"
    np.savez_compressed(path, version=version, x=x, targets=targets, **arrays)


def _direct(name: str, scorer: Scorer, batch: object) -> np.ndarray:
    """Maps without bench: the package on a network whose weights ask for gradients."""
    from toy import ConvModel

    class OutOfPlace(ConvModel):
        def forward(self, x):  # noqa: ANN001, ANN202
            x = self.last(self.norm(self.first(x)).relu())
            return self.head(x.relu().mean(dim=(2, 3)))

    module = OutOfPlace().eval()
    module.load_state_dict(scorer.backbone.module.state_dict())
    targets = [
        pytorch_grad_cam.utils.model_targets.ClassifierOutputTarget(target)
        for target in batch.targets.tolist()
    ]
    with getattr(pytorch_grad_cam, name)(module, [module.last]) as cam:
        return cam(input_tensor=batch.x.clone(), targets=targets)


if __name__ == "__main__":
    main()
