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
        ("photo.png", "expected 'relative/path label'"),
        ("photo.png dog", "whole number"),
        ("photo.png -1", "whole number"),
        ("photo.png 1.5", "whole number"),
        ("../secret.png 1", "leaves the root"),
        ("/etc/passwd 1", "leaves the root"),
        ("a/../../b.png 1", "leaves the root"),
    ],
)
def test_bad_lines_are_named(image_folder, tmp_path, line, message):
    file = tmp_path / "bad.txt"
    file.write_text(f"class 0/photo 0.png 0\n{line}\n")
    with pytest.raises(BenchError, match=rf"bad\.txt:2: .*{message}"):
        ImageList("mine", str(image_folder), str(file))


def test_missing_root_and_list(image_folder, tmp_path):
    with pytest.raises(BenchError, match=r"dataset\.root: .*nowhere' is not a folder"):
        ImageList("mine", str(tmp_path / "nowhere"), str(image_folder / "list.txt"))
    with pytest.raises(BenchError, match=r"dataset\.list: cannot read .*gone\.txt"):
        ImageList("mine", str(image_folder), str(tmp_path / "gone.txt"))
