"""Which layer `cam_layer=auto` takes of timm's networks: one small member of every family.

A family is a module of `timm.models`. Weights are random, inputs are small where the network takes
such. Writes `docs/reference/cam-layers.md`. No family is left out; those that cannot be made are
told:

    python scripts/scan_cam_layers.py --output docs/reference/cam-layers.md
    python scripts/scan_cam_layers.py swin_transformer hiera      # two families, to the terminal

"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import timm
import torch
from timm.models import _registry

from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone
from bench.backbones.torch_module import torch_module
from bench.errors import BenchError, require_known

MEMBERS = {
    "beit": "beit_base_patch16_224",
    "byoanet": "eca_botnext26ts_256",
    "byobnet": "repvgg_a0",
    "cait": "cait_xxs24_224",
    "coat": "coat_tiny",
    "convit": "convit_tiny",
    "convmixer": "convmixer_768_32",
    "convnext": "convnext_atto",
    "cpubone": "cpubone_nano",
    "crossvit": "crossvit_tiny_240",
    "csatv2": "csatv2",
    "cspnet": "cs3darknet_focus_s",
    "cspnext": "cspnext_tiny",
    "davit": "davit_tiny",
    "deepseek_vit": "deepseek_vit_412m",
    "deit": "deit_tiny_distilled_patch16_224",
    "densenet": "densenet121",
    "dla": "dla34",
    "dpn": "dpn48b",
    "edgenext": "edgenext_xx_small",
    "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0",
    "efficientnet": "efficientnet_b0",
    "efficientvim": "efficientvim_m1",
    "efficientvit_mit": "efficientvit_b0",
    "efficientvit_msra": "efficientvit_m0",
    "eva": "eva02_tiny_patch14_224",
    "fasternet": "fasternet_t0",
    "fastvit": "fastvit_t8",
    "focalnet": "focalnet_tiny_srf",
    "gcvit": "gcvit_xxtiny",
    "gemma4_vit": "gemma4_vit_167m",
    "ghostnet": "ghostnet_050",
    "hardcorenas": "hardcorenas_b",
    "hgnet": "hgnetv2_b0",
    "hiera": "hiera_tiny_224",
    "hieradet_sam2": "sam2_hiera_tiny",
    "hrnet": "hrnet_w18_small",
    "iformer": "iformer_t",
    "inception_next": "inception_next_atto",
    "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "lcnetv2": "lcnetv2_small",
    "levit": "levit_128s",
    "lowformer": "lowformer_b0",
    "mambaout": "mambaout_femto",
    "maxxvit": "maxvit_rmlp_pico_rw_256",
    "metaformer": "caformer_s18",
    "mlp_mixer": "gmlp_ti16_224",
    "mobilenetv3": "mobilenetv3_small_050",
    "mobilenetv5": "mobilenetv5_base",
    "mobilevit": "mobilevit_xxs",
    "mvitv2": "mvitv2_tiny",
    "naflexvit": "naflexvit_base_patch16_gap",
    "nasnet": "nasnetalarge",
    "nest": "nest_tiny",
    "nextvit": "nextvit_small",
    "nfnet": "nf_regnet_b0",
    "pit": "pit_ti_224",
    "pnasnet": "pnasnet5large",
    "pvt_v2": "pvt_v2_b0",
    "qwen3_vit": "qwen3_vit_88m",
    "rdnet": "rdnet_tiny",
    "regnet": "regnetx_002",
    "repghost": "repghostnet_050",
    "repvit": "repvit_m0_9",
    "res2net": "res2net50_26w_4s",
    "resnest": "resnest26d",
    "resnet": "resnet18",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "selecsls": "selecsls42",
    "senet": "legacy_seresnet18",
    "sequencer": "sequencer2d_s",
    "shvit": "shvit_s1",
    "sknet": "skresnet18",
    "starnet": "starnet_s050",
    "swiftformer": "swiftformer_xs",
    "swin_transformer": "swin_tiny_patch4_window7_224",
    "swin_transformer_v2": "swinv2_tiny_window8_256",
    "swin_transformer_v2_cr": "swinv2_cr_tiny_224",
    "tiny_vit": "tiny_vit_5m_224",
    "tnt": "tnt_s_patch16_224",
    "tresnet": "tresnet_m",
    "twins": "twins_svt_small",
    "vgg": "vgg11",
    "visformer": "visformer_tiny",
    "vision_transformer": "vit_tiny_patch16_224",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_224",
    "vision_transformer_relpos": "vit_srelpos_small_patch16_224",
    "vision_transformer_sam": "samvit_base_patch16_224",
    "vitamin": "vitamin_small_224",
    "volo": "volo_d1_224",
    "vovnet": "vovnet39a",
    "xception": "legacy_xception",
    "xception_aligned": "xception41p",
    "xcit": "xcit_nano_12_p16_224",
}
"""A small member of each family; of a new one the smallest is taken."""

FEWER = {
    "deepseek_vit": {"depth": 3},
    "gemma4_vit": {"depth": 3},
    "qwen3_vit": {"depth": 3},
    "vision_transformer_sam": {"depth": 3},
}
"""Settings that make members of families without a small one quick, and change no kind of layer."""

MORE = (
    "resnet50 resnet101 vit_base_patch16_clip_224 vit_base_patch16_siglip_224 "
    "vit_small_patch16_224 vit_medium_patch16_gap_240 densenet121 inception_v3 convnext_tiny "
    "eva02_base_patch14_224 beitv2_base_patch16_224 vit_small_patch14_reg4_dinov2 "
    "swin_tiny_patch4_window7_224 regnety_002 tf_efficientnetv2_b0 seresnet50"
).split()
"""Further networks that people benchmark."""


INTRODUCTION = """# Layers of class activation maps

`backbone.cam_layer=auto` takes the last layer with a map larger than 1 x 1 that sees the features
of the whole network; it takes none that is a branch of a concatenation, a patch embedding, behind
the pooling, or without a gradient at its places. Where there is none, CAM methods are refused
before a run starts, with the reason.

1. The last convolution, if the network ends in convolutions (as a rule Xplique's choice).
2. Else the last layer whose output, or what it normalises, all of the network passes through: of
   ViTs the first norm of the last block (attention has to follow, since a class token takes nothing
   from the others after that), of Swin the last norm.

`backbone.cam_layer=NAME` names another one. How its output holds maps is read off the network
(timm's `num_prefix_tokens`, `patch_embed.grid_size`, `feature_info`, `output_fmt`; class token and
`patch_size` of torchvision's, open_clip's and Hugging Face's) and the shape. Where that is not
enough you are asked for it: `backbone.cam_layout=bhwc`, or
`'backbone.cam_layout={kind: tokens, extra: 1, grid: [14, 14]}'`, rows and columns.

- `bchw`: (channels, rows, columns); `bhwc`: (rows, columns, channels); `tokens, 1 + 14 x 14`: one
  token that stands for no place, then 14 rows of 14.
- **checked**, of layouts that are not bchw: pixels change in one corner of the input, and the place
  of the maps that changes most must lie there; four corners. With random weights a network with
  little but attention between its places (LeViT) can miss some.

The table: one small member of every family of timm (a module of `timm.models`) and some networks
that people benchmark, random weights, small inputs where the network takes them.
"""


@dataclass(frozen=True)
class Finding:
    """A row of the table.

    Attributes:
        family: A module of `timm.models`.
        model: The network.
        size: Side of its input.
        layer: What `auto` takes; empty if it takes none.
        layout: Of that layer's output, with its shape for one image.
        checked: Corners that were found again, of four.
        reason: Why it takes none.
    """

    family: str
    model: str
    size: int = 0
    layer: str = ""
    layout: str = ""
    checked: str = ""
    reason: str = ""


def families() -> dict[str, list[str]]:
    """The modules of `timm.models` and the networks of each."""
    found = defaultdict(list)
    for name in timm.list_models():
        module = _registry._model_entrypoints[name].__module__
        found[module.rpartition(".")[2]].append(name)
    return dict(sorted(found.items()))


def family_of(name: str) -> str:
    """The module of `timm.models` that makes a network."""
    return next(family for family, names in families().items() if name in names)


def smallest(names: Sequence[str]) -> str:
    """The network with the fewest parameters."""

    def size(name: str) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in timm.create_model(name).parameters())

    return min(names, key=size)


def scan(family: str, name: str) -> Finding:
    """What `auto` makes of one network."""
    problem: Exception | None = None
    for size in sizes(name):
        try:
            torch.manual_seed(0)
            module = timm.create_model(name, num_classes=10, **FEWER.get(family, {}))
            square = {"size": size, "mean": (120,) * 3, "std": (60,) * 3}
            backbone = torch_module(module, name, square, "logits")
        except (
            RuntimeError,
            AssertionError,
            ValueError,
            IndexError,
            TypeError,
            BenchError,
        ) as error:
            problem = error
            continue
        return found(family, name, size, backbone)
    return Finding(family, name, reason=f"cannot be made: {in_a_line(problem)}")


def sizes(name: str) -> Iterator[int]:
    """Sides of inputs to try: small ones where the network has no fixed one."""
    config = timm.get_pretrained_cfg(name)
    if config is None:
        yield 224
        return
    if not config.fixed_input_size:
        yield from (size for size in (128, 224) if size < config.input_size[1])
    yield config.input_size[1]


def found(family: str, name: str, size: int, backbone: Backbone) -> Finding:
    """The row of a network that could be made."""
    if backbone.cam_layer is None:
        return Finding(family, name, size, reason=backbone.no_cam_layer)
    shape = backbone.output_shape(backbone.cam_layer)
    layout = f"{backbone.layout()} {shape}"
    # Behind convolutions every place may see the whole image, and of random weights the most.
    is_seen = backbone.layout().kind == "bchw"
    checked = "" if is_seen else f"{corners(backbone, size)}/4"
    return Finding(family, name, size, backbone.cam_layer, layout, checked)


@torch.no_grad()
def corners(backbone: Backbone, size: int) -> int:
    """In how many corners the maps change most when the pixels of that corner change."""
    scorer = Scorer(backbone, "logit", 5)
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(1, 3, size, size, generator=draws).repeat(5, 1, 1, 1)
    part = size // 4
    places = [(rows, columns) for rows in (0, 1) for columns in (0, 1)]
    for number, (low, right) in enumerate(places, start=1):
        rows = slice(-part, None) if low else slice(part)
        columns = slice(-part, None) if right else slice(part)
        x[number, :, rows, columns] = torch.randn(3, part, part, generator=draws) * 2
    maps = scorer.layer_activations(x)
    changes = (maps[1:] - maps[:1]).square().sum(dim=1)
    height, width = changes.shape[1:]
    right_ones = 0
    for change, (low, right) in zip(changes, places, strict=True):
        row, column = divmod(int(change.argmax()), width)
        right_ones += (row >= height / 2 - 0.5, column >= width / 2 - 0.5) == (low, right) or (
            (row, column) == ((height - 1) / 2, (width - 1) / 2)
        )
    return right_ones


def in_a_line(error: Exception | None) -> str:
    """An error's kind and message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def table(findings: Sequence[Finding]) -> str:
    """The rows as Markdown."""
    lines = [
        "| family | network | input | layer | layout, shape for one image | checked |",
        "|---|---|---|---|---|---|",
    ]
    for row in findings:
        layer = f"`{row.layer}`" if row.layer else f"none: {row.reason}"
        cells = (row.family, f"`{row.model}`", row.size or "", layer, row.layout, row.checked)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def page(findings: Sequence[Finding]) -> str:
    """`docs/reference/cam-layers.md`."""
    taken = sum(bool(row.layer) for row in findings)
    made = (
        f"{len(findings)} networks of {len({row.family for row in findings})} families: a layer in "
        f"{taken}, none in {len(findings) - taken}. timm {timm.__version__}, torch "
        f"{torch.__version__.partition('+')[0]}, `python scripts/scan_cam_layers.py --output "
        "docs/reference/cam-layers.md`."
    )
    return f"{INTRODUCTION}\n{made}\n\n{table(findings)}\n"


def main() -> None:
    """Scans what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", help="modules of timm.models; none: all")
    parser.add_argument("--output", type=Path, help="Markdown file; without, the terminal")
    parser.add_argument("--rows", type=Path, help="JSON file: rows that it has are not made again")
    arguments = parser.parse_args()
    known = families()
    for family in arguments.families:
        require_known("family", family, known)
    todo = [(f, MEMBERS.get(f) or smallest(known[f])) for f in arguments.families or known]
    if not arguments.families:
        todo += [(family_of(name), name) for name in MORE]
    rows = {}
    if arguments.rows and arguments.rows.exists():
        rows = {row["model"]: Finding(**row) for row in json.loads(arguments.rows.read_text())}
    for family, name in sorted(set(todo)):
        if name in rows:
            continue
        rows[name] = scan(family, name)
        print(f"{name}: {rows[name].layer or rows[name].reason}", flush=True)
        if arguments.rows:
            arguments.rows.write_text(json.dumps([asdict(row) for row in rows.values()], indent=1))
    findings = [rows[name] for _, name in sorted(set(todo))]
    if arguments.output:
        arguments.output.write_text(page(findings))
    else:
        print(table(findings))


if __name__ == "__main__":
    main()
