"""How layers hold maps, and what a network says of it."""

import pytest
import torch
from torch import nn
from toy import backbone

from bench.backbones.backbone import Backbone
from bench.backbones.layout import Layout, LayoutReader, LayoutSetting, layout_setting
from bench.errors import BenchError

D, H, W = 5, 2, 3
MAPS = torch.arange(2 * D * H * W).view(2, D, H, W)


def as_output(layout):
    """`MAPS` in a layout, one place after the other."""
    if layout.kind == "bchw":
        return MAPS
    shape = (2, H, W, D) if layout.kind == "bhwc" else (2, layout.extra + H * W, D)
    output = torch.full(shape, -1)
    for row in range(H):
        for column in range(W):
            place = (row, column) if layout.kind == "bhwc" else (layout.extra + row * W + column,)
            output[(slice(None), *place)] = MAPS[:, :, row, column]
    return output


@pytest.mark.parametrize(
    "layout",
    [Layout(), Layout("bhwc"), Layout("tokens", 0, (H, W)), Layout("tokens", 2, (H, W))],
    ids=str,
)
def test_maps_of_an_output_and_back(layout):
    output = as_output(layout)
    assert torch.equal(layout.to_maps(output), MAPS)
    assert layout.map_shape(output.shape[1:]) == (D, H, W)
    again = layout.to_output(2 * layout.to_maps(output), output)
    assert torch.equal(layout.to_maps(again), 2 * MAPS)
    if layout.kind == "tokens":
        assert (again[:, : layout.extra] == -1).all()


class Transformer(nn.Module):
    """As much of one as says where its tokens lie."""

    def __init__(self, grid=None, extra=None, **attributes):
        super().__init__()
        self.patch_embed, self.block = nn.Identity(), nn.Identity()
        if grid:
            self.patch_embed.grid_size = grid
        if extra is not None:
            self.num_prefix_tokens = extra
        for name, value in attributes.items():
            setattr(self, name, value)


def strided(*strides):
    return [{"reduction": stride} for stride in strides]


@pytest.mark.parametrize(
    ("network", "shape", "expected"),
    [
        (Transformer((7, 7), 1), (50, 8), Layout("tokens", 1, (7, 7))),
        (Transformer((7, 7), 1), (49, 8), Layout("tokens", 0, (7, 7))),  # no class token yet
        (Transformer((4, 6), 2), (26, 8), Layout("tokens", 2, (4, 6))),
        (Transformer(extra=0, feature_info=strided(4, 8, 16)), (28 * 28, 8),
         Layout("tokens", 0, (28, 28))),
        (Transformer(patch_size=16, cls_token=nn.Parameter(torch.zeros(1, 1, 8))), (197, 8),
         Layout("tokens", 1, (14, 14))),
        (Transformer(patch_size=(16, 16), register_tokens=nn.Parameter(torch.zeros(1, 4, 8)),
                     cls_token=nn.Parameter(torch.zeros(1, 1, 8))), (201, 8),
         Layout("tokens", 5, (14, 14))),
        (Transformer(patch_size=32, class_embedding=nn.Parameter(torch.zeros(8))), (50, 8),
         Layout("tokens", 1, (7, 7))),  # CLIP
        (nn.Sequential(Transformer((7, 7), 1)), (50, 8), Layout("tokens", 1, (7, 7))),
        # Hiera's tokens lie in the order of its windows until the last stage.
        (Transformer(feature_info=strided(4, 8, 32), unroll=nn.Identity()), (49, 8),
         Layout("tokens", 0, (7, 7))),
        (Transformer(feature_info=strided(4, 8, 32), unroll=nn.Identity()), (784, 8), None),
        (Transformer((7, 7), 1), (48, 8), None),
        (Transformer(), (49, 8), None),
        (Transformer((1, 7), 1), (8, 8), None),  # one row is no map
        (Transformer(), (8, 7, 7), Layout()),
        (Transformer(), (7, 7, 8), Layout("bhwc")),
        (Transformer(), (7, 7, 7), Layout()),
        (Transformer(output_fmt="NHWC"), (7, 7, 7), Layout("bhwc")),
        (Transformer(), (4, 49, 8), None),  # windows
        (Transformer(), (8, 1, 1), None),
        (Transformer(), (8,), None),
    ],
)  # fmt: skip
def test_what_a_network_says(network, shape, expected):
    name = "0.block" if isinstance(network, nn.Sequential) else "block"
    found, problem = LayoutReader(network, (224, 224)).read(name, shape)
    assert found == expected
    assert (problem == "") == (expected is not None)
    assert not problem or f"gives {shape}" in problem


@pytest.mark.parametrize(
    ("layer", "shape", "kind"),
    [
        (nn.Linear(3, 7), (7, 7, 7), "bhwc"),
        (nn.LayerNorm(8), (7, 7, 8), "bhwc"),
        (nn.LayerNorm(8), (8, 7, 7), "bchw"),  # over the first dimension, as LayerNorm2d
        (nn.Conv2d(3, 7, 1), (7, 7, 5), "bchw"),
    ],
)
def test_layers_that_know_their_channels(layer, shape, kind):
    assert LayoutReader(nn.Sequential(layer), (224, 224)).read("0", shape) == (Layout(kind), "")
    wrong = LayoutSetting({"bchw": "bhwc", "bhwc": "bchw"}[kind])
    found, problem = LayoutReader(nn.Sequential(layer), (224, 224), wrong).read("0", shape)
    assert found is None
    assert problem.endswith(f"{kind} as a {type(layer).__name__} does, and not {wrong.kind}")


@pytest.mark.parametrize(
    ("shape", "kind"), [((8, 7, 4), "bchw"), ((7, 4, 8), "bhwc"), ((4, 7, 8), None)]
)
def test_oblong_inputs(shape, kind):
    reader = LayoutReader(nn.Sequential(nn.ReLU()), (224, 128))
    found, _ = reader.read("0", shape)
    assert (found.kind if found else None) == kind


def test_what_the_user_says():
    reader = LayoutReader(Transformer(), (224, 224), LayoutSetting("tokens", 1, (6, 8)))
    assert reader.read("block", (49, 8)) == (Layout("tokens", 1, (6, 8)), "")
    found, problem = reader.read("block", (50, 8))
    assert found is None
    assert problem.endswith("expected 1 + 6 x 8 tokens, as backbone.cam_layout says")
    reader = LayoutReader(Transformer(), (224, 224), LayoutSetting("bhwc"))
    assert reader.read("block", (8, 7, 7)) == (Layout("bhwc"), "")
    assert "expected (height, width, channels)" in reader.read("block", (49, 8))[1]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("auto", LayoutSetting()),
        ("bhwc", LayoutSetting("bhwc")),
        ({"kind": "tokens"}, LayoutSetting("tokens")),
        ({"kind": "tokens", "extra": 2, "grid": [3, 4]}, LayoutSetting("tokens", 2, (3, 4))),
    ],
)
def test_settings(value, expected):
    assert layout_setting(value) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("bhcw", "cam_layout: .*Did you mean 'bhwc'"),
        ({"grid": [3, 4]}, "cam_layout: expected auto, bchw, bhwc, tokens or {kind: tokens, extra"),
        ({"kind": "token"}, r"cam_layout\.kind: .*Did you mean 'tokens'"),
        ({"kind": "bhwc", "extra": 1}, "cam_layout: bhwc has neither extra nor grid"),
        ({"kind": "tokens", "extra": -1}, r"cam_layout\.extra: expected an integer >= 0"),
        ({"kind": "tokens", "grid": [14]}, r"cam_layout\.grid: expected rows and columns"),
        ({"kind": "tokens", "grid": [14, 0]}, r"cam_layout\.grid: expected an integer >= 1"),
        ({"kind": "tokens", "side": 1}, "cam_layout: .*Known: extra, grid, kind"),
        (5, "cam_layout: expected auto"),
    ],
)
def test_bad_settings(value, message):
    with pytest.raises(BenchError, match=message):
        layout_setting(value)


def test_only_a_layout_that_is_stated_is_part_of_the_networks_identity():
    made = backbone()
    stated = Backbone("toy", made.module, made.preprocessing, "logits", 4, cam_layer="last",
                      cam_layout={"kind": "tokens", "grid": [2, 3]})  # fmt: skip
    assert "cam_layout" not in made.identity()
    assert stated.identity()["cam_layout"] == {"kind": "tokens", "grid": [2, 3]}
    assert stated.identity() | {"cam_layout": 0} == made.identity() | {"cam_layout": 0}
