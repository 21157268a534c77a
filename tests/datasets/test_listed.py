import unicodedata

import pytest
from dataset_trees import write_image

from bench.datasets.listed import ImageList
from bench.errors import BenchError


def test_lines_are_split_at_the_last_space(image_folder):
    dataset = ImageList("mine", str(image_folder), str(image_folder / "list.txt"))
    assert len(dataset) == 7
    assert len(ImageList("m", str(image_folder), str(image_folder / "list.txt"), 2)) == 2
    assert dataset.samples[5].image_id == "class 1/photo 5.png"
    assert dataset.samples[5].target == 1
    assert dataset.samples[5].read().shape == (45, 31, 3)


def test_empty_lines_and_windows_line_ends_are_fine(image_folder, tmp_path):
    file = tmp_path / "other.txt"
    file.write_bytes(b"\xef\xbb\xbfclass 0/photo 0.png 0\r\n\r\nclass 1/photo 1.png 3\r\n")
    dataset = ImageList("mine", str(image_folder), str(file))
    assert [s.target for s in dataset.samples] == [0, 3]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("photo.png", "not 'relative/path label' with a whole number"),
        ("photo.png dog", "whole number"),
        ("photo.png -1", "whole number"),
        ("photo.png 1.5", "whole number"),
        ("photo.png \u0663", "whole number"),
        ("../secret.png 1", "leave the root"),
        ("/etc/passwd 1", "leave the root"),
        ("a/../../b.png 1", "leave the root"),
        ("class 9/gone.png 1", "are missing"),
        ("class 0/photo 0.png 0", "listed twice"),
        ("class 0/photo 0.png 2", "listed twice"),
    ],
)
def test_bad_lines_are_named(image_folder, tmp_path, line, message):
    file = tmp_path / "bad.txt"
    file.write_text(f"class 0/photo 0.png 0\n{line}\n", encoding="utf-8")
    with pytest.raises(BenchError, match=rf"bad\.txt': .*{message}.* \(1\): line 2: "):
        ImageList("mine", str(image_folder), str(file))


def test_missing_root_and_list(image_folder, tmp_path):
    with pytest.raises(BenchError, match=r"dataset\.root: .*nowhere' is not a folder"):
        ImageList("mine", str(tmp_path / "nowhere"), str(image_folder / "list.txt"))
    with pytest.raises(BenchError, match=r"dataset\.list: cannot read .*gone\.txt"):
        ImageList("mine", str(image_folder), str(tmp_path / "gone.txt"))


def test_a_list_that_is_no_text(image_folder, tmp_path):
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BenchError, match=r"dataset\.list: cannot read .*bad\.txt.*utf-8"):
        ImageList("mine", str(image_folder), str(tmp_path / "bad.txt"))


def test_only_line_feeds_end_lines(image_folder, tmp_path):
    name = "class 0/odd\x0b\u2028.png"
    (image_folder / "class 0/photo 0.png").rename(image_folder / name)
    (tmp_path / "list.txt").write_text(f"{name} 0", encoding="utf-8")
    dataset = ImageList("mine", str(image_folder), str(tmp_path / "list.txt"))
    assert [sample.image_id for sample in dataset.samples] == [name]


def test_a_header_is_skipped_and_shown(image_folder, tmp_path):
    file = tmp_path / "list.csv"
    file.write_text('path,label\n"class 1/photo 5.png",1\n', encoding="utf-8")
    dataset = ImageList("mine", str(image_folder), str(file))
    assert [(s.image_id, s.target) for s in dataset.samples] == [("class 1/photo 5.png", 1)]
    assert "1 lines, none of the published lists (without the header 'path,label')" in str(
        dataset.notes
    )
    file.write_text("class 1/photo 5.png 1\npath,label\n", encoding="utf-8")
    with pytest.raises(BenchError, match=r"\(1\): line 2: 'path,label'"):
        ImageList("mine", str(image_folder), str(file))


@pytest.mark.parametrize(
    "line",
    ["./{}\t12", "{}  12  ", "{},12", '"{}",12', '"{}";"12"', "{}, 12", ".//{} 12", "{}\t 0012"],
)
def test_ways_to_write_a_line(image_folder, tmp_path, line):
    names = ["class 1/photo 5.png", "class 0/photo 0.png"]
    file = tmp_path / "list.txt"
    file.write_text("\r\n\r\n".join(line.format(name) for name in names), encoding="utf-8")
    dataset = ImageList("mine", str(image_folder), str(file))
    assert [(s.image_id, s.target) for s in dataset.samples] == [(name, 12) for name in names]
    plain = tmp_path / "plain.txt"
    plain.write_text("".join(f"{name} 12\n" for name in names), encoding="utf-8")
    expected = ImageList("mine", str(image_folder), str(plain)).identity()
    assert dataset.identity() == expected


def test_absolute_paths_in_the_root(image_folder, tmp_path):
    (tmp_path / "linked").symlink_to(image_folder)
    file = tmp_path / "list.txt"
    file.write_text(
        f"{tmp_path}/linked/class 1/photo 5.png 1\n{image_folder}/class 0/photo 0.png 0"
    )
    dataset = ImageList("mine", str(tmp_path / "linked"), str(file))
    assert [s.image_id for s in dataset.samples] == ["class 1/photo 5.png", "class 0/photo 0.png"]
    file.write_text(f"{image_folder}/../class 0/photo 0.png 0")
    with pytest.raises(BenchError, match="leave the root"):
        ImageList("mine", str(image_folder), str(file))


def test_backslashes_and_line_ends_of_other_systems(image_folder, tmp_path):
    file = tmp_path / "list.txt"
    file.write_bytes(b"class 1\\photo 5.png 1\rclass 0\\photo 0.png 0\r")
    dataset = ImageList("mine", str(image_folder), str(file))
    assert [s.image_id for s in dataset.samples] == ["class 1/photo 5.png", "class 0/photo 0.png"]
    (tmp_path / "secret.png").write_bytes((image_folder / "class 0/photo 0.png").read_bytes())
    file.write_bytes(b"..\\secret.png 1")
    with pytest.raises(BenchError, match="are missing"):
        ImageList("mine", str(image_folder), str(file))


def test_a_name_that_holds_a_backslash(image_folder, tmp_path):
    write_image(image_folder / "a\\b.png")
    (tmp_path / "list.txt").write_text("a\\b.png 1")
    dataset = ImageList("mine", str(image_folder), str(tmp_path / "list.txt"))
    assert [s.image_id for s in dataset.samples] == ["a\\b.png"]


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("listed", ["NFC", "NFD"])
def test_accents_composed_or_not(tmp_path, on_disk, listed):
    write_image(tmp_path / unicodedata.normalize(on_disk, "é/ü.png"))
    name = unicodedata.normalize(listed, "é/ü.png")
    (tmp_path / "list.txt").write_text(f"{name} 1", encoding="utf-8")
    dataset = ImageList("mine", str(tmp_path), str(tmp_path / "list.txt"))
    assert [s.image_id for s in dataset.samples] == [name]
    other = unicodedata.normalize({"NFC": "NFD", "NFD": "NFC"}[listed], name)
    (tmp_path / "list.txt").write_text(f"{name} 1\n{other} 1", encoding="utf-8")
    with pytest.raises(BenchError, match=r"listed twice .*line 2: .* the same file as line 1"):
        ImageList("mine", str(tmp_path), str(tmp_path / "list.txt"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("./class 0/photo 0.png 0", r"listed twice \(1\): line 2"),
        ("class 0//photo 0.png,0", r"listed twice \(1\): line 2"),
        ("class 0/photo 1.png 1234567890", "whole number"),
        (f"class 0/photo 1.png {'9' * 5000}", r"whole number .*9\.\.\.'$"),
        (f"{'x' * 5000}.png 1", "are missing"),
        ("class 0/photo\0.png 1", r"whole number .*\(1\): line 2: 'class 0/photo\\0"),
        (",1", "whole number"),
    ],
)
def test_other_bad_lines(image_folder, tmp_path, line, message):
    file = tmp_path / "bad.txt"
    file.write_text(f"class 0/photo 0.png 0\n{line}\n", encoding="utf-8")
    with pytest.raises(BenchError, match=message):
        ImageList("mine", str(image_folder), str(file))


def test_a_list_that_is_written_for_another_root(image_folder, tmp_path):
    file = tmp_path / "list.txt"
    file.write_text(f"{image_folder.name}/class 0/photo 0.png 0")
    with pytest.raises(BenchError, match=rf"did you mean dataset\.root='{image_folder.parent}'\?"):
        ImageList("mine", str(image_folder), str(file))
    file.write_text("photo 0.png 0")
    with pytest.raises(BenchError, match=rf"did you mean dataset\.root='{image_folder}/class 0'\?"):
        ImageList("mine", str(image_folder), str(file))
