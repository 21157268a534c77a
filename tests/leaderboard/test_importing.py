import pytest
from archives import CUB, FACES, archive, dataset, row, task, write_json

from bench.errors import BenchError
from bench.leaderboard.archive import read_archive
from bench.leaderboard.importing import (
    CONTRADICTORY,
    MIXED,
    NO_SHARE,
    UNKNOWN_BOARD,
    UNKNOWN_COLUMN,
    UNKNOWN_METHOD,
    compare_archives,
    shown,
    write_cells,
)
from bench.leaderboard.published import COLUMNS, published_cells, read_cells


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def compared(tmp_path, *tasks, name="tables.json.gz", folder="published"):
    read = read_archive(write_json(tmp_path / name, [*tasks]))
    return compare_archives([read], tmp_path / folder)


def of_cub(*rows):
    return task("Image Attribution", dataset("CUB-200-2011", *rows))


def values(cells):
    return {(cell.table, cell.method, cell.metric): cell.value for cell in cells}


def unplaced(imported):
    return {(each.place, each.reason): n for each, n in imported.unplaced.items() if n}


def test_what_fills_agrees_differs_and_what_cannot_be_placed(tmp_path):
    found = compared(tmp_path, *archive())
    assert values(found.filled) == {
        ("celeba", "Sobol", "deletion_auc"): "0.1345",
        ("cub", "Grad-CAM", "deletion_auc"): "0.081",
        ("cub", "HSIC-Attribution", "deletion_auc"): "0.0710",
        ("cub", "HSIC-Attribution", "insertion_auc"): "0.6843",
    }
    assert values(found.agreeing) == {
        ("celeba", "Saliency", "deletion_auc"): "0.1453",
        ("celeba", "Saliency", "insertion_auc"): "0.4632",
        ("cub", "RISE", "deletion_auc"): "0.0665",
        ("cub", "RISE", "insertion_auc"): "0.7193",
        ("cub", "Kernel SHAP", "deletion_auc"): "0.1016",
    }
    ((theirs, recorded),) = found.disagreeing
    assert (theirs.method, theirs.value, recorded.value) == ("Kernel SHAP", "0.6700", "0.6763")
    assert recorded.source == "https://vercel.hyper.ai/en/papers/1705.07874"
    assert found.num_blank == 2
    assert unplaced(found) == {
        ("Image Attribution on CelebA: column 'Speed'", UNKNOWN_COLUMN): 1,
        ("Image Attribution on CUB-200-2011: method 'SMDL-Attribution'", UNKNOWN_METHOD): 2,
        ("Image Attribution on ImageNet", UNKNOWN_BOARD): 1,
    }


def test_a_filled_cell_is_of_its_table_and_names_its_source(tmp_path):
    found = compared(tmp_path, *archive())
    (cell,) = (each for each in found.filled if each.method == "Grad-CAM")
    assert (cell.leaderboard, cell.benchmark) == ("image-attribution-on-cub-200-2011-1", "cub")
    assert (cell.backbone, cell.subset, cell.paper) == ("ResNet-101", "correct", "arXiv:2402.09164")
    file, _, rest = cell.source.partition(" (sha256 ")
    assert file == "tables.json.gz"
    assert rest[64:] == (
        "): Less is More: Fewer Interpretable Region via Submodular Subset Selection; "
        "https://arxiv.org/abs/2402.09164v3; per cent there"
    )


def test_the_blank_cell_of_the_record_is_filled(tmp_path):
    column = "Insertion AUC score (ResNet-101)"
    name = "SMDL-Attribution (ICLR version)"
    tasks = task("Error Understanding", dataset("CUB-200-2011", row(name, {column: "0.1772"})))
    (cell,) = compared(tmp_path, tasks).filled
    assert (cell.table, cell.method, cell.value) == ("cub_errors", name, "0.1772")
    write_cells([cell], tmp_path / "published")
    assert published_cells("cub_errors", "ResNet-101")[name]["insertion_auc"] == 0.1772


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["8.1", "9.25"], ["0.081", "0.0925"]),
        (["8.1", "9.25 %"], ["0.081", "0.0925"]),
        (["0.081", "9.25%"], ["0.081", "0.0925"]),
        (["0", "1"], ["0", "1"]),
        ([".5", "100%"], [".5", "1"]),
        (["8.1", "0.9"], [MIXED, MIXED]),
        (["8.1%", "105 %"], ["0.081", NO_SHARE]),
        (["0.5", "-0.5"], ["0.5", NO_SHARE]),
        (["0,5", "nan"], [NO_SHARE, NO_SHARE]),
        (["1e-3", "0x1"], [NO_SHARE, NO_SHARE]),
        (["1e999999999", "9" * 5000], [NO_SHARE, NO_SHARE]),
        (["٣", "0.5 ± 0.1"], [NO_SHARE, NO_SHARE]),
        (["=cmd()", "\x1b[2J"], [NO_SHARE, NO_SHARE]),
    ],
)
def test_values(tmp_path, texts, expected):
    rows = [row(name, {CUB[0]: text}) for name, text in zip(("Sobol", "HSIC"), texts, strict=True)]
    found = compared(tmp_path, of_cub(*rows))
    read = {cell.method: float(cell.value) for cell in found.filled}
    for name, reason in zip(("Sobol", "HSIC-Attribution"), expected, strict=True):
        if reason in (MIXED, NO_SHARE):
            (place,) = (each for each in found.unplaced if f": {name}, " in each.place)
            assert place.reason == reason
            assert place.place.isprintable() and len(place.place) < 250
        else:
            assert read.pop(name) == float(reason)
    assert read == {}


def test_rows_of_one_cell(tmp_path):
    """Equal ones are one, as in several files of one archive; others contradict each other."""
    equal = [row("Sobol", {CUB[0]: "0.081"}), row("sobol", {CUB[0]: "8.10%"})]
    found = compared(tmp_path, of_cub(*equal))
    assert values(found.filled) == {("cub", "Sobol", "deletion_auc"): "0.081"}
    found = compared(tmp_path, of_cub(equal[0], row("SOBOL", {CUB[0]: "0.09"})))
    assert found.filled == []
    place = "cub: ResNet-101, Sobol, deletion_auc: 0.081 and 0.09"
    assert unplaced(found) == {(place, CONTRADICTORY): 2}


def test_cells_are_written_once_and_found_by_leaderboards(tmp_path):
    found = compared(tmp_path, *archive())
    folder = tmp_path / "published"
    assert write_cells(found.filled, folder) == [folder / "celeba.csv", folder / "cub.csv"]
    assert read_cells(folder / "celeba.csv") + read_cells(folder / "cub.csv") == found.filled
    assert published_cells("cub", "ResNet-101")["Grad-CAM"] == {"deletion_auc": 0.081}
    again = compared(tmp_path, *archive())
    assert again.filled == []
    assert len(again.agreeing) == len(found.agreeing) + len(found.filled)


def test_a_cell_of_another_source_stays(tmp_path):
    write_cells(compared(tmp_path, *archive()).filled, tmp_path / "published")
    before = (tmp_path / "published/cub.csv").read_bytes()
    other = of_cub(row("Grad-CAM", {CUB[0]: "0.09", CUB[1]: "0.7"}))
    found = compared(tmp_path, other, name="other.json")
    assert values(found.filled) == {("cub", "Grad-CAM", "insertion_auc"): "0.7"}
    ((theirs, recorded),) = found.disagreeing
    assert (theirs.value, recorded.value) == ("0.09", "0.081")
    assert recorded.source.startswith("tables.json.gz (sha256 ")
    with pytest.raises(BenchError, match=r"has the value 0\.081 already"):
        write_cells([theirs], tmp_path / "published")
    assert (tmp_path / "published/cub.csv").read_bytes() == before


def test_cells_of_every_folder_count_as_on_record(tmp_path, monkeypatch):
    write_cells(compared(tmp_path, *archive()).filled, tmp_path / "shared")
    assert len(compared(tmp_path, *archive()).filled) == 4
    assert compared(tmp_path, *archive(), folder="shared").filled == []
    monkeypatch.setenv("BENCH_PUBLISHED", "shared")
    assert compared(tmp_path, *archive()).filled == []


def test_nothing_is_written_where_one_file_cannot_be(tmp_path):
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "cub.csv").write_text("image,label\n1,2\n")
    with pytest.warns(match=r"expected the columns .*: its cells are left out"):
        found = compared(tmp_path, *archive())
    with pytest.raises(BenchError, match=r"cub\.csv': expected the columns paper,"):
        write_cells(found.filled, folder)
    assert [path.name for path in folder.iterdir()] == ["cub.csv"]
    assert (folder / "cub.csv").read_text() == "image,label\n1,2\n"


def test_a_blank_cell_of_the_user_is_replaced(tmp_path):
    (cell,) = compared(tmp_path, of_cub(row("Sobol", {CUB[0]: "0.1"}))).filled
    (tmp_path / "published").mkdir()
    line = ["" if name == "value" else getattr(cell, name).split(";")[0] for name in COLUMNS]
    line = ",".join(f'"{each}"' for each in line)
    (tmp_path / "published/cub.csv").write_text(f"{','.join(COLUMNS)}\n{line}\n")
    (cell,) = compared(tmp_path, of_cub(row("Sobol", {CUB[0]: "0.1"}))).filled
    write_cells([cell], tmp_path / "published")
    assert read_cells(tmp_path / "published/cub.csv") == [cell]


HOSTILE = "../../etc/passwd\x1b[2J\r\n=HYPERLINK('x')\u202e\ud800"


def test_hostile_names_lead_nowhere_and_are_escaped(tmp_path):
    strange = row(HOSTILE, {CUB[0]: "0.1", HOSTILE: "0.2"})
    titled = row("Sobol", {CUB[0]: "0.1"}, title=HOSTILE * 50, url="=HYPERLINK('http://x')")
    board = dataset("CUB-200-2011", strange, titled)
    found = compared(
        tmp_path, task("Image Attribution", board, dataset(HOSTILE, titled)), name="a.json"
    )
    assert all(each.place.isprintable() for each in found.unplaced)
    assert found.unplaced.total() == 3
    (cell,) = found.filled
    assert cell.paper == "not stated"
    assert cell.source.isprintable() and len(cell.source) < 400
    assert cell.source.startswith("a.json (sha256 ")
    (path,) = write_cells(found.filled, tmp_path / "published")
    assert path == tmp_path / "published/cub.csv"
    assert read_cells(path) == [cell]


@pytest.mark.parametrize(
    ("url", "paper"),
    [
        ("https://arxiv.org/abs/2206.06219v2", "arXiv:2206.06219"),
        ("http://arxiv.org/pdf/2206.06219.pdf", "arXiv:2206.06219"),
        (
            "https://openreview.net/forum?id=jKTUlxo5zy",
            "https://openreview.net/forum?id=jKTUlxo5zy",
        ),
        ("javascript:alert(1)", "not stated"),
        ("https://arxiv.org/abs/2206.06219\n=1", "not stated"),
        ("", "not stated"),
    ],
)
def test_the_paper_of_a_cell(tmp_path, url, paper):
    (cell,) = compared(tmp_path, of_cub(row("Sobol", {CUB[0]: "0.1"}, url=url))).filled
    assert cell.paper == paper


def test_faces_have_networks_of_their_own(tmp_path):
    found = compared(tmp_path, of_cub(row("Sobol", {FACES[0]: "0.1"})))
    assert found.filled == []
    assert [each.reason for each in found.unplaced] == [UNKNOWN_COLUMN]


def test_long_text_is_cut():
    assert shown("a" * 80) == "a" * 80
    assert shown("a" * 81) == "a" * 77 + "..."
    assert shown("\x1b" * 80, 20) == "\\x1b\\x1b\\x1b\\x1b\\..."
