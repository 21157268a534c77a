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
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from toy import backbone, make_batch

from bench.attribution.adapters import GradCamPackage
from bench.attribution.scorer import Scorer

CAMS = ("GradCAM", "GradCAMPlusPlus", "ScoreCAM", "EigenCAM", "LayerCAM", "XGradCAM", "HiResCAM")
STORED = ("GradCAM", "GradCAMPlusPlus", "LayerCAM", "XGradCAM")


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
    arrays["maps AblationCAM"] = _direct("AblationCAM", scorer, batch, bias=100)
    arrays["components"] = get_2d_projection(scorer.layer_activations(batch.x).numpy())
    arrays |= transformers()
    x, targets = batch.x.contiguous().numpy(), batch.targets.numpy()
    version = metadata.version("grad-cam")
    path = Path(sys.argv[1]) / "grad_cam.npz"
    np.savez_compressed(path, version=version, x=x, targets=targets, **arrays)


def transformers() -> dict[str, np.ndarray]:
    """Grad-CAM of a Swin and a ViT, by `reshape_transform` as the README has it."""
    from toy import swin, transformer

    found = {}
    x = torch.randn(3, 3, 32, 24, generator=torch.Generator().manual_seed(0))
    targets = [ClassifierOutputTarget(target) for target in (0, 3, 1)]
    cases = {
        "swin": (swin(), "norm", lambda output: output.permute(0, 3, 1, 2)),
        "vit": (
            transformer(img_size=(32, 24)),
            "blocks.2.norm1",
            lambda output: output[:, 1:].reshape(len(output), 8, 6, 24).permute(0, 3, 1, 2),
        ),
    }
    for kind, (network, layer, reshape) in cases.items():
        module = network.module.requires_grad_(True)
        layers = [module.get_submodule(layer)]
        with pytorch_grad_cam.GradCAM(module, layers, reshape_transform=reshape) as cam:
            found[f"{kind} maps"] = cam(input_tensor=x.clone(), targets=targets)
        state = module.state_dict()
        found |= {f"{kind} weight {name}": value.numpy() for name, value in state.items()}
    return found | {"transformers x": x.numpy()}


def _direct(name: str, scorer: Scorer, batch: object, bias: float = 0) -> np.ndarray:
    """Maps without bench: the package on a network whose weights ask for gradients.

    A bias makes all scores positive: Ablation-CAM divides by them.
    """
    from toy import ConvModel

    class OutOfPlace(ConvModel):
        def forward(self, x):  # noqa: ANN001, ANN202
            x = self.last(self.norm(self.first(x)).relu())
            return self.head(x.relu().mean(dim=(2, 3)))

    module = OutOfPlace().eval()
    module.load_state_dict(scorer.backbone.module.state_dict())
    module.head.bias.data += bias
    targets = [ClassifierOutputTarget(target) for target in batch.targets.tolist()]
    with getattr(pytorch_grad_cam, name)(module, [module.last]) as cam:
        return cam(input_tensor=batch.x.clone(), targets=targets)


if __name__ == "__main__":
    main()
