r"""Fine-tunes a network of timm on a data set: a backbone for who lacks the authors' weights.

    python scripts/train_backbone.py cub_resnet101.safetensors dataset.root=datasets/CUB_200_2011
    bench run backbone=resnet101 backbone.weights=cub_resnet101.safetensors \
        backbone.num_classes=200 dataset=cub200

It trains on dataset.split=train and tells the accuracy on dataset.split=test after each epoch, with
the preprocessing and in the precision of `bench run`; --evaluate names other images to test on. The
weights are those of the last epoch: choosing the best one would be choosing by the test images. It
can be stopped or killed: the same command goes on after the last epoch that was finished, and on a
CPU ends with the same bits. The file holds the state dict alone; one beside it that ends in .json
tells how it was made.
"""

import argparse
import io
import json
import math
import pickle
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone, Preprocessing, state_sha256
from bench.backbones.checkpoint import file_sha256, read_state, verify
from bench.backbones.loading import load_strictly
from bench.config.building import build_backbone, build_dataset
from bench.config.composing import compose_run
from bench.config.reading import read_settings
from bench.config.settings import RunSettings
from bench.datasets.dataset import Dataset, Sample
from bench.datasets.reading import read_ahead
from bench.device import keep_freed_memory, resolve_batch_size, resolve_device
from bench.errors import BenchError, require_integer, require_known, require_number
from bench.experiment.select import predict
from bench.files import write_atomically
from bench.seeding import generator
from bench.storage.provenance import provenance

OPTIMIZERS = {"sgd": (0.01, 1e-4), "adamw": (2e-4, 0.05)}
"""Name -> its usual learning rate and weight decay. SGD has Nesterov's momentum of 0.9."""
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
_DEFAULTS = ("dataset=cub200", "backbone=resnet101", "backbone.weights=pretrained")
_TIMM = "bench.backbones.torch_module.timm_model"
_ASPECTS = (3 / 4, 4 / 3)


def _setting(default: object, meaning: str) -> Any:
    return field(default=default, metadata={"help": meaning})


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; each setting is an option of the command line."""

    epochs: int = _setting(30, "times that each image is seen")
    batch_size: int = _setting(32, "images a step of training")
    optimizer: str = _setting("sgd", f"one of {', '.join(OPTIMIZERS)}")
    learning_rate: float | None = _setting(None, "the highest; by default 0.01, of adamw 2e-4")
    weight_decay: float | None = _setting(None, "of all but biases and norms; 1e-4, of adamw 0.05")
    warmup_epochs: int = _setting(1, "in which the learning rate rises; then it falls as a cosine")
    label_smoothing: float = _setting(0.1, "share of the target that goes to all classes alike")
    min_area: float = _setting(0.3, "least share of the photo that a random crop shows")
    precision: str = _setting("auto", f"{', '.join(PRECISIONS)}; auto: bf16 or fp16 on a GPU")

    def __post_init__(self) -> None:
        require_known("optimizer", self.optimizer, OPTIMIZERS)
        names = ("learning_rate", "weight_decay")
        for name, usual in zip(names, OPTIMIZERS[self.optimizer], strict=True):
            if getattr(self, name) is None:
                object.__setattr__(self, name, usual)
        require_integer("epochs", self.epochs, 1)
        require_integer("batch_size", self.batch_size, 2)  # BatchNorm wants two
        require_integer("warmup_epochs", self.warmup_epochs, 0)
        require_number("learning_rate", self.learning_rate, 0, math.inf)
        for name in ("weight_decay", "label_smoothing"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise BenchError(f"{name}: expected a number in [0, 1), found {value}")
        require_number("min_area", self.min_area, 0, 1)
        require_known("precision", self.precision, ("auto", *PRECISIONS))

    def on(self, device: torch.device) -> "Recipe":
        """The same with the precision that `auto` means on a device.

        Raises:
            BenchError: The device does not have the precision.
        """
        if self.precision == "fp16" and device.type != "cuda":
            raise BenchError(f"precision: expected fp32 or bf16 on {device}, found fp16")
        if self.precision != "auto":
            return self
        if device.type != "cuda":
            return replace(self, precision="fp32")
        return replace(self, precision="bf16" if torch.cuda.is_bf16_supported() else "fp16")


def main() -> None:
    """Trains, or goes on with it, and tells the accuracy."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, help="the file of weights, .safetensors")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="as of `bench run`")
    parser.add_argument(
        "--evaluate", action="append", default=[], metavar="KEY=VALUE",
        help="a setting that the images for the accuracy differ by, as dataset.list=FILE",
    )  # fmt: skip
    for option in fields(Recipe):
        flag, default = f"--{option.name.replace('_', '-')}", option.default
        kind, shown = (float, "") if default is None else (type(default), f" ({default})")
        parser.add_argument(flag, type=kind, default=default, help=option.metadata["help"] + shown)
    given = parser.parse_intermixed_args()
    try:
        _run(given)
    except BenchError as error:
        sys.exit(f"train_backbone: error: {error}")
    except KeyboardInterrupt:
        sys.exit("train_backbone: interrupted; the same command goes on after the last epoch")


def learning_rate_at(step: int, steps: int, warmup: int, highest: float) -> float:
    """A straight line up to the highest value, which step `warmup` has, then a cosine to zero."""
    if step < warmup:
        return highest * (step + 1) / (warmup + 1)
    return highest * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


def random_view(
    image: NDArray[np.uint8], preprocessing: Preprocessing, min_area: float, draws: torch.Generator
) -> NDArray[np.uint8]:
    """A random part of a photo, as a square, and every second time mirrored.

    Szegedy et al. 2015, arXiv 1409.4842, section 6: area uniform in [min_area, 1] of the photo's,
    logarithm of the aspect ratio uniform. The photo's own shape is squeezed anyway when networks
    are evaluated here, so a part that does not fit is cut to the photo's sides.

    Args:
        image: RGB uint8 (H, W, 3).
        preprocessing: Its way to resize makes the square; without its crop.
        min_area: See above.
        draws: What is drawn comes from it.

    Returns:
        (S, S, 3) uint8.
    """
    area, aspect, top, left, mirrored = torch.rand(5, generator=draws).tolist()
    low, high = map(math.log, _ASPECTS)
    share = min_area + (1 - min_area) * area
    ratio = math.exp(low + (high - low) * aspect)
    height, width = image.shape[:2]
    pixels = share * height * width
    part_height = max(min(round(math.sqrt(pixels / ratio)), height), 1)
    part_width = max(min(round(math.sqrt(pixels * ratio)), width), 1)
    y, x = round(top * (height - part_height)), round(left * (width - part_width))
    part = image[y : y + part_height, x : x + part_width]
    if mirrored < 0.5:
        part = part[:, ::-1]
    return replace(preprocessing, crop=None).to_size(np.ascontiguousarray(part))


class Training:
    """A network in training, and all that is needed to go on with it.

    Attributes:
        epoch: Epochs that are finished.
        history: For each of them the mean loss and, if it was told, the accuracy.

    Args:
        backbone: On its device; its parameters are set free.
        samples: The training images.
        recipe: How to train, with a precision that the device has.
        seed: The seed of the order and the views, which depend on epoch and image only.
        workers: Threads that read images.
    """

    def __init__(
        self, backbone: Backbone, samples: Sequence[Sample], recipe: Recipe, seed: int, workers: int
    ) -> None:
        self.backbone = backbone
        self.samples = samples
        self.recipe = recipe
        self.seed = seed
        self.workers = workers
        self.module = backbone.module.requires_grad_(True)
        self.device = next(self.module.parameters()).device
        self.batch_size = min(recipe.batch_size, len(samples))
        self.steps = len(samples) // self.batch_size  # an epoch's odd images wait for another one
        self.optimizer = _optimizer(self.module, recipe)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=recipe.precision == "fp16")
        self.epoch = 0
        self.history: list[dict[str, float]] = []

    def state(self) -> dict[str, Any]:
        """All that an epoch changes."""
        return {
            "epoch": self.epoch,
            "history": self.history,
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes back to what `state` gave."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.epoch, self.history = state["epoch"], state["history"]

    def run_epoch(self) -> Iterator[None]:
        """Trains on each image once; yields after every step.

        Raises:
            BenchError: An image cannot be read, a batch does not fit in memory, or the loss is
                not finite any more.
        """
        name = f"epoch {self.epoch}"
        order = torch.randperm(len(self.samples), generator=self._draws(name, "order")).tolist()
        order = order[: self.steps * self.batch_size]
        torch.manual_seed(self._draws(name).initial_seed())  # dropout's, if there is any
        self.module.train()
        total = torch.zeros((), device=self.device)
        views = (partial(self._view, self.samples[row], name) for row in order)
        targets = torch.tensor([self.samples[row].target for row in order])
        try:
            with closing(read_ahead(views, self.workers, 2 * self.batch_size)) as images:
                for number, batch_targets in enumerate(targets.split(self.batch_size)):
                    total += self._step(
                        list(islice(images, len(batch_targets))), batch_targets, number
                    )
                    yield
        except torch.OutOfMemoryError:
            raise BenchError(
                f"batch_size: {self.batch_size} images do not fit in memory; take fewer"
            ) from None
        loss = total.item() / self.steps
        if not math.isfinite(loss):
            raise BenchError(
                f"learning_rate: at {self.recipe.learning_rate:g} the loss of epoch "
                f"{self.epoch + 1} is {loss}; take a smaller one"
            )
        self.epoch += 1
        self.history.append({"loss": loss})

    def _step(
        self, images: Sequence[NDArray[np.uint8] | BenchError], targets: Tensor, number: int
    ) -> Tensor:
        """One step of the optimizer; returns the loss."""
        recipe = self.recipe
        for error in images:
            if isinstance(error, BenchError):
                raise error
        rate = learning_rate_at(
            self.epoch * self.steps + number,
            recipe.epochs * self.steps,
            min(recipe.warmup_epochs, recipe.epochs - 1) * self.steps,
            recipe.learning_rate,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        x = replace(self.backbone.preprocessing, crop=None)(images).to(self.device)
        dtype = PRECISIONS[recipe.precision]
        with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
            outputs = self.module(x)
        loss = functional.cross_entropy(
            outputs.float(), targets.to(self.device), label_smoothing=recipe.label_smoothing
        )
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()

    def _view(self, sample: Sample, name: str) -> NDArray[np.uint8]:
        draws = self._draws(name, sample.image_id)
        return random_view(sample.read(), self.backbone.preprocessing, self.recipe.min_area, draws)

    def _draws(self, *names: str) -> torch.Generator:
        return generator(self.seed, "train_backbone", *names)


def count_right(
    backbone: Backbone, test: Dataset, device: torch.device, batch_size: int, workers: int
) -> int:
    """How many images the network, as `bench run` uses it, predicts the label of."""
    backbone.module.eval()
    found = predict(test, Scorer(backbone, "output", batch_size), device, workers)
    return sum(top == sample.target for top, sample in zip(found, test.samples, strict=True))


def _run(given: argparse.Namespace) -> None:
    if given.output.suffix != ".safetensors":
        raise BenchError(f"output: expected a name that ends in .safetensors: '{given.output}'")
    console = Console()
    recipe = Recipe(**{option.name: getattr(given, option.name) for option in fields(Recipe)})
    settings, train, test = _data(given.settings, given.evaluate, console)
    device = resolve_device(settings.device)
    recipe = recipe.on(device)
    keep_freed_memory()
    backbone = _initial(settings, train, device, console)
    train.check_targets(backbone.num_classes)
    test.check_targets(backbone.num_classes)
    identity = backbone.identity()
    made_of = {
        "network": {key: identity[key] for key in ("name", "preprocessing")}
        | {"num_classes": backbone.num_classes, "initial_weights": identity["weights_sha256"]},
        "trained on": train.identity(settings.workers),
        "evaluated on": test.identity(settings.workers) | {"precision": settings.precision},
        "recipe": asdict(recipe),
        "seed": settings.seed,
    }
    made_of = json.loads(json.dumps(made_of))  # tuples are lists, as in what is read back
    result = _finished(given.output, made_of)
    if result is None:
        training = Training(backbone, train.samples, recipe, settings.seed, settings.workers)
        _train(training, test, given.output, made_of, settings, console=console)
        result = _write(training, test, given.output, made_of)
    _state_file(given.output).unlink(missing_ok=True)
    console.print(
        f"{backbone.name} on {test.name}: top-1 right on {result['right']} of {result['images']} "
        f"images ({result['accuracy']:.1%})\nWeights: {given.output}, sha256 "
        f"{result['file_sha256']}\nbench run {_as_backbone(given, backbone.num_classes)}",
        soft_wrap=True, highlight=False, markup=False,
    )  # fmt: skip


def _train(
    training: Training,
    test: Dataset,
    output: Path,
    made_of: Mapping[str, Any],
    settings: RunSettings,
    *,
    console: Console,
) -> None:
    """The epochs that are still to do; each is on the disk before the next one begins."""
    stored = _state_file(output)
    state = _read_state(stored, made_of)
    if state is None:
        _store(stored, training, made_of)  # a disk that refuses is told now, not after an epoch
    else:
        training.load_state(state)
        console.print(f"Going on after epoch {training.epoch}", highlight=False)
    epochs = training.recipe.epochs
    batch_size = resolve_batch_size(settings.batch_size, training.device)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("time left"))
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        total = epochs * training.steps
        task = progress.add_task("", total=total, completed=training.epoch * training.steps)
        for epoch in range(training.epoch + 1, epochs + 1):
            progress.update(task, description=f"epoch {epoch} of {epochs}")
            for _ in training.run_epoch():
                progress.advance(task)
            progress.update(task, description=f"epoch {epoch} of {epochs}, testing")
            right = count_right(
                training.backbone, test, training.device, batch_size, settings.workers
            )
            training.history[-1]["right"] = right
            _store(stored, training, made_of)
            console.print(
                f"epoch {epoch}: loss {training.history[-1]['loss']:.4f}, accuracy "
                f"{right / len(test):.1%}",
                highlight=False,
            )


def _store(path: Path, training: Training, made_of: Mapping[str, Any]) -> None:
    content = io.BytesIO()
    torch.save({"made_of": made_of, "state": training.state()}, content)
    write_atomically(path, content.getvalue())


def _data(
    settings: Sequence[str], evaluate: Sequence[str], console: Console
) -> tuple[RunSettings, Dataset, Dataset]:
    """The settings, the training images and those that the accuracy is measured on."""
    chosen = _compose(settings)
    network = chosen.backbone
    if network.target != _TIMM or network.settings.get("output_kind") != "logits":
        raise BenchError(
            "backbone: expected backbone=resnet101 with logits, and backbone.name= for another "
            "network of timm; other networks are not trained here"
        )
    if "split" not in chosen.dataset.settings and not evaluate:
        raise BenchError(
            f"evaluate: dataset '{chosen.dataset.settings.get('name')}' has no splits: name the "
            "images that the accuracy is measured on, as in --evaluate dataset.list=FILE"
        )
    tested = _compose([*settings, *evaluate])
    chosen = _compose([*_split(chosen, "train"), *settings])
    tested = _compose([*settings, *_split(tested, "test"), *evaluate])
    train, test = (build_dataset(each.dataset, console) for each in (chosen, tested))
    _check_apart(train, test)
    return chosen, train, test


def _split(settings: RunSettings, name: str) -> list[str]:
    return [f"dataset.split={name}"] if "split" in settings.dataset.settings else []


def _keys(settings: Sequence[str]) -> dict[str, str]:
    return {setting.partition("=")[0]: setting for setting in settings}


def _compose(settings: Sequence[str]) -> RunSettings:
    """What `bench run` would make of the settings; the last one of a name counts."""
    chosen = _keys(_DEFAULTS) | _keys(settings)
    if chosen["backbone"] not in _DEFAULTS and "backbone.weights" not in _keys(settings):
        del chosen["backbone.weights"]  # not all backbones have that setting
    return read_settings(compose_run(list(chosen.values())))


def _check_apart(train: Dataset, test: Dataset) -> None:
    """Refuses accuracies that would say nothing."""
    both = {sample.path for sample in train.samples} & {sample.path for sample in test.samples}
    if both:
        raise BenchError(
            f"evaluate: {len(both)} images are trained on and tested on, '{min(both)}' for one; "
            "expected other images, as dataset.split=train and --evaluate dataset.split=test have"
        )
    theirs, ours = train.class_names, test.class_names
    known = {sample.target for sample in train.samples}
    if (theirs and ours and theirs != ours) or not known & {
        sample.target for sample in test.samples
    }:
        raise BenchError(
            f"evaluate: '{test.name}' is tested on other classes than those trained on: expected "
            "the same"
        )


def _initial(
    settings: RunSettings, train: Dataset, device: torch.device, console: Console
) -> Backbone:
    """The network to start with; a checkpoint of another number of classes gets a new head."""
    network = settings.backbone
    weights, sha256 = str(network.settings["weights"]), network.settings["sha256"]
    if network.settings["num_classes"] is None:
        most = max(sample.target for sample in train.samples) + 1
        network = network.with_settings(num_classes=max(len(train.class_names or ()), most))
    if weights in ("pretrained", "random"):
        return build_backbone(replace(settings, backbone=network), device)
    network = network.with_settings(weights="random", sha256=None)
    backbone = build_backbone(replace(settings, backbone=network), device)
    path = Path(weights).expanduser()
    verify(path, sha256)
    state, fresh = read_state(path), backbone.module.state_dict()
    heads = backbone.module.pretrained_cfg.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    head = {name for name in fresh if name.startswith(tuple(f"{each}." for each in heads))}
    if any(name not in state or state[name].shape != fresh[name].shape for name in head):
        state = {name: value for name, value in state.items() if name not in head}
        state |= {name: fresh[name] for name in head}
        console.print(f"The classifier of '{path}' is of other classes: it is made anew")
    load_strictly(backbone.module, state, path)
    return backbone


def _optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    parameters = list(module.parameters())
    groups = [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1]},
        {
            "params": [parameter for parameter in parameters if parameter.ndim <= 1],
            "weight_decay": 0.0,
        },
    ]
    usual = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, **usual)
    return torch.optim.SGD(groups, **usual, momentum=0.9, nesterov=True)


def _state_file(output: Path) -> Path:
    """Where the training stands; removed when it is finished."""
    return output.with_suffix(".training.pt")


def _record_file(output: Path) -> Path:
    return output.with_suffix(".json")


def _read_state(path: Path, made_of: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        theirs, state = content["made_of"], content["state"]
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError) as error:
        raise BenchError(
            f"'{path}' is broken ({type(error).__name__}): remove it to begin anew"
        ) from None
    _check_same(path, theirs, made_of)
    return state


def _finished(output: Path, made_of: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a finished training of the same recipe has told, or None."""
    record = _record_file(output)
    if not record.exists():
        if output.exists():
            if _state_file(output).exists():
                return None  # killed between the two files
            raise BenchError(f"output: '{output}' is there, but not from here; choose another name")
        return None
    try:
        result = json.loads(record.read_text(encoding="utf-8"))
        _check_same(record, result["made_of"], made_of)
    except (ValueError, KeyError, OSError) as error:
        raise BenchError(f"'{record}' is broken ({type(error).__name__}): remove it") from None
    if file_sha256(output) != result["file_sha256"]:
        raise BenchError(f"output: '{output}' is not the file that '{record}' tells of")
    return result


def _check_same(path: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Refuses to go on with another recipe, other images or another network."""
    before, now = _flat(theirs), _flat(ours)
    different = [
        f"{name}: now {now.get(name)}, there {before.get(name)}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if different:
        raise BenchError(
            f"'{path}' is of another training ({'; '.join(different)}): use its settings, or "
            "another output file"
        )


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        key = f"{prefix}{name}"
        flat |= _flat(value, f"{key}.") if isinstance(value, Mapping) else {key: value}
    return flat


def _write(
    training: Training, test: Dataset, output: Path, made_of: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Weights first, then the record that says they are finished; returns the record."""
    module = training.module
    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()
    }
    write_atomically(output, save(state))
    right = training.history[-1]["right"]
    result = {
        "accuracy": right / len(test),
        "right": right,
        "images": len(test),
        "file_sha256": file_sha256(output),
        "weights_sha256": state_sha256(module),
        "made_of": made_of,
        "history": training.history,
        "provenance": provenance(training.device),
    }
    write_atomically(_record_file(output), json.dumps(result, indent=1).encode())
    return result


def _as_backbone(given: argparse.Namespace, num_classes: int) -> str:
    """The settings by which `bench run` takes the network."""
    chosen = _keys(_DEFAULTS) | _keys(given.settings)
    chosen |= _keys([f"backbone.weights={given.output}", f"backbone.num_classes={num_classes}"])
    del chosen["dataset"]
    chosen.pop("backbone.sha256", None)
    return shlex.join(setting for key, setting in chosen.items() if key.startswith("backbone"))


if __name__ == "__main__":
    main()
