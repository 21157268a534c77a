"""Choosing images of a data set: by what a network says of them, by class, by number."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bench.datasets.dataset import Sample
from bench.errors import require_integer, require_known

SUBSETS = ("all", "correct", "misclassified")
"""Images to choose by what the network says of them."""


@dataclass(frozen=True)
class Selection:
    """Which images to take.

    Attributes:
        subset: `correct` (the network's top class is the label), `misclassified` (it is not) or
            `all`.
        per_class: At most so many of each label, or None.
        max_images: At most so many in all, drawn after `per_class`, or None.
        seed: The seed of the draws.

    Raises:
        BenchError: A setting is out of range.

    Example:
        >>> from pathlib import Path
        >>> from bench.datasets.dataset import Sample
        >>> samples = [Sample(f"{label}.jpg", Path(f"{label}.jpg"), label) for label in range(6)]
        >>> chosen = Selection("correct").choose(samples, predictions=[0, 1, 1, 1, 4, 0])
        >>> [sample.image_id for sample in chosen]
        ['0.jpg', '1.jpg', '4.jpg']
        >>> [sample.image_id for sample in Selection(max_images=2, seed=0).choose(samples)]
        ['2.jpg', '5.jpg']
    """

    subset: str = "all"
    per_class: int | None = None
    max_images: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        require_known("select.subset", self.subset, SUBSETS)
        for name in ("per_class", "max_images"):
            if getattr(self, name) is not None:
                require_integer(f"select.{name}", getattr(self, name), 1)
        require_integer("select.seed", self.seed, 0)

    @property
    def takes_all(self) -> bool:
        """Whether nothing is left out of any data set."""
        return self.subset == "all" and self.per_class is None and self.max_images is None

    @property
    def needs_predictions(self) -> bool:
        """Whether a network has to say what it sees."""
        return self.subset != "all"

    def __str__(self) -> str:
        settings = {key: value for key, value in asdict(self).items() if value is not None}
        if self.per_class is None and self.max_images is None:
            del settings["seed"]  # nothing was drawn
        return ", ".join(f"{key}={value}" for key, value in settings.items())

    def choose(
        self, samples: Sequence[Sample], predictions: Sequence[int] | None = None
    ) -> list[Sample]:
        """The chosen samples, in the order in which they stand.

        An image's place in the draw is a hash of the seed and its id, so that whether it is drawn
        before another depends on nothing else: not on the order, not on which others there are.

        Args:
            samples: To choose from.
            predictions: Top class of each; only needed for a subset.

        Raises:
            ValueError: A subset is to be chosen and there are no predictions, or too few.
        """
        if self.needs_predictions:
            if predictions is None:
                raise ValueError(f"select.subset={self.subset}: expected predictions, found none")
            pairs = zip(samples, predictions, strict=True)
            wanted = self.subset == "correct"
            samples = [sample for sample, top in pairs if (sample.target == top) == wanted]
        drawn = sorted(samples, key=self._place)
        if self.per_class is not None:
            taken: Counter[int] = Counter()
            kept = []
            for sample in drawn:
                if taken[sample.target] < self.per_class:
                    taken[sample.target] += 1
                    kept.append(sample)
            drawn = kept
        chosen = {sample.image_id for sample in drawn[: self.max_images]}
        return [sample for sample in samples if sample.image_id in chosen]

    def _place(self, sample: Sample) -> bytes:
        return hashlib.sha256(f"{self.seed}\x1f{sample.image_id}".encode()).digest()


def to_list(samples: Sequence[Sample]) -> bytes:
    """A list file as the published ones are written: no line end after the last line.

    Args:
        samples: The images, in their order.

    Returns:
        UTF-8, a line `image_id target` each.

    Example:
        >>> from pathlib import Path
        >>> from bench.datasets.dataset import Sample
        >>> to_list([Sample("wren/1.jpg", Path("wren/1.jpg"), 7)])
        b'wren/1.jpg 7'
    """
    return "\n".join(f"{sample.image_id} {sample.target}" for sample in samples).encode()
