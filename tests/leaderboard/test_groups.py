import numpy as np
import pandas as pd
import pytest
from compared import bootstrap_interval, comparison, drawn_curves

from bench.cli import main
from bench.errors import BenchError
from bench.leaderboard.comparison import comparisons
from bench.leaderboard.groups import NO_GROUP, group_means, read_grouping, without_group
from bench.storage.store import stored_runs


@pytest.fixture
def found(tmp_path):
    return comparison(tmp_path, drawn_curves("mrx", images=7), controls=("r",))


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "sexes.csv"
    lines = ["path,sex,note", "a,male,", "b,female,x", "c,male,", "d,female,", "e,male,", "f,,"]
    file.write_text("\n".join([*lines, "zz,male,"]), encoding="utf-8-sig")
    return file


@pytest.mark.parametrize("metric", ["insertion", "deletion"])
def test_means_intervals_and_counts_are_those_of_the_images_of_a_group(found, file, metric):
    table = group_means(found, read_grouping(f"{file}:sex"))
    assert table["group"].drop_duplicates().tolist() == ["female", "male", NO_GROUP]
    values = found.values(metric)
    cells = table[table["metric"] == metric].set_index(["group", "method"])
    for group, images in {"male": "ace", "female": "bd", NO_GROUP: "fg"}.items():
        for method in found.runs:
            cell, of_group = cells.loc[(group, method)], values.loc[list(images), method]
            assert cell["mean"] == pytest.approx(of_group.mean())
            ends = (cell["ci_low"], cell["ci_high"])
            assert ends == pytest.approx(bootstrap_interval(of_group), nan_ok=True)
            assert (cell["n_images"], cell["control"]) == (len(images), method == "r")


def test_images_without_a_group_are_counted_and_told(found, file):
    grouping = read_grouping(f"{file}:sex")
    (line,) = without_group([found], grouping)
    assert "2 of 7 images have no sex in" in line
    assert "'f' first: group (none)" in line
    assert not without_group([found], read_grouping("class"))


def test_classes_are_ordered_as_numbers_and_one_image_has_no_interval(found):
    for rows in found.rows.values():
        rows["image_label"] = [10, 2, 2, 10, 2, 9, 10]
    table = group_means(found, read_grouping("class"))
    assert table["group"].drop_duplicates().tolist() == ["2", "9", "10"]
    alone = table[table["group"] == "9"]
    assert (alone["n_images"] == 1).all()
    assert alone[["ci_low", "ci_high"]].isna().all(axis=None)
    assert table.loc[table["group"] != "9", "ci_low"].notna().all()


def test_values_that_are_not_finite_are_not_counted(found):
    rows = found.rows["x"]
    curves = rows["insertion_curve"].tolist()
    rows["insertion_curve"] = [np.full_like(curves[0], np.nan), *curves[1:]]
    table = group_means(found, read_grouping("class")).query("metric == 'insertion'")
    counts = dict(zip(table["method"], table["n_images"], strict=True))
    assert counts == {"m": 7, "r": 7, "x": 6}
    assert table["mean"].notna().all()


@pytest.mark.parametrize(
    ("by", "told"),
    [
        ("klass", r"^by: expected 'class' or FILE.csv:COLUMN, found 'klass'$"),
        ("{file}:sexx", r"unknown name 'sexx'\. Did you mean 'sex'\? Known: note, sex$"),
        ("{file}:path", r"unknown name 'path'"),
        ("{folder}/none.csv:sex", r"cannot be read"),
        ("{folder}/other.csv:sex", r"expected a column image_id or path that names the images"),
        ("{folder}/twice.csv:sex", r"expected one sex of 'a', found 'male' and 'female'$"),
        ("{folder}/bytes.csv:sex", r"is no CSV file in UTF-8"),
        ("{folder}/empty.csv:sex", r"found the columns of an empty file$"),
    ],
)
def test_what_cannot_be_grouped_by_is_told_in_a_line(tmp_path, file, by, told):
    (tmp_path / "other.csv").write_text("image,sex\na,male\n")
    (tmp_path / "twice.csv").write_text("image_id,sex\na,male\na,female\n")
    (tmp_path / "bytes.csv").write_bytes(b"image_id,sex\na,\xff\n")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(BenchError, match=told) as raised:
        read_grouping(by.format(file=file, folder=tmp_path))
    assert "\n" not in str(raised.value)


def test_a_file_of_other_images_is_refused(found, tmp_path):
    (tmp_path / "others.csv").write_text("image_id,sex\nzz,male\n")
    with pytest.raises(BenchError, match=r"has no sex of any of the 7 images .* such as 'a'$"):
        group_means(found, read_grouping(f"{tmp_path}/others.csv:sex"))


def test_another_leaderboards_files_are_not_written_over(found, tmp_path, file, capsys):
    found.runs["m"].set_label("board_by_sex", "m")
    with pytest.raises(SystemExit):
        main(["leaderboard", str(tmp_path), f"by={file}:sex"])
    assert "by: files of the leaderboard 'board_by_sex' are called as" in capsys.readouterr().err


def test_files_are_written_beside_the_leaderboard(found, tmp_path, file, capsys):
    main(["leaderboard", str(tmp_path), f"by={file}:sex"])
    (again,) = comparisons(stored_runs(tmp_path, "board"), "board")
    table = pd.read_csv(tmp_path / "leaderboards" / "board_by_sex.csv")
    expected = group_means(again, read_grouping(f"{file}:sex")).rename(columns={"group": "sex"})
    assert table["comparison"].unique().tolist() == [again.key]
    pd.testing.assert_frame_equal(table[expected.columns], expected, rtol=1e-5)
    text = (tmp_path / "leaderboards" / "board_by_sex.md").read_text()
    assert text.count("| sex | method | mean | 95 % | n |") == 2
    assert "| male | *r* |" in text
    assert "2 of 7 images have no sex" in text
    assert "board_by_sex.csv" in capsys.readouterr().out
