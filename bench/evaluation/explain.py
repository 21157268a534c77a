"""One method's maps of one block of images: those that were kept, and those still to be made."""

import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.attribution.guard import guarded
from bench.attribution.maps import check_maps
from bench.attribution.method import Batch
from bench.attribution.scorer import Scorer
from bench.device import synchronize
from bench.errors import BenchError
from bench.evaluation.method_run import MethodRun
from bench.target import LABEL, PREDICTION, Target, target_classes

GIVE_UP = 3
"""Images that a method fails on, one after another, before it is asked no more."""

LONGEST_REASON = 500
"""Characters that are shown of a failure's reason."""


@dataclass(frozen=True)
class Failed:
    """A method that gave an unusable map of an image, or none.

    Attributes:
        method: Its name.
        image_id: The image.
        reason: One line.
        trace: The traceback, if the method raised something that it should not have.
    """

    method: str
    image_id: str
    reason: str
    trace: str = ""


@dataclass(frozen=True)
class Explanation:
    """What a method gave for a batch.

    Attributes:
        positions: The images in the batch that it explained.
        maps: Their maps (n, H, W), or (n, C, H, W) of a method that keeps channels, float32 or
            float64; None if there are none.
        seconds: What each took, (n,) float32.
        failures: The images that it failed on.
    """

    positions: list[int] = field(default_factory=list)
    maps: Tensor | None = None
    seconds: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    failures: list[Failed] = field(default_factory=list)


_Explain = Callable[[MethodRun, Batch], tuple[Tensor, NDArray[np.float32]]]
"""A method and a batch to maps (B, [C,] H, W) and the seconds (B,) that each took."""


class ChangedNetworkError(BenchError):
    """A method left something changed that can alter scores. It has been put back."""


class Explainer:
    """Explains a score with methods, keeps their maps, and survives their failures.

    What methods leave changed on the network, in torch's settings or on the generators is put back
    after each call (`bench.attribution.guard`), so that no method decides another one's numbers.

    Args:
        scorer: The score to explain.
        batch_sizes: Batch sizes by method's name, where they are not the scorer's: what is left
            when memory has run out. Changed in place.
        networks: Networks besides the scorer's that methods must leave alone.
        target: The class to explain: `label`, `prediction` (of the scorer's network) or the number
            of a class.
    """

    def __init__(
        self,
        scorer: Scorer,
        batch_sizes: MutableMapping[str, int],
        networks: Sequence[nn.Module] = (),
        target: Target = LABEL,
    ) -> None:
        self.scorer = scorer
        self.target = target
        self._batch_sizes = batch_sizes
        self._networks = networks
        self._failed_in_a_row: Counter[MethodRun] = Counter()

    def classes(self, labels: Tensor, x: Tensor, outputs: Tensor | None = None) -> Tensor:
        """The class of each image that is to be explained.

        Args:
            labels: (B,) int64.
            x: (B, C, H, W) inputs of the scorer's network.
            outputs: (B, K) that this network gives for them; None: it is asked, if need be.

        Returns:
            (B,) int64.
        """
        while self.target == PREDICTION and outputs is None:
            try:
                outputs = self.scorer.outputs_in_batches(x)
            except torch.OutOfMemoryError:
                self.scorer.shrink()
        return target_classes(self.target, labels, outputs)

    def has_given_up(self, run: MethodRun) -> bool:
        """Whether a method failed so often that it is asked no more."""
        return self._failed_in_a_row[run] >= GIVE_UP

    def __call__(self, run: MethodRun, batch: Batch) -> Explanation:
        """A method's maps of a batch, as far as it makes any.

        Where it fails, each image is tried alone. Running out of memory halves its batch size, if
        that may shrink, and is a failure only where it cannot. A method that leaves the network
        changed fails on all images, and is asked no more: it may count on what was put back.
        """
        return self._survive(run, batch, self._explain)

    def again(self, run: MethodRun, batch: Batch) -> Explanation:
        """As a call, of inputs that are no images of the run: no map is looked up, none is kept.

        Maps are rounded as those that are kept, so that the two may be compared.

        Args:
            run: One whose method `can_explain_again`.
            batch: Changed inputs or targets, with the ids and photos of their images.
        """
        return self._survive(run, batch, self._explain_anew)

    def _survive(self, run: MethodRun, batch: Batch, explain: _Explain) -> Explanation:
        try:
            maps, seconds = explain(run, batch)
        except ChangedNetworkError as error:
            self._failed_in_a_row[run] = GIVE_UP
            failures = [Failed(run.name, image_id, str(error)) for image_id in batch.image_ids]
            return Explanation(failures=failures)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plug-in's mistake, or its exit, costs no other's rows
            failure = _failure(run.name, batch.image_ids[0], error)
        else:
            self._failed_in_a_row[run] = 0
            return Explanation(list(range(len(maps))), maps, seconds)
        if len(batch.image_ids) == 1:
            self._failed_in_a_row[run] += 1
            return Explanation(failures=[failure])
        return self._one_by_one(run, batch, explain)

    def _one_by_one(self, run: MethodRun, batch: Batch, explain: _Explain) -> Explanation:
        alone = []
        for position in range(len(batch.image_ids)):
            if self.has_given_up(run):
                break
            alone.append(self._survive(run, part_of(batch, [position]), explain))
        positions = [i for i, explanation in enumerate(alone) if explanation.maps is not None]
        failures = [failure for explanation in alone for failure in explanation.failures]
        if not positions:
            return Explanation(failures=failures)
        maps = torch.cat(
            [explanation.maps for explanation in alone if explanation.maps is not None]
        )
        return Explanation(
            positions,
            maps,
            np.concatenate([explanation.seconds for explanation in alone]),
            failures,
        )

    def _explain(self, run: MethodRun, batch: Batch) -> tuple[Tensor, NDArray[np.float32]]:
        """Maps (B, H, W) of a whole batch, and the seconds (B,) that each took."""
        if run.maps is None:
            maps, seconds = self._make(run, batch)
            return maps, np.full(len(maps), seconds, np.float32)
        store, size = run.maps, (batch.x.shape[2], batch.x.shape[3])
        kept = store.load(batch.image_ids, size)
        missing = [i for i, image_id in enumerate(batch.image_ids) if image_id not in kept]
        if missing:
            part = part_of(batch, missing)
            made, seconds = self._make(run, part)
            kept |= store.save(part.image_ids, made.cpu().numpy(), seconds)
        stored = np.stack([kept[image_id].values for image_id in batch.image_ids])
        taken = np.array([kept[image_id].seconds for image_id in batch.image_ids], np.float32)
        maps = torch.from_numpy(stored).to(batch.x.device)
        return _checked(run, maps, batch), taken

    def _explain_anew(self, run: MethodRun, batch: Batch) -> tuple[Tensor, NDArray[np.float32]]:
        """As `_explain`, of inputs whose maps are in no store."""
        maps, seconds = self._make(run, batch)
        if run.maps is not None:
            maps = torch.from_numpy(run.maps.as_kept(maps.cpu().numpy())).to(maps.device)
        return maps, np.full(len(maps), seconds, np.float32)

    def _make(self, run: MethodRun, batch: Batch) -> tuple[Tensor, float]:
        with self._batch_size_of(run.name):
            while True:
                try:
                    maps, seconds = self._call(run, batch)
                except torch.OutOfMemoryError:
                    self.scorer.shrink()
                    self._batch_sizes[run.name] = self.scorer.batch_size
                    continue
                return _checked(run, maps, batch), seconds / len(batch.x)

    def _call(self, run: MethodRun, batch: Batch) -> tuple[Any, float]:
        """What a method gives for a batch of its own, and the seconds that it took."""

        def fail(changes: str) -> None:
            raise ChangedNetworkError(
                f"method '{run.name}' left changed: {changes}. All was put back; a method must "
                "leave the network and torch's settings as it found them "
                "(docs/how-to/own-method.md)"
            )

        def warn(hooks: str) -> None:
            warnings.warn(
                f"method '{run.name}' left {hooks}; they are taken off after each call, so each "
                "call must put on those that it needs",
                stacklevel=2,
            )

        given = replace(
            batch,
            x=batch.x.clone(),
            targets=batch.targets.clone(),
            image_ids=list(batch.image_ids),  # what a method does to them must not name its maps
            images=[_read_only(image) for image in batch.images],
        )
        with guarded(self.scorer, batch.x, fail, warn, self._networks):
            started = now(batch.x.device)
            maps = run.method(self.scorer, given)
            seconds = now(batch.x.device) - started
        return maps, seconds

    @contextmanager
    def _batch_size_of(self, name: str) -> Iterator[None]:
        """Gives the scorer a method's batch size, and its own back."""
        before = self.scorer.batch_size
        self.scorer.batch_size = self._batch_sizes.get(name, before)
        try:
            yield
        finally:
            self.scorer.batch_size = before


def _checked(run: MethodRun, maps: Any, batch: Batch) -> Tensor:
    return check_maps(run.name, maps, batch.x, batch.image_ids, run.method.keeps_channels)


def now(device: torch.device) -> float:
    """Seconds, after the device has finished what it was given."""
    synchronize(device)
    return time.perf_counter()


def _failure(name: str, image_id: str, error: BaseException) -> Failed:
    if isinstance(error, BenchError):
        return Failed(name, image_id, _in_a_line(_said(error)))
    reason = _in_a_line(f"method '{name}' raised {type(error).__name__}: {_said(error)}")
    return Failed(name, image_id, reason, "".join(traceback.format_exception(error)))


def _said(error: BaseException) -> str:
    """What an error says; it is the method's, so it may fail at that, too."""
    try:
        return str(error)
    except Exception as failure:
        return f"(its message cannot be had: {type(failure).__name__})"


def _in_a_line(text: str) -> str:
    """Of a page, as torch writes where a kernel is missing, the beginning: the trace has it all."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_REASON else line[:LONGEST_REASON] + " ..."


def _read_only(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image that all methods are given, so none may draw on it."""
    view = image.view()
    view.flags.writeable = False
    return view


def part_of(batch: Batch, positions: Sequence[int]) -> Batch:
    """Some images of a batch, in the order of `positions`."""
    return replace(
        batch,
        x=batch.x[positions],
        targets=batch.targets[positions],
        image_ids=[batch.image_ids[i] for i in positions],
        images=[batch.images[i] for i in positions],
    )
