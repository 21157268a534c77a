"""What is rehearsed: networks, lists, methods and settings. Read by both environments.

Everything here is as `make rehearsal` has it; the record behind it are the scripts of
arXiv 2402.09164 (github.com/RuoyuChen10/SMDL-Attribution).
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """One of the authors' Keras files.

    Attributes:
        file: In `keras_model/`.
        body: Its architecture, a function of `scripts/oracle/backbones.py`.
        preprocessing: How the authors' scripts prepare images: `face`, `caffe`, `tf` or `none`.
        classes: How many, at full size.
        pool: Between body and Dense layers; `gap` or `flatten`. Faces have a head of their own.
        seed: Networks of the same architecture must have different weights.
    """

    file: str
    body: str
    preprocessing: str
    classes: int = 200
    pool: str = "gap"
    seed: int = 0

    @property
    def is_face(self) -> bool:
        """Whether it ends in cosines."""
        return self.body == "ir100"


NETWORKS = {
    "celeba": Network("keras-ArcFace-R100-Celeb-A.h5", "ir100", "face", 10177),
    "vggface2": Network("keras-ArcFace-R100-VGGFace2.h5", "ir100", "face", 8631, seed=1),
    "resnet101": Network("cub-resnet101.h5", "resnet101", "caffe"),
    "resnet101-new": Network("cub-resnet101-new.h5", "resnet101", "caffe", seed=1),
    "vgg19": Network("cub-vgg19.h5", "vgg19", "caffe", pool="flatten"),
    "mobilenetv2": Network("cub-mobilenetv2.h5", "mobilenetv2", "tf"),
    "efficientnetv2m": Network("cub-efficientnetv2m.h5", "efficientnetv2m", "none"),
}
TINY_CLASSES = 9
"""Of all networks in the reduced form."""


@dataclass(frozen=True)
class Experiment:
    """A published table.

    Attributes:
        name: The name of the experiment; after a colon, of a variant of it.
        data: Its images: `celeba`, `vggface2` or `cub`.
        list: In the authors' folder of lists.
        scored: Key of `NETWORKS`: whose scores make the curves.
        explained: Key of `NETWORKS`: what the maps explain.
        insertion_steps: Points of the insertion curve, but for the first.
        deterministic: Methods that draw nothing, by our names.
        drawn: Methods that draw at random; nothing is asked of their maps.
        shows_on_black: Whether the table has the average highest confidence.
        overrides: The overrides of a variant, what `bench run` is told; `{assets}` is filled in.
    """

    name: str
    data: str
    list: str
    scored: str
    explained: str
    insertion_steps: int
    deterministic: tuple[str, ...]
    drawn: tuple[str, ...]
    shows_on_black: bool = False
    overrides: tuple[str, ...] = ()

    @property
    def config(self) -> str:
        """The experiment as `bench run` knows it."""
        return self.name.partition(":")[0]

    @property
    def methods(self) -> tuple[str, ...]:
        """All of them."""
        return self.deterministic + self.drawn


GRADIENTS = ("saliency", "gradient_input", "guided_backprop", "integrated_gradients")
"""A ReLU's input that is zero but for rounding is on or off by chance, which moves the gradients of
the pixels behind it. In networks of full size that happens to most images, to Keras's own numbers
as to ours; so there these methods are compared in float64, where it does not."""
DELETION_STEPS = 10
SHOWN_STEPS = 25
"""Steps of the confidence on black."""

_EXACT = (
    "saliency gradient_input guided_backprop integrated_gradients grad_cam grad_cam_pp occlusion "
    "sobol"
).split()
_DRAWN = ("smooth_grad", "square_grad", "var_grad", "rise_500", "lime", "kernel_shap")


def _errors(network: str, list_name: str, explained: str | None = None) -> Experiment:
    return Experiment(
        name=f"paper/cub_errors_{network}",
        data="cub",
        list=f"CUB/eval_fair-{list_name}.txt",
        scored=network,
        explained=explained or network,
        insertion_steps=25,
        deterministic=(
            "grad_cam_pp",
            "score_cam_paper",
            "hsic",
            "saliency",
            "smdl_cub_misclassified",
        ),
        drawn=(),
        shows_on_black=True,
    )


EXPERIMENTS = (
    Experiment(
        name="paper/celeba",
        data="celeba",
        list="celeb-a/eval.txt",
        scored="celeba",
        explained="celeba",
        insertion_steps=10,
        deterministic=(*_EXACT, "hsic", "smdl_celeba"),
        drawn=_DRAWN,
    ),
    Experiment(
        name="paper/vggface2",
        data="vggface2",
        list="VGGFace2/eval.txt",
        scored="vggface2",
        explained="vggface2",
        insertion_steps=10,
        # The rows of its table; CelebA has all methods.
        deterministic=("saliency", "grad_cam", "sobol", "hsic_vggface2", "smdl_vggface2"),
        drawn=("rise_500", "lime", "kernel_shap"),
    ),
    Experiment(
        name="paper/cub",
        data="cub",
        list="CUB/eval-resnet.txt",
        scored="resnet101",
        explained="resnet101-new",
        insertion_steps=25,
        deterministic=(*_EXACT, "hsic", "score_cam_paper"),
        # In caffe's units nearly every pixel is a segment of its own: Kernel SHAP's fit is not
        # determined, and of LIME all weights vanish, at which Xplique stops.
        drawn=tuple(name for name in _DRAWN if name not in ("lime", "kernel_shap")),
    ),
    # So the script of the rebuttal is set: MobileNetV2's maps, scored by ResNet-101.
    Experiment(
        name="paper/cub:mobilenetv2",
        data="cub",
        list="CUB/eval-resnet.txt",
        scored="resnet101",
        explained="mobilenetv2",
        insertion_steps=25,
        deterministic=("saliency",),
        drawn=("lime", "kernel_shap"),
        overrides=(
            'explain.backbone.weights="{assets}/weights/keras_model/cub-mobilenetv2.h5"',
            "explain.backbone.preprocessing=tf",
            "explain.backbone.feature_layer=null",
        ),
    ),
    Experiment(
        name="paper/cub_smdl",
        data="cub",
        list="CUB/eval-resnet.txt",
        scored="resnet101",
        explained="resnet101",
        insertion_steps=25,
        deterministic=("smdl_cub",),
        drawn=(),
    ),
    _errors("resnet101", "resnet"),
    _errors("vgg19", "vgg19"),
    _errors("mobilenetv2", "mobilenetv2"),
    _errors("efficientnetv2m", "efficientnet"),
)

PAPER_SETTINGS: Mapping[str, Mapping[str, int]] = {
    "integrated_gradients": {"steps": 80},
    "smooth_grad": {"num_samples": 80},
    "square_grad": {"num_samples": 80},
    "var_grad": {"num_samples": 80},
    "occlusion": {"patch_size": 10, "stride": 5},
    "sobol": {"grid_size": 8, "num_designs": 32},
    "hsic": {"grid_size": 8, "num_designs": 500},
    "hsic_vggface2": {"grid_size": 7, "num_designs": 500},
    "rise_500": {"num_masks": 500},
    "lime": {"num_samples": 1000},
    "kernel_shap": {"num_samples": 1000},
}
"""Where the authors' scripts leave Xplique's defaults, or these matter; by our names."""

FULL_SETTINGS: Mapping[str, Mapping[str, int]] = {
    "integrated_gradients": {"steps": 16},
    "sobol": {"num_designs": 2},
    "hsic": {"num_designs": 32},
    "hsic_vggface2": {"num_designs": 32},
    "rise_500": {"num_masks": 32},
}
"""At full size a pass takes up to a second, so both sides make fewer; the reduced form has the
paper's own settings."""

FULL_METHODS = (
    "saliency integrated_gradients grad_cam grad_cam_pp sobol hsic hsic_vggface2 rise_500"
).split()


def settings(method: str, full: bool) -> dict[str, int]:
    """The settings of a method on both sides."""
    return {**PAPER_SETTINGS.get(method, {}), **(FULL_SETTINGS.get(method, {}) if full else {})}


def methods(experiment: Experiment, full: bool) -> list[str]:
    """The methods that are rehearsed; at full size not all of them."""
    return [name for name in experiment.methods if not full or name in FULL_METHODS]


def number_of_images(experiment: Experiment, full: bool) -> int:
    """How many images its list has."""
    if full:
        return 1
    return 2 if experiment.shows_on_black else 3
