"""Rows that may be compared with each other, image by image."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.attribution import control
from bench.attribution.method import Method
from bench.errors import require_known
from bench.leaderboard.draws import values_of_draws
from bench.metrics.protocol import Protocol, shared_protocol
from bench.metrics.statistic import Statistic
from bench.storage.identity import ROW_KEYS, Identity
from bench.storage.row_names import comparison_key, row_names
from bench.storage.store import Run


@dataclass(frozen=True)
class Comparison:
    """Methods on the same images, with the same weights, under the same protocol.

    Only complete rows are in it: every method has every image.

    Attributes:
        key: What the rows share, as a hash; see `comparison_key`.
        runs: By the names of their rows, best mean of the first statistic first.
        controls: Rows of methods that know nothing, or nothing more than another row: the name of
            that other row, or None where the control holds for every method.
        rule: The AUC rule, a key of `bench.metrics.auc.AUC_RULES`.
        rows: By method, its n rows as `Run.rows` gives them, ordered by image id.
        further: By methods of several draws, such rows of each draw after the first.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> comparison = example_comparison()
        >>> comparison.title
        'birds · toy · xplique-probability'
        >>> comparison.values("insertion").loc["bird_0.png"].round(3).to_dict()
        {'rise': 0.7, 'grad_cam': 0.65, 'random': 0.5}
        >>> comparison.curves("rise", "insertion").shape
        (8, 11)
    """

    key: str
    runs: Mapping[str, Run]
    controls: Mapping[str, str | None]
    rule: str
    rows: Mapping[str, pd.DataFrame] = field(repr=False, compare=False)
    further: Mapping[str, Sequence[pd.DataFrame]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def identity(self) -> Identity:
        """That of any run; `dataset` and `backbone` are the same in all."""
        return self._any.identity

    @property
    def _any(self) -> Run:
        return next(iter(self.runs.values()))

    @property
    def title(self) -> str:
        """See `comparison_title`."""
        return comparison_title(self._any)

    @property
    def image_ids(self) -> list[str]:
        """The n images, sorted."""
        return next(iter(self.rows.values()))["image_id"].tolist()

    @cached_property
    def protocol(self) -> Protocol:
        """What was measured of all of them; a metric that was added to some is left out."""
        runs = self.runs.values()
        annotations = [run.manifest.annotations for run in runs]
        return shared_protocol([run.protocol for run in runs], annotations)

    @property
    def statistics(self) -> list[Statistic]:
        """The main statistics of the protocol: those with intervals and figures.

        The first one puts the methods in their order.
        """
        return [statistic for statistic in self.protocol.statistics if statistic.is_main]

    @property
    def tested(self) -> list[Statistic]:
        """Those of `statistics` that say which of two methods is better."""
        return [one for one in self.statistics if one.higher_is_better is not None]

    def values(self, statistic: Statistic | str) -> pd.DataFrame:
        """What each image gives each method.

        Args:
            statistic: One of `statistics`, or its name.

        Returns:
            (n, m) float64, image ids down, methods across in the order of `runs`. Of several draws
            it is the mean of the image's values.

        Raises:
            BenchError: The protocol has no statistic of this name.
        """
        statistic = self.statistic(statistic)
        columns = {
            name: values_of_draws(self.protocol, statistic, self.tables(name), self.rule)
            for name in self.rows
        }
        return pd.DataFrame(columns, index=pd.Index(self.image_ids, name="image_id"))

    def tables(self, method: str) -> list[pd.DataFrame]:
        """The rows of each draw of a method; of most methods there is one."""
        return [self.rows[method], *self.further.get(method, ())]

    def finite_values(self, statistic: Statistic | str) -> pd.DataFrame:
        """As `values`, of the images that every method has a finite value of.

        An area relative to a clean score of zero is not finite. A method without any, as one whose
        maps were made elsewhere has of a metric that asks methods again, takes no image from the
        others: its column is NaN. Whoever uses this tells how many images it leaves out:
        `bench.leaderboard.sanity.undefined_areas`.

        Args:
            statistic: See `values`.
        """
        values = self.values(statistic)
        finite = np.isfinite(values.to_numpy())
        has_any = finite.any(axis=0)
        return values.loc[finite[:, has_any].all(axis=1) & has_any.any()]

    def tested_values(self, statistic: Statistic | str) -> pd.DataFrame:
        """As `finite_values`, without the methods that have none.

        Args:
            statistic: See `values`.
        """
        values = self.finite_values(statistic)
        return values.loc[:, values.notna().any()] if len(values) else values

    def statistic(self, statistic: Statistic | str) -> Statistic:
        """The statistic of a name.

        Raises:
            BenchError: The protocol has none of this name.
        """
        if isinstance(statistic, Statistic):
            return statistic
        by_name = {known.name: known for known in self.protocol.statistics}
        require_known("statistic", statistic, by_name)
        return by_name[statistic]

    def curves(self, method: str, metric: str) -> NDArray[np.float32]:
        """Scores (n, S+1) along the curves of one method; of several draws the first's.

        Args:
            method: A key of `runs`.
            metric: A key of `protocol.curves`.
        """
        return np.stack(self.rows[method][self.protocol.curves[metric].curve].tolist())

    def mean_curves(self, method: str, metric: str) -> NDArray[np.float32]:
        """As `curves`; of several draws each image's mean.

        Args:
            method: See `curves`.
            metric: See `curves`.
        """
        column = self.protocol.curves[metric].curve
        return np.mean([np.stack(rows[column].tolist()) for rows in self.tables(method)], axis=0)


def comparisons(runs: Sequence[Run], name: str, auc: str | None = None) -> list[Comparison]:
    """The complete rows of a leaderboard, in sets that may be compared.

    Args:
        runs: The runs of the leaderboard.
        name: The leaderboard, for the rows' names.
        auc: A key of `bench.metrics.auc.AUC_RULES`; each protocol's own rule if None.

    Returns:
        One for each set that has a complete row, ordered by title.

    Example:
        >>> from bench.leaderboard.example import example_runs
        >>> [comparison] = comparisons(example_runs("results"), "example")
        >>> list(comparison.runs)  # best insertion first
        ['rise', 'grad_cam', 'random']
    """
    names = row_names(runs, name)
    sets: dict[str, dict[str, Run]] = defaultdict(dict)
    for run in runs:
        if len(run.image_ids()) == run.num_images:
            sets[comparison_key(run)][names[run.key]] = run
    found = [_comparison(key, of_set, auc) for key, of_set in sets.items()]
    return sorted(found, key=lambda comparison: comparison.title)


def _comparison(key: str, runs: Mapping[str, Run], auc: str | None) -> Comparison:
    """Runs in the order of their means."""
    rule = auc or next(iter(runs.values())).protocol.auc
    tables = {name: run.tables() for name, run in runs.items()}
    rows = {name: each[0] for name, each in tables.items()}
    further = {name: each[1:] for name, each in tables.items() if each[1:]}
    unordered = Comparison(key, runs, {}, rule, rows, further)
    first = unordered.protocol.statistics[0]
    means = unordered.finite_values(first).mean()
    is_rising = first.higher_is_better is False
    order = means.sort_values(ascending=is_rising, kind="stable").index
    ranked = {str(method): runs[str(method)] for method in order}
    rows = {name: rows[name] for name in ranked}
    return Comparison(key, ranked, _controls(ranked), rule, rows, further)


def comparison_title(run: Run) -> str:
    """Benchmark, backbone and protocol of a run, with a target that is not the label.

    Args:
        run: Any of those that may be compared.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> comparison = example_comparison("xplique")
        >>> comparison_title(comparison.runs["rise"])
        'birds · toy · xplique'
    """
    return " · ".join((run.identity.dataset.name, run.identity.backbone.name, run.protocol.title))


def extremes(comparison: Comparison, method: str) -> dict[str, str]:
    """The images that a method does best, typically and worst on.

    Images are put in order by how well the map does on them (`Protocol.quality`), equal ones
    by their ids.

    Args:
        comparison: What the method is compared in.
        method: A key of its `runs`.

    Returns:
        `best`, `typical` (the median; of an even number the lower middle) and `worst` -> image
        id. All three are always there: of one or two images some are the same.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> extremes(example_comparison(), "rise")
        {'best': 'bird_6.png', 'typical': 'bird_5.png', 'worst': 'bird_7.png'}
    """
    rows = comparison.rows[method]
    quality = comparison.protocol.quality(rows, comparison.rule)
    values = pd.Series(quality, index=rows["image_id"])  # image ids are sorted
    finite = values[np.isfinite(values)]  # where a rule gives no value, no image is best or worst
    order = (finite if len(finite) else values).sort_values(ascending=False, kind="stable").index
    return {"best": order[0], "typical": order[len(order) // 2], "worst": order[-1]}


def is_control(run: Run) -> bool:
    """Whether a run's method is one of `bench.attribution.control`.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> {name: is_control(run) for name, run in example_comparison().runs.items()}
        {'rise': False, 'grad_cam': False, 'random': True}
    """
    return run.identity.method.kind in _CONTROLS


_CONTROLS = {
    name
    for name, found in vars(control).items()
    if isinstance(found, type) and issubclass(found, Method)
}


def _controls(runs: Mapping[str, Run]) -> dict[str, str | None]:
    """The controls among runs, and the row that each changes."""
    settings = {name: run.identity.method.settings for name, run in runs.items()}
    found: dict[str, str | None] = {}
    for name in (name for name, run in runs.items() if is_control(run)):
        of = settings[name].get("of")
        if of is None:
            found[name] = None
            continue
        bare = {key: value for key, value in of.items() if key not in ROW_KEYS}
        # A control of a method that is not in the table says nothing of those that are.
        found[name] = next((other for other, theirs in settings.items() if theirs == bare), name)
    return found
