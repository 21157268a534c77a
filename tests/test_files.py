import os
import stat
from pathlib import Path

import pytest

from bench.errors import BenchError, BrokenFileError
from bench.files import LONGEST_NAME, check_writable, file_name, set_aside, write_atomically


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


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_files_follow_the_umask_and_the_folder_s_group(tmp_path, umask):
    tmp_path.chmod(0o2775)
    if os.getuid() == 0:
        os.chown(tmp_path, -1, 12345)
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "new" / "file.txt", b"one")
    finally:
        os.umask(before)
    folder, file = (path.stat() for path in (tmp_path / "new", tmp_path / "new/file.txt"))
    assert stat.S_IMODE(file.st_mode) == 0o666 & ~umask
    assert stat.S_IMODE(folder.st_mode) & 0o777 == 0o777 & ~umask
    assert file.st_gid == folder.st_gid == tmp_path.stat().st_gid


def test_long_names_are_cut_and_stay_apart(tmp_path):
    names = [letter * 300 + end for letter in ("a", "é", "/", "深") for end in ("1", "2")]
    short = [file_name(name) for name in names]
    assert len(set(short)) == len(names)
    assert max(len(name.encode()) for name in short) <= LONGEST_NAME
    for name in short:
        (tmp_path / name).write_text("")
    assert file_name("a" * LONGEST_NAME) == "a" * LONGEST_NAME
    assert file_name("\ud800" * 300) == "unnamed"


def test_broken_files_and_folders_are_set_aside_one_beside_the_other(tmp_path):
    for number in range(3):
        path = tmp_path / "part-a.parquet"
        path.write_text(str(number))
        assert "/broken-" in set_aside(BrokenFileError(path, "a reason"))
    path.mkdir()
    assert set_aside(BrokenFileError(path, "a folder")).endswith("(a folder)")
    names = {f"{name}-part-a.parquet" for name in ("broken", "broken-2", "broken-3", "broken-4")}
    assert {path.name for path in tmp_path.iterdir()} == names
    set_aside(BrokenFileError(path, "a folder"))  # another process was faster
