import pandas as pd
import pytest
from compared import comparison, drawn_curves
from rich.console import Console
from stored_results import write_results

from bench.cli import main
from bench.errors import BenchError
from bench.leaderboard.comparison import comparisons
from bench.leaderboard.reference import reference_remarks, require_reference
from bench.leaderboard.significance import against_reference, significance
from bench.leaderboard.table import leaderboard
from bench.report.html import write_report
from bench.report.tables import to_latex, to_markdown
from bench.storage.store import stored_runs


def test_a_reference_is_the_name_of_a_row(tmp_path):
    comparison(tmp_path, drawn_curves("mrx"))
    boards = [(stored_runs(tmp_path, "board"), "board")]
    require_reference("m", boards)
    with pytest.raises(BenchError, match=r"^reference: unknown name 'y'\..*Known: m, r, x$"):
        require_reference("y", boards)


@pytest.mark.parametrize("metric", ["insertion", "deletion"])
def test_tables_tell_how_much_better_and_worse_rows_are(tmp_path, metric):
    found = comparison(tmp_path, drawn_curves("mrxyz", images=9), controls=("r",))
    runs = stored_runs(tmp_path, "board")
    board = leaderboard(runs, "board", reference="x")
    rows = board.rows.set_index("method")
    against = against_reference(found, metric, "x").set_index("method")
    assert (rows["reference"] == "x").all()
    for other in "mryz":
        assert rows.loc[other, f"{metric}_vs_reference"] == against.loc[other, "difference"]
        assert rows.loc[other, f"{metric}_p_reference_raw"] == against.loc[other, "p_raw"]
        assert rows.loc[other, f"{metric}_p_reference"] == against.loc[other, "p_value"]
    assert pd.isna(rows.loc["x", f"{metric}_vs_reference"])
    means, sign = rows[f"{metric}_auc"], 1 if metric == "insertion" else -1
    assert against.loc["z", "difference"] == pytest.approx(sign * (means["z"] - means["x"]))
    for text in (to_markdown(board), to_latex(board).replace("$-$", "-")):
        assert text.count(" vs x ") == 2
        assert f"{against.loc['z', 'difference']:+.4f}" in text
        assert "differs from x" in text
    plain = leaderboard(runs, "board").rows
    assert plain.equals(board.rows[plain.columns])
    assert "vs" not in to_markdown(leaderboard(runs, "board"))


def test_files_hold_the_comparisons_with_the_reference(tmp_path, capsys):
    found = comparison(tmp_path, drawn_curves("mrx", images=7), controls=("r",))
    main(["leaderboard", str(tmp_path), "reference=x"])
    pairs = pd.read_csv(tmp_path / "leaderboards" / "board_pairs.csv")
    assert pairs["metric"].tolist() == ["insertion"] * 2 + ["deletion"] * 2  # k - 1 each
    assert set(pairs["reference"]) == {"x"}
    of_insertion = pairs[pairs["metric"] == "insertion"].reset_index()
    expected = against_reference(found, "insertion", "x")
    pd.testing.assert_frame_equal(
        of_insertion[expected.columns], expected, rtol=1e-5, check_dtype=False
    )
    statistics = (tmp_path / "leaderboards" / "board_statistics.md").read_text()
    assert statistics.count("Against x, by Wilcoxon's signed-rank test") == 2
    assert "r (control)" in statistics
    main(["leaderboard", str(tmp_path)])
    every = pd.read_csv(tmp_path / "leaderboards" / "board_pairs.csv")
    assert len(every) == 6
    raw = significance(found, "deletion").pairs["p_raw"]
    assert every.loc[every["metric"] == "deletion", "p_raw"].tolist() == pytest.approx(raw.tolist())
    assert "Against" not in (tmp_path / "leaderboards" / "board_statistics.md").read_text()


@pytest.mark.parametrize("command", ["leaderboard", "report"])
def test_an_unknown_reference_ends_in_a_line_with_the_names(tmp_path, capsys, command):
    comparison(tmp_path, drawn_curves("mrx"))
    output = ["--output", str(tmp_path / "page.html")] if command == "report" else []
    with pytest.raises(SystemExit) as ended:
        main([command, str(tmp_path), "reference=mine", *output])
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("bench: error: reference: unknown name 'mine'.")
    assert line.endswith("Known: m, r, x")
    assert not (tmp_path / "leaderboards").exists()


def test_a_rule_that_is_not_known_is_no_folder(tmp_path, capsys):
    comparison(tmp_path, drawn_curves("mrx"))
    for rule in ("refrence=m", "by=class"):
        with pytest.raises(SystemExit):
            main(["report", str(tmp_path), rule, "--output", str(tmp_path / "page.html")])
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("bench: error: rule: unknown name 'refrence'. Did you mean 'reference'")
    assert second.endswith("Known: auc, reference, test")


def test_the_page_has_a_table_of_its_own(tmp_path):
    write_results(tmp_path)
    page = tmp_path / "page.html"
    write_report([tmp_path], page, Console(quiet=True), reference="rise")
    assert page.read_text().count("Better than rise by") == 2
    assert "vs rise" in page.read_text()
    write_report([tmp_path], page, Console(quiet=True))
    assert "vs rise" not in page.read_text()


def test_why_nothing_is_compared_is_told(tmp_path):
    comparison(tmp_path, drawn_curves("mx"))
    comparison(tmp_path, drawn_curves("y"), backbone={"name": "other"})
    runs = stored_runs(tmp_path, "board")
    found = comparisons(runs, "board")
    (line,) = reference_remarks(runs, "board", found, "x")
    assert line.endswith("other · mine: no complete row is called x")
    (next(runs[0].folder.glob("insertion-*/part-*"))).unlink()
    runs = stored_runs(tmp_path, "board")
    name = runs[0].label("board")
    lines = reference_remarks(runs, "board", comparisons(runs, "board"), name)
    assert f"Reference {name}: 5 of 5 images missing, so nothing is compared with it" in lines
    assert "vs" not in to_markdown(leaderboard(runs, "board", reference=name))
