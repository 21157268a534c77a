"""What users have in notebooks as data sets: arrays, loaders, folders, names."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, SequentialSampler, default_collate
from torch.utils.data import Dataset as TorchDataset

from bench.arrays import as_classes, as_inputs, as_tensor
from bench.config.building import build
from bench.config.by_name import component
from bench.config.choices import choices
from bench.datasets.dataset import Dataset, Sample
from bench.datasets.folder import ClassFolders
from bench.datasets.reading import pixels_sha256
from bench.errors import BenchError

_EXPECTED = (
    "data: expected (x, targets), a torch DataLoader or Dataset of (x, target), a data set of "
    "bench, its name, or a folder of class folders"
)


@dataclass(frozen=True)
class Given:
    """Images that a user gave.

    Attributes:
        dataset: The images. Of inputs, its samples read float32 (H, W, C).
        shape: C, H and W of inputs; None: they are photos.
        values: The least and the largest value of inputs.
        is_labelled: Whether the user gave classes.

    Example:
        >>> given = as_data((torch.rand(4, 3, 8, 8), [0, 1, 2, 3]))
        >>> given.shape, given.is_labelled
        ((3, 8, 8), True)
        >>> as_data(np.zeros((2, 20, 30, 3), np.uint8)).shape is None  # photos, to be prepared yet
        True
    """

    dataset: Dataset
    shape: tuple[int, int, int] | None = None
    values: tuple[float, float] = (0, 0)
    is_labelled: bool = True


@dataclass(frozen=True)
class _ArraySample(Sample):
    """A sample whose pixels are at hand, or made by a call that gives the same each time."""

    make: Callable[[], NDArray[Any]] = field(default=lambda: np.empty(0), compare=False, repr=False)

    def read(self) -> Any:
        """See `Sample`; of inputs, float32 (H, W, C)."""
        return self.make()


def as_data(data: Any) -> Given:
    """A data set of what a user gave.

    Args:
        data: `(x, targets)` with inputs (N, C, H, W) or photos (N, H, W, 3) uint8, of which there
            may also be a list of several sizes, and targets (N,) or None; inputs or photos alone; a
            torch `DataLoader` or `Dataset` of (input, target); a `bench.datasets.dataset.Dataset`;
            a folder of class folders, or the name of a shipped data set.

    Returns:
        The data set. Images of arrays are named by their number from 0; those of a loader that
        shuffles by a hash over their content, so that each pass finds the same.

    Raises:
        BenchError: It is none of these, or something in it cannot be used.

    Example:
        >>> from torch.utils.data import DataLoader, TensorDataset
        >>> items = TensorDataset(torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 3]))
        >>> data = as_data(DataLoader(items, batch_size=2)).dataset
        >>> [(sample.image_id, sample.target) for sample in data.samples]
        [('0', 0), ('1', 1), ('2', 2), ('3', 3)]
        >>> data.samples[0].read().shape
        (8, 8, 3)
    """
    match data:
        case Dataset():
            return Given(data)
        case str() | Path():
            return Given(_named(data))
        case DataLoader():
            return _of_loader(data)
        case IterableDataset():
            raise BenchError(f"{_EXPECTED}; of an IterableDataset give a DataLoader over it")
        case TorchDataset():
            return _of_items(data, type(data).__name__)
        case list() if data and isinstance(data[0], tuple | Mapping):
            return _of_items(data, "items")
        case tuple() | list() if len(data) == 2 and _are_classes(data[1]):
            return _of_arrays(*data)
        case Tensor() | np.ndarray() | list():
            return _of_arrays(data, None)
        case Mapping():
            raise BenchError(f"{_EXPECTED}, found a mapping of {', '.join(map(repr, data))}")
        case _ if hasattr(data, "__getitem__") and isinstance(data, Sized):
            return _of_items(data, type(data).__name__)
    raise BenchError(f"{_EXPECTED}, found {type(data).__name__}")


def _are_classes(value: Any) -> bool:
    """Whether the second of a pair is no image: a number each, or nothing."""
    return value is None or np.ndim(value.cpu() if isinstance(value, Tensor) else value) < 2


def _named(data: str | Path) -> Dataset:
    """A shipped data set by its name, or class folders by theirs."""
    known = choices("dataset")
    folder = Path(data).expanduser()
    if isinstance(data, str) and data in known and not folder.is_dir():
        dataset: Dataset = build(component("dataset", data, {}))
        return dataset
    if not folder.is_dir():
        raise BenchError(
            f"data: '{data}' is no folder and no shipped data set; shipped are {', '.join(known)}"
        )
    return ClassFolders(name=folder.resolve().name, root=str(folder))


def _of_arrays(x: Any, targets: Any) -> Given:
    """Inputs or photos that are in memory."""
    if isinstance(x, list | tuple) and x and np.ndim(x[0]) == 3 and _is_photo(x[0]):
        photos = [np.asarray(image) for image in x]
    else:
        x = as_tensor("x", x)
        if x.dtype != torch.uint8:
            x = as_inputs(x).float()
            labels = _labels(targets, len(x))
            return _of_inputs(x, labels, map(str, range(len(x))), "inputs", targets is not None)
        photos = list(x.cpu().numpy())
    wrong = [number for number, photo in enumerate(photos) if not _is_photo(photo)]
    if wrong or not photos:
        shape = photos[wrong[0]].shape if wrong else ()
        channels_first = len(shape) == 3 and shape[0] == 3
        mend = ": give x.permute(0, 2, 3, 1)" if channels_first else ""
        raise BenchError(f"x: expected photos (H, W, 3) uint8, found {tuple(shape)}{mend}")
    pairs = zip(photos, _labels(targets, len(photos)), strict=True)
    samples = [
        _ArraySample(str(number), Path(str(number)), label, make=_giving(photo))
        for number, (photo, label) in enumerate(pairs)
    ]
    return Given(Dataset("photos", samples), is_labelled=targets is not None)


def _is_photo(image: Any) -> bool:
    array = np.asarray(image)
    return array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3


def _labels(targets: Any, count: int) -> list[int]:
    return [0] * count if targets is None else as_classes(targets, count).tolist()


def _giving(array: NDArray[Any]) -> Callable[[], NDArray[Any]]:
    """A call that gives an array, whatever a loop makes of the name."""
    return lambda: array


def _of_inputs(
    x: Tensor, labels: Sequence[int], names: Iterable[str], name: str, is_labelled: bool = True
) -> Given:
    """Inputs (N, C, H, W) in memory."""
    arrays = np.ascontiguousarray(x.detach().cpu().permute(0, 2, 3, 1).numpy())
    samples = [
        _ArraySample(each, Path(each), label, make=_giving(array))
        for each, label, array in zip(names, labels, arrays, strict=True)
    ]
    channels, height, width = x.shape[1:]
    values = float(arrays.min()), float(arrays.max())
    return Given(Dataset(name, samples), (channels, height, width), values, is_labelled)


def _of_loader(loader: DataLoader[Any]) -> Given:
    """What a loader gives; one that only reads item by item is read so, image after image."""
    items, name = loader.dataset, type(loader.dataset).__name__
    is_shuffled = not isinstance(loader.sampler, SequentialSampler)
    if isinstance(items, IterableDataset):
        is_shuffled = False
    elif not is_shuffled and loader.collate_fn is default_collate and not loader.drop_last:
        return _of_items(items, name)
    inputs, labels = [], []
    for number, batch in enumerate(loader):
        x, targets = _pair(batch, f"batch {number} of the loader")
        inputs.append(as_inputs(x).float().cpu())
        labels += as_classes(targets, len(inputs[-1])).tolist()
    if not inputs:
        raise BenchError("data: expected batches (x, targets), found an empty loader")
    shapes = {tuple(each.shape[1:]) for each in inputs}
    if len(shapes) > 1:
        raise BenchError(f"data: expected inputs of one shape, found {sorted(shapes)}")
    x = torch.cat(inputs)
    names = [str(number) for number in range(len(x))]
    if is_shuffled:
        names = _by_content(x, labels)
        order = sorted(range(len(x)), key=names.__getitem__)
        x, labels = x[order], [labels[i] for i in order]
        names = [names[i] for i in order]
    return _of_inputs(x, labels, names, name)


def _by_content(x: Tensor, labels: Sequence[int]) -> list[str]:
    """A name for each input that does not depend on its place; equal inputs are counted."""
    names: list[str] = []
    times: dict[str, int] = {}
    for each, label in zip(x, labels, strict=True):
        content = f"{label} ".encode() + each.contiguous().numpy().tobytes()
        name = hashlib.sha256(content).hexdigest()[:12]
        times[name] = times.get(name, 0) + 1
        names.append(name if times[name] == 1 else f"{name}-{times[name]}")
    return names


def _of_items(items: Any, name: str) -> Given:
    """A torch data set, read item by item when an image is needed; all are read once here."""
    if len(items) == 0:
        raise BenchError("data: expected items (x, target), found none")
    labels, shapes = [], set()
    low, high = np.inf, -np.inf
    kept: dict[int, str] = {}
    for number in range(len(items)):
        array, label = _item(items, number)
        kept[number] = pixels_sha256(array)
        labels.append(label)
        shapes.add(array.shape)
        low, high = min(low, float(array.min())), max(high, float(array.max()))
    if len(shapes) > 1:
        raise BenchError(
            f"data: expected inputs of one shape (H, W, C), found {sorted(shapes)[:3]}: resize "
            "them in the data set's transform"
        )
    samples = [
        _ArraySample(str(number), Path(str(number)), label, make=_reading(items, number, kept))
        for number, label in enumerate(labels)
    ]
    classes = getattr(items, "classes", None)
    names = [*map(str, classes)] if isinstance(classes, list | tuple) else None
    height, width, channels = shapes.pop()
    if names is not None and not 0 <= min(labels) <= max(labels) < len(names):
        names = None
    return Given(Dataset(name, samples, class_names=names), (channels, height, width), (low, high))


def _reading(items: Any, number: int, hashes: Mapping[int, str]) -> Callable[[], NDArray[Any]]:
    def read() -> NDArray[Any]:
        array, _ = _item(items, number)
        if pixels_sha256(array) != hashes[number]:
            raise BenchError(
                f"data: item {number} is another one each time it is read: take random transforms "
                "out of the data set"
            )
        return array

    return read


def _item(items: Any, number: int) -> tuple[NDArray[Any], int]:
    """Input float32 (H, W, C) and label of one item."""
    x, target = _pair(items[number], f"item {number}")
    x = as_tensor("x", x)
    if x.ndim != 3:
        mend = ": end the transform with torchvision's ToTensor" if x.dtype == torch.uint8 else ""
        raise BenchError(
            f"data: expected inputs (C, H, W), found {tuple(x.shape)} in item {number}{mend}"
        )
    x = as_inputs(x[None])[0].float().cpu()
    label = as_classes(np.reshape(np.asarray(target), (-1,)), 1).item()
    return np.ascontiguousarray(x.permute(1, 2, 0).numpy()), int(label)


def _pair(item: Any, which: str) -> tuple[Any, Any]:
    """Input and target, which come first in an item or a batch."""
    if not isinstance(item, tuple | list) or len(item) < 2:
        found = f"keys {', '.join(map(str, item))}" if isinstance(item, Mapping) else type(item)
        raise BenchError(f"data: expected (x, target) in {which}, found {found}")
    return item[0], item[1]
