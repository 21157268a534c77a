import pytest
from dataset_trees import vggface2, write_lines

from bench.datasets import vggface2 as module
from bench.datasets.vggface2 import VggFace2
from bench.errors import BenchError


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "IDENTITIES", {"train": 3, "test": 2})
    return vggface2(tmp_path / "vggface2")


def listed(dataset):
    return [(sample.image_id, sample.target) for sample in dataset.samples]


def test_the_official_number_of_identities():
    assert module.IDENTITIES == {"train": 8631, "test": 500}


def test_labels_are_ranks_in_the_split(root):
    dataset = VggFace2("vggface2", str(root))
    assert listed(dataset) == [
        ("n000002/0001_01.jpg", 0), ("n000002/0007_01.jpg", 0),
        ("n000003/0001_01.jpg", 1), ("n000003/0007_01.jpg", 1),
        ("n000005/0001_01.jpg", 2), ("n000005/0007_01.jpg", 2),
    ]  # fmt: skip
    assert dataset.class_names == ["n000002", "n000003", "n000005"]
    assert dataset.samples[0].read().shape[2] == 3
    test = VggFace2("vggface2", str(root), "test", max_images=3)
    assert listed(test) == [
        ("n000001/0001_01.jpg", 0), ("n000001/0007_01.jpg", 0), ("n000009/0001_01.jpg", 1),
    ]  # fmt: skip


def test_a_list_as_the_paper_writes_it(root, tmp_path):
    lines = ["2/0007_01.jpg 2", "0/0001_01.jpg 0", "n000003/0001_01.jpg 1"]
    file = write_lines(tmp_path / "list.txt", *lines)
    dataset = VggFace2("vggface2", str(root), list=str(file))
    assert [f"{image_id} {label}" for image_id, label in listed(dataset)] == lines
    assert dataset.samples[0].path == root / "train/n000005/0007_01.jpg"
    assert dataset.samples[2].path == root / "train/n000003/0001_01.jpg"
    assert "none of the published lists" in dataset.notes[0]
    assert len(VggFace2("vggface2", str(root), list=str(file), max_images=1)) == 1


def test_all_that_is_wrong_with_a_list_is_told_at_once(root, tmp_path):
    file = write_lines(
        tmp_path / "list.txt", "0/0099_01.jpg 0", "n000002/0001_01.jpg 1", "3/0001_01.jpg 3",
        "0001_01.jpg 0",
    )  # fmt: skip
    with pytest.raises(BenchError) as raised:
        VggFace2("vggface2", str(root), list=str(file))
    for expected in (
        "images that are missing (1): line 1: ",
        "line 2: 'n000002/0001_01.jpg 1', expected label 0",
        "line 3: '3/0001_01.jpg 3': '3' is neither a label nor an identity",
        "line 4: '0001_01.jpg 0': '' is neither",
    ):
        assert expected in str(raised.value)


def test_folders_that_are_not_all_give_no_ranks(root):
    (root / "train/n000003").rename(root / "train/other")
    with pytest.raises(BenchError, match=r"has 2 folders nXXXXXX, expected all 3: .*labels=FILE"):
        VggFace2("vggface2", str(root))


def test_other_folders_do_not_count(root):
    (root / "train/.cache").mkdir()
    (root / "train/n00000x").mkdir()
    assert len(VggFace2("vggface2", str(root))) == 6


def test_labels_from_a_file(root, tmp_path):
    labels = write_lines(tmp_path / "labels.txt", "n000005 40", "n000002 7")
    dataset = VggFace2("vggface2", str(root), labels=str(labels))
    assert {(s.image_id[:7], s.target) for s in dataset.samples} == {
        ("n000005", 40),
        ("n000002", 7),
    }
    assert dataset.class_names is None
    file = write_lines(tmp_path / "list.txt", "40/0007_01.jpg 40", "n000002/0001_01.jpg 7")
    dataset = VggFace2("vggface2", str(root), list=str(file), labels=str(labels))
    assert dataset.samples[0].path == root / "train/n000005/0007_01.jpg"
    complete = write_lines(tmp_path / "labels.txt", "n000005 0", "n000002 1")
    assert VggFace2("v", str(root), labels=str(complete)).class_names == ["n000005", "n000002"]
    twice = write_lines(tmp_path / "labels.txt", "n000005 0", "n000005 1", "x")
    with pytest.raises(
        BenchError, match=r"(?s)with a whole number.*'x'.*listed twice \(1\): line 2"
    ):
        VggFace2("v", str(root), labels=str(twice))
    with pytest.raises(BenchError, match=r"dataset\.labels: cannot read .*gone"):
        VggFace2("v", str(root), labels="gone.txt")


def test_wrong_root_and_split(root):
    with pytest.raises(BenchError, match=rf"does not hold train; .* Did you mean '{root}'\?"):
        VggFace2("vggface2", str(root / "train"))
    with pytest.raises(BenchError, match=r"dataset\.split: unknown name 'all'"):
        VggFace2("vggface2", str(root), "all")


def test_figures_of_the_splits_that_are_there(root):
    (root / "train/n000003/0001_01.jpg").unlink()
    dataset = VggFace2("vggface2", str(root))
    assert dataset.figures() == {"train identities": (3, 3), "test identities": (2, 2)}
    (root / "test").rename(root / "tset")
    assert dataset.figures() == {"train identities": (3, 3)}


def test_nothing_is_compared_where_a_file_gives_the_labels(root, tmp_path):
    (root / "train/n000003").rename(tmp_path / "elsewhere")
    labels = write_lines(tmp_path / "labels.csv", "identity,label", "n000005,4", "n000003,1")
    dataset = VggFace2("vggface2", str(root), labels=str(labels))
    assert len(dataset) == 2
    assert dataset.figures() == {}
    assert dataset.notes == ["Labelled identities without a folder: 1"]


def test_a_split_that_lies_in_a_folder_of_its_name(root):
    expected = VggFace2("vggface2", str(root)).identity()
    (root / "train").rename(root / "inner")
    (root / "train").mkdir()
    (root / "inner").rename(root / "train/train")
    assert VggFace2("vggface2", str(root)).identity() == expected
    assert VggFace2("vggface2", str(root)).figures()["train identities"] == (3, 3)
