"""Golden maps of transformers by their authors' code, on small networks with random weights.

Runs in an environment with bench, `grad-cam==1.5.7`, `legrad-torch==1.1`, `open_clip_torch==2.23.0`
and einops, and wants the sources of two repositories beside each other in one folder:

    git -C Transformer-Explainability checkout c3e578f   # github.com/hila-chefer
    git -C Transformer-MM-Explainability checkout 58eaea8
    python scripts/oracle/attention.py FOLDER tests/golden

Of the second repository two cells of a notebook are run, the rules and `generate_relevance`. The
code wants a GPU where it says `.cuda()`; here that gives the tensor back. Weights have the names of
timm's ViT in the file.
"""

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

SIDE, PATCH, WIDTH, DEPTH, HEADS, CLASSES = 28, 2, 24, 3, 3, 5  # 14 x 14 places, as the code wants


def main() -> None:
    """Makes `attention.npz` and `legrad.npz`."""
    folder, golden = Path(sys.argv[1]), Path(sys.argv[2])
    torch.Tensor.cuda = lambda tensor, *_, **__: tensor
    torch.manual_seed(0)
    x = torch.randn(3, 3, SIDE, SIDE)
    targets = torch.tensor([3, 1, 2])  # so that no attention Grad-CAM is zero everywhere
    np.savez_compressed(golden / "attention.npz", **chefer(folder, x, targets))
    np.savez_compressed(golden / "legrad.npz", **legrad(x))


def chefer(folder: Path, x: Tensor, targets: Tensor) -> dict[str, Any]:
    """Rollout, attention Grad-CAM, gradient rollout and transformer attribution."""
    sys.path.insert(0, str(folder / "Transformer-Explainability"))
    from baselines.ViT import ViT_LRP, ViT_new
    from baselines.ViT.ViT_explanation_generator import LRP, Baselines

    settings = {"img_size": SIDE, "patch_size": PATCH, "embed_dim": WIDTH, "depth": DEPTH,
                "num_heads": HEADS, "num_classes": CLASSES, "qkv_bias": True}  # fmt: skip
    model = ViT_new.VisionTransformer(**settings).eval()
    shake(model)
    twin = ViT_LRP.VisionTransformer(**settings).eval()
    twin.load_state_dict(model.state_dict())
    twin.double()  # its quotients of small numbers leave three digits of float32
    relevance = notebook(folder / "Transformer-MM-Explainability")["generate_relevance"]
    arrays: dict[str, list[Tensor]] = {name: [] for name in MAPS}
    for image, target in zip(x.split(1), targets.tolist(), strict=True):
        baselines = Baselines(model)
        arrays["attention_rollout"].append(baselines.generate_rollout(image).view(14, 14))
        arrays["attention_grad_cam"].append(baselines.generate_cam_attn(image, target))
        arrays["gradient_rollout"].append(relevance(model, image, target).view(14, 14))
        found = LRP(twin).generate_LRP(image.double(), target, method="transformer_attribution")
        arrays["transformer_attribution"].append(found.view(14, 14))
    found = {f"maps {name}": torch.stack(maps).detach().numpy() for name, maps in arrays.items()}
    weights = {f"weight {name}": value.numpy() for name, value in model.state_dict().items()}
    return found | weights | {"x": x.numpy(), "targets": targets.numpy(), "heads": HEADS}


MAPS = ("attention_rollout", "attention_grad_cam", "gradient_rollout", "transformer_attribution")


def notebook(folder: Path) -> dict[str, Any]:
    """What the notebook's cell with the rules defines."""
    cells = json.loads((folder / "Transformer_MM_explainability_ViT.ipynb").read_text())["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    (rules,) = [source for source in sources if "def generate_relevance" in source]
    names: dict[str, Any] = {"torch": torch, "np": np}
    exec(compile(rules, "Transformer_MM_explainability_ViT.ipynb", "exec"), names)
    return names


def legrad(x: Tensor) -> dict[str, Any]:
    """LeGrad of a small CLIP, over its last two layers (the package's default) and over all."""
    import open_clip
    from legrad import LeWrapper

    vision = {"layers": DEPTH, "width": WIDTH, "head_width": WIDTH // HEADS, "mlp_ratio": 4.0,
              "patch_size": PATCH, "image_size": SIDE}  # fmt: skip
    text = {"context_length": 4, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1}
    torch.manual_seed(1)
    clip = open_clip.model.CLIP(WIDTH, vision, text).eval()
    shake(clip)
    words = nn.functional.normalize(torch.randn(CLASSES, WIDTH), dim=1)
    state = {name: value.clone() for name, value in clip.visual.state_dict().items()}
    found = {}
    for name, index in (("two", -2), ("all", 0)):
        wrapped = LeWrapper(clip, layer_index=index)
        maps = [wrapped.compute_legrad(words[1:2], image)[0, 0] for image in x.split(1)]
        found[f"maps {name}"] = torch.stack(maps).detach().numpy()
    weights = {f"weight {timm_name(name)}": value.numpy() for name, value in state.items()}
    weights["weight cls_token"] = weights["weight cls_token"][None, None]
    weights["weight pos_embed"] = weights["weight pos_embed"][None]
    version = metadata.version("legrad-torch")
    return found | weights | {"version": version, "words": words.numpy(), "heads": HEADS}


def timm_name(name: str) -> str:
    """OpenCLIP's name of a weight in timm's words."""
    for theirs, ours in TIMM.items():
        name = name.replace(theirs, ours)
    return name


TIMM = {
    "class_embedding": "cls_token",
    "positional_embedding": "pos_embed",
    "conv1": "patch_embed.proj",
    "ln_pre": "norm_pre",
    "ln_post": "norm",
    "transformer.resblocks": "blocks",
    "ln_1": "norm1",
    "ln_2": "norm2",
    "attn.in_proj_": "attn.qkv.",
    "out_proj": "proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def shake(module: nn.Module) -> None:
    """Weights that tell one place from another, which those of an untrained network hardly do."""
    for parameter in module.parameters():
        parameter.data += 0.15 * torch.randn_like(parameter)


if __name__ == "__main__":
    main()
