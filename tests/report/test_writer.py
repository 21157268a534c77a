import cv2
import numpy as np
import pytest
from compared import comparison, drawn_curves
from matplotlib.figure import Figure
from rich.console import Console

from bench.report import writer
from bench.report.figures import CaptionedFigure
from bench.report.writer import write_figures
from bench.storage.pictures import Picture, pictures_folder, save_picture


@pytest.fixture
def console():
    return Console(record=True, width=300)


def files(folder):
    """Names of the drawn files."""
    paths = (folder / "leaderboards").iterdir()
    return {path.name for path in paths if path.suffix != ".json"}


def both(*names):
    return {f"board_{name}.{kind}" for name in names for kind in ("png", "svg")}


def test_figures_of_rows_pictures_and_maps(tmp_path, console):
    one = comparison(
        tmp_path,
        drawn_curves("m", points=3),
        maps={"m": {"a": np.eye(4, dtype=np.float32)}},
        protocol={part: {"steps": 2} for part in ("insertion", "deletion")},
    )
    photo = np.zeros((4, 4, 3), np.uint8)
    folder = pictures_folder(tmp_path, one.title, one.key)
    for image_id in one.image_ids:
        save_picture(folder, Picture(image_id, photo, "0", {"insertion": photo, "deletion": photo}))
    write_figures(tmp_path, "board", one.runs["m"], console)
    assert files(tmp_path) == both("curves", "distributions", "maps", "gallery_m")
    png = cv2.imread(str(tmp_path / "leaderboards/board_curves.png"))
    assert png.shape[1] == 1400
    assert (tmp_path / "leaderboards/board_curves.svg").read_text().startswith("<?xml")
    (line,) = console.export_text().splitlines()  # not one for each file
    assert line == f"Figures:     {tmp_path}/leaderboards/board_*.png, .svg (4)"


def test_ranks_where_there_are_several_benchmarks(tmp_path, console):
    comparison(tmp_path, drawn_curves("x"), backbone={"name": "other"})
    one = comparison(tmp_path, drawn_curves("m"))
    write_figures(tmp_path, "board", one.runs["m"], console)
    assert files(tmp_path) == both(
        "curves", "distributions", "benchmarks_insertion", "benchmarks_deletion"
    )


def test_nothing_is_drawn_of_rows_that_are_not_complete(tmp_path, console):
    run = comparison(tmp_path, drawn_curves("m")).runs["m"]
    (next(run.folder.glob("insertion-*/part-*"))).unlink()
    write_figures(tmp_path, "board", run, console)
    assert not (tmp_path / "leaderboards").exists()
    assert not console.export_text()


def test_figures_stay_in_their_folder_whatever_a_metric_is_called(tmp_path, console, monkeypatch):
    named = CaptionedFigure("ranks_../../x y", "title", "caption.", Figure())
    monkeypatch.setattr(writer, "diagrams", lambda comparison: [named])
    one = comparison(tmp_path, drawn_curves("m"))
    write_figures(tmp_path, "board", one.runs["m"], console)
    assert files(tmp_path) == both("ranks_..-..-x-y")


def test_figures_that_would_show_the_same_are_kept(tmp_path, console, monkeypatch):
    drawn = []

    def diagrams(comparison):
        drawn.append(comparison.title)
        return [CaptionedFigure("curves", "title", "caption.", Figure())]

    monkeypatch.setattr(writer, "diagrams", diagrams)
    one = comparison(tmp_path, drawn_curves("m"))
    for _ in range(2):
        write_figures(tmp_path, "board", one.runs["m"], console)
    first, second = console.export_text().splitlines()
    assert len(drawn) == 1
    assert first.endswith("board_*.png, .svg (1)")
    assert second.endswith("board_*.png, .svg (1, as they are)")
    (tmp_path / "leaderboards/board_curves.svg").write_text("edited")
    write_figures(tmp_path, "board", one.runs["m"], console)
    assert len(drawn) == 2
    assert (tmp_path / "leaderboards/board_curves.svg").read_text().startswith("<?xml")
    comparison(tmp_path, drawn_curves("x"), backbone={"name": "other"})
    write_figures(tmp_path, "board", one.runs["m"], console)
    assert len(drawn) == 3
