import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from compiled import needs_latex, overfull_boxes
from toy_rows import begin, identity, protocol, rows

from bench.cli import main
from bench.leaderboard.comparison import comparisons
from bench.leaderboard.table import leaderboard
from bench.report.side_by_side import are_several, side_by_side, to_csv, to_latex, to_markdown
from bench.storage.store import stored_runs

BIRDS, FACES = ("birds · toy", "faces · toy")


def add(folder, name, height, board="board", benchmark="birds", *, control=False, **changes):
    """A complete run whose insertion curve is flat, and its deletion curve one minus that."""
    target = "bench.attribution.control.Center" if control else f"bench.attribution.masking.{name}"
    method = {"name": name, "version": 1, "settings": {"_target_": target}}
    dataset = identity()["dataset"] | {"name": benchmark}
    run = begin(folder, None, **{"method": method, "dataset": dataset} | changes)
    run.set_label(board, name)
    run.append(rows("a", "b", "c", insertion=(height,) * 3, deletion=(1 - height,) * 3))
    return run


def joined(*folders, board="board"):
    return side_by_side(
        [c for folder in folders for c in comparisons(stored_runs(folder, board), board)]
    )


@pytest.fixture
def two(tmp_path):
    """Two benchmarks: rise and lime in both, ours and a control in one."""
    for name, height in {"rise": 0.5, "lime": 0.7, "ours": 0.6}.items():
        add(tmp_path, name, height)
    add(tmp_path, "center", 0.9, control=True)
    for name, height in {"rise": 0.25, "lime": 0.125}.items():
        add(tmp_path, name, height, benchmark="faces")
    return tmp_path


def test_methods_meet_by_name_and_means_are_those_of_the_leaderboard(two):
    table = joined(two)
    assert table.titles == [BIRDS, FACES]
    assert table.means.index.tolist() == ["lime", "rise", "ours", "center"]
    assert table.controls == [False, False, False, True]
    board = leaderboard(stored_runs(two, "board"), "board").rows
    for name, values in table.means.items():
        title, statistic = table.columns[name]
        rows = board[board["benchmark"] == title.split(" ")[0]].set_index("method")
        for method, value in values.items():
            if method in rows.index:
                assert value == pytest.approx(rows.loc[method, statistic.column])
            else:
                assert np.isnan(value)
    assert table.means[f"{FACES} · insertion_auc"].isna().tolist() == [False, False, True, True]
    assert table.caption.endswith("; protocol mine")


def test_markdown_marks_each_column_by_itself(two):
    lines = to_markdown(joined(two)).splitlines()
    start = lines.index("|---|---|---|---|---|")
    assert lines[start - 1] == (
        f"| method | {BIRDS}<br>ins ↑ | {BIRDS}<br>del ↓ | {FACES}<br>ins ↑ | {FACES}<br>del ↓ |"
    )
    assert lines[start + 1 : start + 5] == [
        "| lime | **0.7000** | **0.3000** | <ins>0.1250</ins> | <ins>0.8750</ins> |",
        "| rise | 0.5000 | 0.5000 | **0.2500** | **0.7500** |",
        "| ours | <ins>0.6000</ins> | <ins>0.4000</ins> |  |  |",
        "| *center* | *0.9000* | *0.1000* |  |  |",
    ]
    assert lines[-1] == (
        "- Bold: the best of its column; underlined: the second best; italics: controls, which are "
        "neither best nor second."
    )


def test_csv_reads_back(two):
    back = pd.read_csv(io.StringIO(to_csv(joined(two))), index_col="method")
    assert back.columns.tolist() == [
        "control", f"{BIRDS} · insertion_auc", f"{BIRDS} · deletion_auc",
        f"{FACES} · insertion_auc", f"{FACES} · deletion_auc",
    ]  # fmt: skip
    assert back.loc["ours", f"{BIRDS} · insertion_auc"] == pytest.approx(0.6)
    assert back.loc["ours"].isna().sum() == 2


def test_latex_groups_columns(two):
    text = to_latex(joined(two))
    assert "\\multicolumn{2}{c}{birds $\\cdot$ toy} & \\multicolumn{2}{c}{faces" in text
    assert "\\cmidrule(lr){2-3} \\cmidrule(lr){4-5}" in text
    assert "lime & \\textbf{0.7000} & \\textbf{0.3000} & \\underline{0.1250}" in text
    assert "\\begin{tabular}{lrrrr}" in text


@needs_latex
def test_latex_compiles(two, tmp_path):
    add(two, "[x] \\input{y} *_% & <#>", 0.1, benchmark="100 % _{x}")
    assert overfull_boxes(tmp_path, to_latex(joined(two))) == []


def test_titles_tell_what_differs(two):
    other = protocol(name="other", ties="numpy_1_23")
    add(two, "rise", 0.5, benchmark="faces", protocol=other)
    assert joined(two).titles == [f"{BIRDS} · mine", f"{FACES} · mine", f"{FACES} · other"]
    assert "protocol" not in joined(two).caption


def test_the_same_names_with_other_weights_have_keys(two):
    add(two, "rise", 0.5, backbone={"name": "toy", "weights_sha256": "other"})
    titles = joined(two).titles
    assert len(set(titles)) == 3
    assert sum(title.startswith(f"{BIRDS} · ") for title in titles) == 2


def test_methods_that_are_not_the_same_everywhere_are_told(two, tmp_path):
    assert joined(two).differing == {}
    changed = {
        "name": "ours",
        "version": 2,
        "settings": {"_target_": "bench.attribution.masking.ours"},
    }
    add(two, "ours", 0.6, benchmark="faces", method=changed)
    table = joined(two)
    assert table.differing == {"ours": ["version"]}
    assert "- ours is not the same in all columns: version." in to_markdown(table)


def test_folders_join_and_nothing_is_lost(two, tmp_path):
    other = tmp_path / "other"
    add(other, "rise", 0.5)  # the same run
    add(other, "lime", 0.1, seed=1)  # another of the same name
    add(two, "rise", 0.5, board="second")
    found = [
        c for folder in (two, other) for c in comparisons(stored_runs(folder, "board"), "board")
    ]
    found += comparisons(stored_runs(two, "second"), "second")
    table = side_by_side(found)
    assert table.titles == [BIRDS, FACES]
    names = table.means.index.tolist()
    assert names.count("rise") == 1
    (seed_1,) = [name for name in names if name.startswith("lime (")]
    assert table.means.loc[seed_1, f"{BIRDS} · insertion_auc"] == pytest.approx(0.1)
    assert table.means.loc["lime", f"{BIRDS} · insertion_auc"] == pytest.approx(0.7)


def test_one_benchmark_is_nothing_to_put_side_by_side(tmp_path):
    add(tmp_path, "rise", 0.5)
    add(tmp_path, "lime", 0.5, protocol=protocol(name="other", ties="numpy_1_23"))
    assert not are_several(comparisons(stored_runs(tmp_path, "board"), "board"))


def test_the_command_writes_beside_the_first_folders_leaderboards(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    one, two = Path("one"), Path("two")
    add(one, "rise", 0.5)
    add(two, "rise", 0.25, benchmark="faces")
    main(["leaderboard", "one"])
    assert not list(tmp_path.rglob("side_by_side*"))
    main(["leaderboard", "one", "two", "auc=mean"])
    written = sorted(path.name for path in tmp_path.rglob("side_by_side*"))
    ranks = [
        f"_benchmarks_{name}.{kind}"
        for name in ("deletion", "insertion")
        for kind in ("png", "svg")
    ]
    assert written == [f"side_by_side_mean{end}" for end in (".csv", ".md", ".tex", *ranks)]
    assert (one / "leaderboards/side_by_side_mean.csv").is_file()
    assert (two / "leaderboards/board_mean.csv").is_file()
    assert "Side by side: one/leaderboards" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["leaderboard", "one", "nowhere"])
    assert "nowhere" in capsys.readouterr().err
