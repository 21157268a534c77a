from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.files import check_writable, file_name, write_atomically


def test_written_whole_and_replaced(tmp_path):
    path = tmp_path / "new folder" / "file.txt"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_what_stood_there_still_stands_after_a_failure(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    write_atomically(path, b"one")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(BenchError, match=r"file\.txt': No space left on device"):
        write_atomically(path, b"two")
    assert path.read_bytes() == b"one"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_folders_that_cannot_be_written(tmp_path):
    check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match=r"Not a directory at .*file'"):
        check_writable(tmp_path / "file" / "b")
    with pytest.raises(BenchError, match="results_dir=FOLDER"):
        check_writable(Path("/proc/nowhere"))  # not even root can


def test_file_names():
    assert file_name("a/b c:d-é_1.2") == "a-b-c-d-é_1.2"
    assert file_name("../..") == "unnamed"
