import pandas as pd
import pytest
from dataset_trees import write_lines

from bench.datasets.official import count_files, locate, read_table, same_keys
from bench.datasets.problems import Problems
from bench.errors import BenchError

COLUMNS = {"image": int, "path": str}


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_files_are_found_where_they_may_lie(tmp_path):
    touch(tmp_path, "a.txt", "Anno/b.txt", "Eval/a.txt")
    found = locate(tmp_path, ["a.txt", "b.txt"], "Set", ("", "Anno", "Eval"))
    assert found == {"a.txt": tmp_path / "a.txt", "b.txt": tmp_path / "Anno/b.txt"}


def test_a_root_too_high_or_too_low(tmp_path, monkeypatch):
    touch(tmp_path, "data/SET/a.txt", "data/SET/images/1/x.jpg", "other/y")
    for root in ("", "data", "data/SET/images", "data/SET/images/1"):
        with pytest.raises(BenchError, match=rf"Did you mean '{tmp_path}/data/SET'\?"):
            locate(tmp_path / root, ["a.txt", "images"], "Set")
    monkeypatch.chdir(tmp_path / "data/SET/images")
    with pytest.raises(BenchError, match=rf"'\.' does not hold a\.txt.*'{tmp_path}/data/SET'\?"):
        locate(".", ["a.txt"], "Set")


def test_a_root_that_is_not_the_set_at_all(tmp_path):
    touch(tmp_path, "deep/image.txt", "deep/x")
    with pytest.raises(BenchError) as raised:
        locate(tmp_path / "deep", ["images.txt", "x"], "Set")
    assert str(raised.value) == (
        f"dataset.root: '{tmp_path}/deep' does not hold images.txt; expected the folder of Set "
        "with images.txt, x. The nearest name there is 'image.txt'"
    )
    with pytest.raises(BenchError, match=r"with zzz\. There is: image\.txt, x$"):
        locate(tmp_path / "deep", ["zzz"], "Set")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BenchError, match=r"There is: nothing"):
        locate(tmp_path / "empty", ["zzz"], "Set")


def test_many_names_are_cut_short(tmp_path):
    touch(tmp_path, *"bcdefg")
    with pytest.raises(BenchError, match=r"There is: b, c, d, e, f, \.\.\.$"):
        locate(tmp_path, ["zzz"], "Set")


def test_a_root_that_does_not_exist(tmp_path):
    (tmp_path / "CUB_200_2011").mkdir()
    expected = r"is not a folder; expected that of Set\. The nearest name there is 'CUB_200_2011'"
    with pytest.raises(BenchError, match=expected):
        locate(tmp_path / "CUB_200_211", ["a"], "Set")
    with pytest.raises(BenchError, match=r"is not a folder; expected that of Set$"):
        locate(tmp_path / "no/where", ["a"], "Set")


def test_a_table(tmp_path):
    path = write_lines(tmp_path / "t.txt", "1 a/ü.jpg", "2   \"b'.jpg", "", "10 NA", "")
    table = read_table(path, COLUMNS)
    assert table.to_dict("list") == {"image": [1, 2, 10], "path": ["a/ü.jpg", "\"b'.jpg", "NA"]}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1 a", "x b", "3 c", "y d"], r"found 'x b' as entry 2 \(2 such lines\)"),
        (["1 a", "-2 b"], r"found '-2 b' as entry 2 \(1 such lines\)"),
        (["1 a", "1.5 b"], r"found '1.5 b'"),
        (["1 a", "2"], r"found '2' as entry 2"),
        (["1 a b", "2 a c"], r"found 3 columns: is this the original file\?"),
        (["1", "2"], r"found 1 columns"),
        (["1 a", "2 b c"], r"expected lines 'image path': .*2"),
        ([""], r"expected lines 'image path': No columns"),
        (["99999999999999999999999 a"], r"found '9+ a' as entry 1"),
    ],
)
def test_a_bad_table(tmp_path, lines, message):
    path = write_lines(tmp_path / "t.txt", *lines)
    with pytest.raises(BenchError, match=rf"t\.txt': .*{message}"):
        read_table(path, COLUMNS)


def test_a_table_that_cannot_be_read(tmp_path):
    with pytest.raises(BenchError, match=r"cannot read '.*gone\.txt': No such file"):
        read_table(tmp_path / "gone.txt", COLUMNS)
    (tmp_path / "latin.txt").write_bytes(b"1 \xff\n")
    with pytest.raises(BenchError, match=r"latin\.txt': .*utf-8"):
        read_table(tmp_path / "latin.txt", COLUMNS)


def test_tables_that_speak_of_the_same_things():
    first, second = pd.DataFrame({"id": [1, 2, 3]}), pd.DataFrame({"id": [3, 1, 2]})
    problems = Problems("set")
    same_keys({"a.txt": first, "b.txt": second}, "id", problems)
    assert problems.lines() == []


def test_tables_that_do_not():
    first, second = pd.DataFrame({"id": [1, 2, 2, 2, 7]}), pd.DataFrame({"id": [1, 1, 2, 8, 9]})
    problems = Problems("set")
    same_keys({"a.txt": first, "b.txt": second}, "id", problems)
    assert problems.lines() == [
        "entries twice in a.txt (1): '2'",
        "entries twice in b.txt (1): '1'",
        "entries of a.txt that b.txt lacks (1): '7'",
        "entries of b.txt that a.txt lacks (2): '8'; '9'",
    ]


def test_files_are_counted_below(tmp_path):
    touch(tmp_path, "a/1.jpg", "a/b/2.jpg", "3.jpg", ".DS_Store", "a/.hidden")
    assert count_files(tmp_path) == 3
    assert count_files(tmp_path / "gone") == 0
