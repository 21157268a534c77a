"""The row that all others are compared with, where one was named."""

from collections.abc import Sequence

from bench.errors import require_known
from bench.leaderboard.comparison import Comparison
from bench.storage.row_names import row_names
from bench.storage.store import Run


def require_reference(reference: str, boards: Sequence[tuple[Sequence[Run], str]]) -> None:
    """Refuses a reference that no row of any leaderboard is called.

    Args:
        reference: The name of a row, as tables have it.
        boards: The runs of leaderboards, and their names.

    Raises:
        BenchError: No row is called so; the error says what rows are called.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> runs = list(example_comparison().runs.values())
        >>> require_reference("random", [(runs, "example")])  # nothing is wrong
        >>> require_reference("sobol", [(runs, "example")])
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: reference: unknown name 'sobol'. Known: grad_cam, random, rise
    """
    known = {label for runs, name in boards for label in row_names(runs, name).values()}
    require_known("reference", reference, known)


def reference_remarks(
    runs: Sequence[Run], name: str, found: Sequence[Comparison], reference: str
) -> list[str]:
    """Why nothing is compared with a reference, where nothing is.

    Args:
        runs: The runs of a leaderboard.
        name: The leaderboard.
        found: Its comparisons.
        reference: The name of a row.

    Returns:
        A line for each reason; none where all is compared.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> found = example_comparison()
        >>> runs = list(found.runs.values())
        >>> reference_remarks(runs, "example", [found], reference="lime")
        ['birds · toy · xplique-probability: no complete row is called lime']
    """
    names = row_names(runs, name)
    lines = []
    for run in runs:
        missing = run.num_images - len(run.image_ids())
        if names[run.key] == reference and missing:
            lines.append(
                f"Reference {reference}: {missing} of {run.num_images} images missing, so nothing "
                "is compared with it"
            )
    for comparison in found:
        if reference not in comparison.runs:
            lines.append(f"{comparison.title}: no complete row is called {reference}")
            continue
        empty = [
            statistic.title
            for statistic in comparison.tested
            if reference not in comparison.tested_values(statistic)
        ]
        if empty:
            lines.append(
                f"{comparison.title}: nothing is compared with {reference} by {', '.join(empty)}, "
                "which it has no values of"
            )
    return lines
