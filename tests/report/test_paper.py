import io
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from compared import comparison, drawn_curves
from compiled import needs_latex, overfull_boxes
from leaderboard_rows import board, shown
from stored_results import write_results

from bench.cli import main
from bench.errors import BenchError, BenchWarning
from bench.report.paper import PaperTable, tables_as_text, write_table
from bench.report.tables import to_latex
from bench.storage.store import stored_runs


@pytest.fixture
def results(tmp_path):
    """Three shipped methods, one of them a control, by the names of their configuration."""
    write_results(tmp_path)
    for run in stored_runs(tmp_path, "board"):
        cited = CITATIONS.get(run.identity.method.name, "")
        run.add_provenance("citations", {"method": cited})
    return tmp_path


CITATIONS = {
    "rise": "Petsiuk et al. 2018, arXiv 1806.07421",
    "grad_cam": "Selvaraju et al. 2017, arXiv 1610.02391",
}


def table_of(capsys, *arguments):
    main(["table", *map(str, arguments)])
    return capsys.readouterr().out


def test_a_table_has_titles_citations_caption_and_label(results, capsys):
    text = table_of(capsys, results, "--caption", r"Mean \emph{AUC}", "--label", "tab:auc")
    assert "\\caption{Mean \\emph{AUC}}\n\\label{tab:auc}\n" in text
    assert "Grad-CAM~\\cite{selvaraju2017gradcam} & " in text
    assert "RISE~\\cite{petsiuk2018rise} & " in text
    assert "\\textit{Random} & " in text
    assert "Method & Insertion $\\uparrow$ & Deletion $\\downarrow$ \\\\" in text
    assert "\\begin{table}" in text
    assert "grad_cam" not in text
    assert "\\begin{table*}" in table_of(capsys, results, "--width", "two")


def test_what_is_written_has_the_entries_of_its_keys(results, tmp_path, capsys):
    told = table_of(capsys, results, "--output", tmp_path / "auc.tex")
    assert told == f"Table: {tmp_path / 'auc.tex'}, {tmp_path / 'auc.bib'}\n"
    text, entries = ((tmp_path / f"auc.{ending}").read_text() for ending in ("tex", "bib"))
    for keys in re.findall(r"\\cite\{(.*?)\}", text):
        for key in keys.split(","):
            assert f"{{{key},\n" in entries
    table_of(capsys, results, "--format", "csv", "--output", tmp_path / "only.csv")
    assert not (tmp_path / "only.bib").exists()


def test_columns_are_named_as_in_the_csv(results, capsys):
    asked = "method,insertion_auc,insertion_ci,deletion_ci_low,n_images,seed,insertion_letters"
    text = table_of(capsys, results, "--columns", asked, "--format", "markdown")
    assert "| Method | Insertion ↑ | 95 % CI | deletion ci low | n images | seed | Group |" in text
    written = table_of(capsys, results, "--columns", asked, "--format", "csv").splitlines()
    assert written[0] == asked.replace("insertion_ci,", "insertion_ci_low,insertion_ci_high,")
    assert len(written) == 4


@pytest.mark.parametrize("kind", ["latex", "csv"])
def test_unknown_columns_are_told_with_those_there_are(results, capsys, kind):
    with pytest.raises(SystemExit):
        table_of(capsys, results, "--columns", "method,insertion", "--format", kind)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("bench: error: --columns: unknown name 'insertion'. Did you mean")
    assert "insertion_auc" in line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--reference", "mine"], "reference: unknown name 'mine'"),
        (["--label", "tab results"], "--label: expected letters, digits"),
        (["--format", "pdf"], "--format: unknown name 'pdf'"),
        (["--width", "three"], "--width: unknown name 'three'"),
        (["--leaderboard", "demo"], "--leaderboard: unknown name 'demo'"),
        (["reference=random", "--reference", "rise"], "reference: expected one"),
        (["more"], "expected one results folder, found 2"),
    ],
)
def test_what_cannot_be_asked_for_is_told_in_a_line(results, capsys, arguments, told):
    with pytest.raises(SystemExit) as ended:
        table_of(capsys, results, *arguments)
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_stars_are_of_differences_from_the_reference(tmp_path):
    heights = {"mine": 0.8, "close": 0.79, "far": 0.2}
    draws = np.random.default_rng(0)
    curves = {
        name: height + draws.uniform(-0.02, 0.02, size=(12, 3)) for name, height in heights.items()
    }
    comparison(tmp_path, curves)
    text = write_table(tmp_path, PaperTable("markdown", reference="close"))
    cells = {line.split(" | ")[0].strip("| "): line for line in text.splitlines() if "|" in line}
    assert "\\*" in cells["far"]
    assert "\\*" not in cells["close"]
    assert "differs from close" in text
    assert "the best, " not in text
    with_both = PaperTable("latex", ("method", "insertion_vs_reference"), reference="close")
    text = write_table(tmp_path, with_both)
    assert "far & $-$0." in text
    assert "vs close" in text


def test_minus_signs_are_real(tmp_path):
    columns = ("method", "insertion_vs_reference", "insertion_auc")
    comparison(tmp_path, drawn_curves("mrx", images=7))
    for kind in ("markdown", "html"):
        text = write_table(tmp_path, PaperTable(kind, columns, reference="m"))
        assert re.search(r"[|>] ?\N{MINUS SIGN}0\.\d{4}", text)
        assert not re.search(r"-\d", text)
    csv = write_table(tmp_path, PaperTable("csv", columns, reference="m"))
    assert re.search(r",-0\.\d{6}", csv)  # for programs


def test_rows_that_differ_never_print_alike():
    near = board(
        insertion_auc=[0.00101, 0.00102, 0.0010, 0.9], insertion_ci_low=0.001, insertion_ci_high=0.9
    )
    text = tables_as_text([shown(near)], PaperTable("markdown"))
    assert "**0.00102**" in text
    assert "<ins>0.00101</ins>" in text
    assert "0.00100" in text
    assert "\\underline{0.00101}" in to_latex(shown(near))


def test_narrow_intervals_are_seen():
    narrow = board(insertion_ci_low=0.600011, insertion_ci_high=0.600025)
    text = tables_as_text([shown(narrow)], PaperTable("markdown", width="two"))
    assert "0.60001..0.60003" in text


def test_rows_without_numbers_are_left_out_and_told(results):
    for run in stored_runs(results, "board"):
        if run.identity.method.name == "grad_cam":
            next(run.folder.glob("insertion-*/part-*")).unlink()
    with pytest.warns(BenchWarning, match="rows without numbers left out: Grad-CAM$"):
        text = write_table(results, PaperTable("markdown"))
    assert "| RISE |" in text
    assert "Grad-CAM" not in text


def test_a_leaderboard_without_a_complete_row_is_left_out_beside_others():
    whole, broken = board(), board(n_missing=3)
    with pytest.warns(BenchWarning, match="rows without numbers left out"):
        text = tables_as_text([shown(broken), shown(whole)], PaperTable("markdown"))
    assert text.count("| rise |") == 1
    with (
        pytest.warns(BenchWarning, match="left out"),
        pytest.raises(BenchError, match="expected a complete row, found none"),
    ):
        tables_as_text([shown(broken)], PaperTable("markdown"))


def test_html_means_nothing_but_what_it_says(tmp_path):
    named = board(method=["<b>x</b>", "a&b", "c", "d"])
    text = tables_as_text([shown(named)], PaperTable("html", caption="<script>"))
    assert "&lt;b&gt;x&lt;/b&gt;" in text
    assert "<caption>&lt;script&gt;</caption>" in text
    assert "<sup>***</sup>" in text


LONG = ["Gradient-weighted class activation maps of the last_block/conv_7", "b_%", "c", "[d] $x^2$"]


@needs_latex
@pytest.mark.parametrize("options", ["twocolumn", "10pt", "twocolumn,10pt,a4paper"])
@pytest.mark.parametrize("width", ["one", "two"])
@pytest.mark.filterwarnings("ignore:.*is printed small")
def test_no_box_is_overfull(tmp_path, options, width):
    wide = board(method=LONG, notes=["_".join(["long"] * 30), "/a/" + "folder/" * 20, None, None])
    every = tuple(name for name in wide if name not in ("notes", "comparison"))
    body = tables_as_text([shown(wide)], PaperTable(width=width))
    body += tables_as_text([shown(wide)], PaperTable(width=width, columns=every[:14]))
    body += tables_as_text([shown(board())], PaperTable(width=width))
    body += to_latex(shown(wide))
    assert overfull_boxes(tmp_path, body, options) == []


@needs_latex
def test_a_box_that_is_overfull_would_be_found(tmp_path):
    body = "\\begin{tabular}{l}\\rule{30cm}{1pt}\\end{tabular}\n"
    assert overfull_boxes(tmp_path, body)


@needs_latex
def test_stars_take_room_and_print_over_nothing(tmp_path):
    """The boxes of a row, as TeX has them, begin where the one before it has ended."""
    text = tables_as_text([shown(board())], PaperTable())
    assert "\\rlap" not in text
    widths = []
    for line in text.splitlines():
        if line.endswith("\\\\") and "&" in line and "Method" not in line:
            cell = line.split(" & ")[1]
            stars = re.findall(r"\*+", cell)
            widths.append(sum(map(len, stars)))
    assert set(widths) == {3}  # printed or as room, the same in each row


def test_help_needs_no_torch():
    code = (
        "import sys\nfrom bench.cli import main\n"
        "try:\n    main(['table', '--help'])\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--columns" in done.stdout


def test_several_tables_have_labels_and_captions_of_their_own(tmp_path):
    comparison(tmp_path, drawn_curves("mrx"))
    comparison(tmp_path, drawn_curves("yz"), backbone={"name": "other_net"})
    text = write_table(tmp_path, PaperTable(caption="Mean \\emph{AUC}", label="tab:auc"))
    assert re.findall(r"\\label\{(.*)\}", text) == ["tab:auc", "tab:auc-2"]
    captions = re.findall(r"\\caption\{(.*)\}", text)
    assert captions[0].startswith("Mean \\emph{AUC} (")
    assert "other\\_net" in captions[0] + captions[1]


def test_a_table_that_becomes_hard_to_read_is_told(results):
    columns = ("method", *["insertion_ci", "deletion_ci"] * 4)
    with pytest.warns(BenchWarning, match=r"is printed small where 58 fit .*fewer --columns$"):
        write_table(results, PaperTable(columns=columns))
    write_table(results, PaperTable(width="two"))


def test_csv_keeps_six_decimals(results):
    text = write_table(results, PaperTable("csv"))
    table = pd.read_csv(io.StringIO(text))
    assert table["method"].tolist() == ["RISE", "Grad-CAM", "Random"]
    assert re.search(r"0\.\d{6}", text)
