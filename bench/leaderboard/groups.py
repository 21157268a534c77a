"""Means of groups of images: of each class, or by a column of a CSV file."""

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.errors import BenchError, require_known, require_text
from bench.files import read_whole
from bench.leaderboard.comparison import Comparison
from bench.leaderboard.statistics import bootstrap_intervals

CLASS = "class"
"""What `by` says for groups by the label of the images."""

IMAGE_COLUMNS = ("image_id", "path")
"""Columns of a CSV file that may name the images, the first that is there."""

NO_GROUP = "(none)"
"""The group of images that the file does not have, or whose cell is empty."""


@dataclass(frozen=True)
class Grouping:
    """How images are grouped.

    Attributes:
        column: What it is by: `class`, or the column of a file.
        file: The file; None: by class.
        groups: By image id, its group; of a file.

    Example:
        >>> from pathlib import Path
        >>> from bench.leaderboard.example import example_comparison
        >>> groups = {"bird_0.png": "male", "bird_1.png": "female"}
        >>> Grouping("sex", Path("birds.csv"), groups).of(example_comparison()).tolist()[:3]
        ['male', 'female', '(none)']
    """

    column: str
    file: Path | None = None
    groups: Mapping[str, str] | None = None

    def of(self, comparison: Comparison) -> pd.Series:
        """The group of each image, by image id.

        Args:
            comparison: Whose images.

        Raises:
            BenchError: The file has none of the images.
        """
        ids = comparison.image_ids
        if self.groups is None:
            labels = next(iter(comparison.rows.values()))["image_label"]
            return pd.Series(labels.astype(str).to_numpy(), index=ids)
        found = [self.groups.get(image_id) or NO_GROUP for image_id in ids]
        if set(found) == {NO_GROUP}:
            raise BenchError(
                f"by: '{self.file}' has no {self.column} of any of the {len(ids)} images of "
                f"{comparison.title}: expected image ids such as '{ids[0]}'"
            )
        return pd.Series(found, index=ids)


def read_grouping(by: str) -> Grouping:
    """Reads what `by` asks for: `class`, or `FILE.csv:COLUMN`.

    Args:
        by: The file is UTF-8 with a header; its column `image_id` or `path` names the images.

    Returns:
        How images are grouped; a file is read whole.

    Raises:
        BenchError: It is neither, or the file cannot be read, lacks a column, or gives an image
            two groups.

    Example:
        >>> import pandas as pd
        >>> birds = {"image_id": ["bird_0.png", "bird_1.png"], "sex": ["male", "female"]}
        >>> pd.DataFrame(birds).to_csv("birds.csv", index=False)
        >>> read_grouping("birds.csv:sex").groups
        {'bird_0.png': 'male', 'bird_1.png': 'female'}
    """
    require_text("by", by)
    if by == CLASS:
        return Grouping(CLASS)
    name, _, column = by.rpartition(":")
    if not name or not column:
        raise BenchError(f"by: expected '{CLASS}' or FILE.csv:COLUMN, found '{by}'")
    path = Path(name).expanduser()
    try:
        table = csv.DictReader(io.StringIO(read_whole(path).decode("utf-8-sig"), newline=""))
        header, records = list(table.fieldnames or ()), list(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise BenchError(f"by: '{path}' is no CSV file in UTF-8 ({error})") from None
    named = [known for known in IMAGE_COLUMNS if known in header]
    if not named:
        raise BenchError(
            f"by: '{path}': expected a column {' or '.join(IMAGE_COLUMNS)} that names the images, "
            f"found the columns {', '.join(header) or 'of an empty file'}"
        )
    require_known(f"by: '{path}'", column, [one for one in header if one not in named[:1]])
    groups: dict[str, str] = {}
    for record in records:
        image_id, group = record[named[0]], (record[column] or "").strip()
        if groups.setdefault(image_id, group) != group:
            raise BenchError(
                f"by: '{path}': expected one {column} of '{image_id}', found '{groups[image_id]}' "
                f"and '{group}'"
            )
    return Grouping(column, path, groups)


def group_means(comparison: Comparison, grouping: Grouping) -> pd.DataFrame:
    """The mean of each group, method and statistic.

    Args:
        comparison: The methods, and their images.
        grouping: How its images are grouped.

    Returns:
        A row a group, method and main statistic that is a mean of images: `group`, `method`,
        `control`, `metric`, `mean`, `ci_low` and `ci_high` (BCa, 95 %; NaN for one image), and
        `n_images`: how many have a value. Groups are ordered as numbers where they are, methods as
        in `comparison.runs`.

    Raises:
        BenchError: See `Grouping.of`.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> means = group_means(example_comparison(), read_grouping("class"))
        >>> of_rise = means[(means["method"] == "rise") & (means["metric"] == "insertion")]
        >>> of_rise.set_index("group")["mean"].round(3).to_dict()
        {'0': 0.69, '1': 0.61}
    """
    groups = grouping.of(comparison)
    # What is read off a set of images together is no mean of theirs.
    means = [statistic for statistic in comparison.statistics if not statistic.is_pooled]
    values = {statistic.name: comparison.values(statistic) for statistic in means}
    found = []
    for group in sorted(groups.unique(), key=_in_order):
        is_in = (groups == group).to_numpy()
        cells = {
            (name, method): _finite(table.loc[is_in, method])
            for name, table in values.items()
            for method in comparison.runs
        }
        intervals = _intervals(cells)
        found += [
            {
                "group": group,
                "method": method,
                "control": method in comparison.controls,
                "metric": name,
                "mean": cell.mean() if len(cell) else np.nan,
                "ci_low": intervals[name, method][0],
                "ci_high": intervals[name, method][1],
                "n_images": len(cell),
            }
            for (name, method), cell in cells.items()
        ]
    return pd.DataFrame(found)


_Cells = Mapping[tuple[str, str], NDArray[np.float64]]


def _finite(values: pd.Series) -> NDArray[np.float64]:
    array = values.to_numpy(dtype=np.float64)
    return array[np.isfinite(array)]


def _intervals(cells: _Cells) -> dict[tuple[str, str], tuple[float, float]]:
    """Intervals of means; those of as many images share their resamples, which takes less time."""
    of_size = defaultdict(list)
    for key, cell in cells.items():
        of_size[len(cell)].append(key)
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for keys in of_size.values():
        ends = bootstrap_intervals(np.stack([cells[key] for key in keys], axis=1))
        found |= {
            key: (float(low), float(high)) for key, (low, high) in zip(keys, ends, strict=True)
        }
    return found


def without_group(comparisons: Sequence[Comparison], grouping: Grouping) -> list[str]:
    """A line for each comparison with images that the file gives no group.

    Args:
        comparisons: The comparisons of a leaderboard.
        grouping: How their images are grouped.

    Raises:
        BenchError: See `Grouping.of`.

    Example:
        >>> from pathlib import Path
        >>> from bench.leaderboard.example import example_comparison
        >>> sexes = Grouping("sex", Path("birds.csv"), {"bird_0.png": "male"})
        >>> without_group([example_comparison()], sexes)[0].partition(": ")[2]
        "7 of 8 images have no sex in birds.csv, 'bird_1.png' first: group (none)"
    """
    lines = []
    for comparison in comparisons:
        groups = grouping.of(comparison)
        count = int((groups == NO_GROUP).sum())
        if count and grouping.groups is not None:
            lines.append(
                f"{comparison.title}: {count} of {len(groups)} images have no {grouping.column} in "
                f"{grouping.file}, '{groups.index[groups == NO_GROUP][0]}' first: group {NO_GROUP}"
            )
    return lines


def _in_order(group: str) -> tuple[bool, float, str]:
    """Numbers by their size, then words, images without a group last."""
    try:
        number = float(group)
    except ValueError:
        number = np.nan
    is_number = bool(np.isfinite(number))
    return (not is_number, number if is_number else float(group == NO_GROUP), group)
