"""What `bench.evaluate` gives: the stored rows of some methods, and what can be made of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.errors import BenchError, require_known
from bench.evaluation.explain import Failed
from bench.files import write_atomically
from bench.leaderboard.comparison import Comparison, comparisons
from bench.leaderboard.groups import group_means, read_grouping
from bench.leaderboard.reference import require_reference
from bench.leaderboard.significance import against_reference, significance
from bench.leaderboard.table import Leaderboard, leaderboard
from bench.report.figures import diagrams, photographs
from bench.report.html import LARGEST, render
from bench.report.paper import PaperTable, tables_as_text
from bench.report.sections import overview_of, sections_of
from bench.report.tables import to_html, to_markdown
from bench.report.writer import remarks_of
from bench.storage.load import rows_of
from bench.storage.row_names import row_names
from bench.storage.store import Run


@dataclass(frozen=True)
class Result:
    """The rows of some methods on the same images and network; shown as a table in notebooks.

    Everything is made of what is stored, so it costs no pass through a network.

    Attributes:
        results_dir: Where the rows are.
        name: The leaderboard that they are rows of.
        runs: The stored runs, one a method, in the order of `bench.evaluate`.
        image_ids: The images in the order of the data.
        failures: The maps that failed.
        log: What the command line would have printed.

    Example:
        >>> from pathlib import Path
        >>> from bench.leaderboard.example import example_runs
        >>> runs = example_runs("results")
        >>> result = Result(Path("results"), "example", runs)  # as `bench.evaluate` gives it
        >>> result.leaderboard()[["method", "insertion_auc"]].round(3).to_dict("list")
        {'method': ['rise', 'grad_cam', 'random'], 'insertion_auc': [0.65, 0.61, 0.5]}
        >>> result.pairs(metric="insertion")["p_value"].round(3).tolist()
        [0.102, 0.023, 0.023]
        >>> result.curves("rise")["insertion"].shape, len(result.rows)
        ((8, 11), 24)
    """

    results_dir: Path
    name: str
    runs: Sequence[Run] = field(repr=False)
    image_ids: Sequence[str] = ()
    failures: Sequence[Failed] = ()
    log: str = field(default="", repr=False)

    @cached_property
    def rows(self) -> pd.DataFrame:
        """A row an image and method, with curves; the columns are those of `bench.load_rows`.

        Ordered by method and then as the images of the data; of several draws an image has a row
        each.
        """
        names = row_names(self.runs, self.name)
        tables = [rows_of(draw, names[run.key]) for run in self.runs for draw in run.draws]
        rows = pd.concat(tables, ignore_index=True)
        place = {image_id: number for number, image_id in enumerate(self.image_ids)}
        of_method = {label: number for number, label in enumerate(names.values())}
        order = np.lexsort((rows["image_id"].map(place), rows["label"].map(of_method)))
        return rows.iloc[order].reset_index(drop=True)

    def leaderboard(self, auc: str | None = None, test: str = "wilcoxon") -> pd.DataFrame:
        """The leaderboard: a row a method, best first.

        Args:
            auc: A key of `bench.metrics.auc.AUC_RULES`; the protocol's rule if None.
            test: A key of `bench.leaderboard.significance.TESTS`.

        Returns:
            The columns of the leaderboard's CSV file.
        """
        return self._board(auc, test).rows

    def pairs(
        self,
        reference: str | None = None,
        metric: str | None = None,
        test: str = "wilcoxon",
    ) -> pd.DataFrame:
        """Which methods differ: tests on the same images, with effects and intervals.

        Args:
            reference: The label of a method that all others are compared with, chosen before the
                numbers were seen; None: all pairs.
            metric: The name of a statistic, as `insertion`; None: each that says which of two
                methods is better.
            test: A key of `bench.leaderboard.significance.TESTS`.

        Returns:
            The columns of `bench.leaderboard.significance.against_reference`, or of
            `Significance.pairs`, behind `metric`.

        Raises:
            BenchError: A name is unknown, or no two methods have all their rows.
        """
        comparison = self._comparison
        asked = comparison.tested if metric is None else [comparison.statistic(metric)]
        tables = []
        for statistic in asked:
            if reference is None:
                found = significance(comparison, statistic, test).pairs
            else:
                found = against_reference(comparison, statistic, reference, test)
            tables.append(found.assign(metric=statistic.name))
        table = pd.concat(tables, ignore_index=True)
        return table[["metric", *table.columns.drop("metric")]]

    def by(self, grouping: str = "class") -> pd.DataFrame:
        """Means of groups of images.

        Args:
            grouping: `class`, or `FILE.csv:COLUMN`: its column `image_id` names the images.

        Returns:
            The columns of `bench.leaderboard.groups.group_means`, n a group among them.

        Raises:
            BenchError: The file cannot be used, or no method has all its rows.
        """
        return group_means(self._comparison, read_grouping(grouping))

    def curves(self, method: str) -> dict[str, NDArray[np.float32]]:
        """Scores along the curves of one method.

        Args:
            method: Its label.

        Returns:
            By metric, as `insertion`, (N, S+1) in the order of the rows.

        Raises:
            BenchError: There is no such method.
        """
        require_known("method", method, set(self.rows["label"]))
        rows = self.rows[self.rows["label"] == method]
        return {
            name: np.stack(rows[curve.curve].tolist())
            for name, curve in self.runs[0].protocol.curves.items()
        }

    def plot(self, kind: str = "curves") -> Figure:
        """A figure of these methods.

        Args:
            kind: `curves`, `scatter`, `maps` or another of `plots`.

        Raises:
            BenchError: There is no such figure of these rows.
        """
        for figure in chain(
            diagrams(self._comparison), photographs(self._comparison, self.results_dir)
        ):
            if figure.name == kind:
                return figure.figure
        require_known("plot", kind, self.plots)
        raise AssertionError  # it would have been found

    @cached_property
    def plots(self) -> list[str]:
        """Names of the figures that can be drawn of these rows."""
        comparison = self._comparison
        figures = chain(diagrams(comparison), photographs(comparison, self.results_dir))
        return [figure.name for figure in figures]

    def to_latex(
        self,
        columns: Sequence[str] = (),
        *,
        caption: str | None = None,
        label: str | None = None,
        reference: str | None = None,
        width: Literal["one", "two"] = "one",
    ) -> str:
        r"""The leaderboard for a paper, as `bench table` prints it; needs booktabs, graphicx.

        Args:
            columns: As `leaderboard` names them, and `insertion_ci` for an interval; empty: method
                and means, at full width with intervals.
            caption: LaTeX; None: what the rows share.
            label: What `\ref` takes.
            reference: The label of the method that stars compare the others with; None: the best of
                a column.
            width: Columns of the page that it may fill, `one` or `two`.

        Raises:
            BenchError: A column or the reference is unknown.
        """
        if reference is not None:
            require_reference(reference, [(self.runs, self.name)])
        asked = PaperTable("latex", columns, caption, label, reference, width)
        board = leaderboard(self.runs, self.name, reference=reference)
        return tables_as_text([board], asked)

    def to_markdown(self) -> str:
        """The leaderboard as Markdown."""
        return to_markdown(self._board(), self._remarks)

    def report(self, output: str | Path) -> Path:
        """Writes one HTML page: table, figures, statistics, and an explorer of images.

        Args:
            output: The file.

        Returns:
            The file.

        Raises:
            BenchError: It cannot be written.
        """
        sections = sections_of(
            self.results_dir, self.name, title=self.name, auc=None, test="wilcoxon", first=1,
            runs=self.runs,
        )  # fmt: skip
        page = render(sections, [], overview_of(sections), round(LARGEST * 1e6))
        write_atomically(Path(output), page.encode())
        return Path(output)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return to_html(self._board(), self._remarks)

    def __str__(self) -> str:
        return self.to_markdown()

    def _board(self, auc: str | None = None, test: str = "wilcoxon") -> Leaderboard:
        return leaderboard(self.runs, self.name, auc, test)

    @cached_property
    def _remarks(self) -> list[str]:
        return remarks_of(self.runs, self.name, comparisons(self.runs, self.name))

    @cached_property
    def _comparison(self) -> Comparison:
        """The methods that have all their rows."""
        found = comparisons(self.runs, self.name)
        if not found:
            raise BenchError(
                f"no method has the rows of all {self.runs[0].num_images} images: see .failures"
            )
        return found[0]
