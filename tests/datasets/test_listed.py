import pytest

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
