import pytest
from toy_rows import begin, rows

from bench.errors import BenchError
from bench.leaderboard.published import (
    COLUMNS,
    published_cells,
    published_files,
    published_subset,
    read_cells,
    recorded_cells,
)
from bench.leaderboard.table import leaderboard
from bench.storage.store import stored_runs


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(path, *cells, subset="correct"):
    """A file of cells (method, metric, value) of ResNet-101."""
    path.parent.mkdir(exist_ok=True)
    lines = [
        f"arXiv:1,board,cub,ResNet-101,{subset},{method},{metric},{value},a page"
        for method, metric, value in cells
    ]
    path.write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")
    return path


def test_published_cells_keep_blanks_out():
    cells = published_cells("cub_errors", "ResNet-101")
    assert cells["HSIC-Attribution"] == {"avg_highest_conf": 0.2493, "insertion_auc": 0.1446}
    assert cells["SMDL-Attribution (ICLR version)"] == {"avg_highest_conf": 0.4513}
    assert published_cells("cub", "ResNet-101")["RISE"]["deletion_auc"] == 0.0665
    assert published_cells("cub", "VGG19") == {}


def test_which_images_a_table_is_of():
    assert published_subset("cub_errors") == "misclassified"
    assert published_subset("cub") in ("correct", None)


def test_the_user_s_cells_follow_ours(tmp_path):
    before = published_cells("cub", "ResNet-101")
    write(tmp_path / "published/cub.csv", ("Sobol", "deletion_auc", "0.08"), ("Mine", "srg", ""))
    assert published_cells("cub", "ResNet-101") == {
        **before, "Sobol": {"deletion_auc": 0.08}, "Mine": {},
    }  # fmt: skip
    assert published_cells("celeba", "ArcFace ResNet-101")["RISE"]["deletion_auc"] == 0.1444


def test_the_images_of_our_tables_are_known(tmp_path):
    write(tmp_path / "published/cub.csv", ("Sobol", "deletion_auc", "0.1"), subset="all")
    assert published_subset("cub") == "correct"


def test_ours_stand_where_the_user_s_differ(tmp_path):
    cells = [("RISE", "deletion_auc", "0.5"), ("RISE", "insertion_auc", "0.71930")]
    write(tmp_path / "published/cub.csv", *cells)
    with pytest.warns(match=r"1 cells differ .* stand \(ResNet-101 RISE deletion_auc\)"):
        found = published_cells("cub", "ResNet-101")["RISE"]
    assert found == {"deletion_auc": 0.0665, "insertion_auc": 0.7193}


def test_a_table_of_the_user_s_alone(tmp_path):
    assert recorded_cells("mine") == {}
    assert published_subset("mine") is None
    write(tmp_path / "published/mine.csv", ("A", "srg", "54.16"), subset="misclassified")
    assert published_cells("mine", "ResNet-101") == {"A": {"srg": 54.16}}
    assert published_subset("mine") == "misclassified"


def test_folders_that_the_environment_names(tmp_path, monkeypatch):
    write(tmp_path / "one/cub.csv", ("Sobol", "deletion_auc", "0.1"))
    write(tmp_path / "two/cub.csv", ("Sobol", "deletion_auc", "0.1"), ("LIME", "srg", "0.2"))
    monkeypatch.setenv("BENCH_PUBLISHED", "one:two:missing")
    with pytest.warns(match="BENCH_PUBLISHED: folder 'missing' is missing"):
        cells = published_cells("cub", "ResNet-101")
        files = [path.as_posix() for path in published_files()]
    assert cells["Sobol"] == {"deletion_auc": 0.1}
    assert cells["LIME"]["srg"] == 0.2
    assert files == ["one/cub.csv", "two/cub.csv"]


LINE = "arXiv:1,board,cub,ResNet-101,correct,RISE,deletion_auc,0.1,a page\n"
HEADER = ",".join(COLUMNS) + "\n"
BAD = {
    "empty": ("", "expected the columns"),
    "other columns": ("image,label\n1,2\n", "found 'image,label'"),
    "no text": (b"\xff\xfe\x00", "is no CSV of published cells"),
    "a field that is too long": ('"' + "a" * 200_000, "is no CSV of published cells"),
    "a short line": (HEADER + "arXiv:1,board\n", "row 1: expected 9 fields, found 2"),
    "no number": (HEADER + LINE.replace("0.1", "nan"), "row 1: value: expected a decimal number"),
    "per cent": (HEADER + LINE.replace("0.1", "10%"), "found '10%'"),
    "no source": (HEADER + LINE.replace("a page", ""), "source: expected where the cell can"),
    "twice": (HEADER + LINE * 2, "row 2: ('ResNet-101', 'RISE', 'deletion_auc') stands there"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_files_of_something_else(tmp_path, case):
    content, expected = case
    path = tmp_path / "published/cub.csv"
    path.parent.mkdir()
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BenchError) as told:
        read_cells(path)
    assert "cub.csv'" in str(told.value) and "\n" not in str(told.value)
    assert expected in str(told.value)
    with pytest.warns(match="its cells are left out"):
        assert published_cells("cub", "ResNet-101")["RISE"]["deletion_auc"] == 0.0665


def test_a_file_as_spreadsheets_save_it(tmp_path):
    path = tmp_path / "cub.csv"
    path.write_bytes(b"\xef\xbb\xbf" + (HEADER + LINE + "\n").replace("\n", "\r\n").encode())
    (cell,) = read_cells(path)
    assert (cell.table, cell.value, cell.source) == ("cub", "0.1", "a page")


def test_leaderboards_show_them(tmp_path):
    run = begin(tmp_path / "results")
    repeated = {
        "table": "cub", "backbone": "ResNet-101", "method": "Sobol", "note": "",
        "deviations": [], "unverified": [],
    }  # fmt: skip
    run.set_label("board", "sobol", repeated)
    run.append(rows("a", "b", "c"))
    cells = ("Sobol", "deletion_auc", "0.08"), ("Grad-CAM", "insertion_auc", "0.66")
    write(tmp_path / "published/cub.csv", *cells)
    board = leaderboard(stored_runs(tmp_path / "results", "board"), "board").rows
    board = board.set_index("method")
    assert board.loc["sobol", "published_deletion_auc"] == 0.08
    expected = board.loc["sobol", "deletion_auc"] - 0.08
    assert board.loc["sobol", "deletion_delta"] == pytest.approx(expected)
    assert board.loc["Grad-CAM", "published_insertion_auc"] == 0.66
    assert board.loc["RISE", "published_insertion_auc"] == 0.7193
    assert board["notes"].dropna().to_dict() == {
        "sobol": "published cells of published/cub.csv",
        "Grad-CAM": "published cells of published/cub.csv",
    }
