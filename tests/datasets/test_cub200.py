import hashlib

import cv2
import numpy as np
import pytest
from dataset_trees import CUB, cub, write_lines

from bench.datasets.cub200 import Cub200
from bench.errors import BenchError


@pytest.fixture
def root(tmp_path):
    return cub(tmp_path / "CUB_200_2011")


def listed(dataset):
    return [(sample.image_id, sample.target) for sample in dataset.samples]


@pytest.mark.parametrize(("split", "flags"), [("train", {1}), ("test", {0}), ("all", {0, 1})])
def test_splits_and_labels(root, split, flags):
    dataset = Cub200("cub200", str(root), split)
    assert listed(dataset) == [(path, label - 1) for path, label, train in CUB if train in flags]
    assert dataset.samples[0].read().shape[2] == 3
    assert dataset.class_names == [
        "001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross",
    ]  # fmt: skip
    assert dataset.notes == []
    assert dataset.root == root


def test_an_archive_unpacked_into_a_folder_of_its_own_name(root, tmp_path):
    inner = tmp_path / "outer/CUB_200_2011/CUB_200_2011"
    inner.parent.mkdir(parents=True)
    root.rename(inner)
    for folder in (inner.parent, inner.parent.parent, inner / "images"):
        with pytest.raises(BenchError, match=rf"Did you mean '{inner}'\?"):
            Cub200("cub200", str(folder))
    assert len(Cub200("cub200", str(inner), "all").samples) == len(CUB)


def test_the_first_few(root):
    assert len(Cub200("cub200", str(root), "all", max_images=2)) == 2


def test_metadata_in_another_order_means_the_same(root):
    expected = listed(Cub200("cub200", str(root)))
    for name in ("image_class_labels.txt", "train_test_split.txt", "classes.txt"):
        lines = (root / name).read_text().split("\n")
        write_lines(root / name, *reversed(lines))
    dataset = Cub200("cub200", str(root))
    assert listed(dataset) == expected
    assert dataset.class_names[0] == "001.Black_footed_Albatross"


def test_a_list_as_the_paper_writes_it(root, tmp_path):
    lines = [
        "2/Sooty_Albatross_0003_9.jpg 2",
        "0/Black_Footed_Albatross_0009_34.jpg 0",
        "002.Laysan_Albatross/Laysan_Albatross_0001_545.jpg 1",
    ]
    file = write_lines(tmp_path / "list.txt", *lines)
    dataset = Cub200("cub200", str(root), list=str(file))
    assert [f"{image_id} {label}" for image_id, label in listed(dataset)] == lines
    assert [sample.path for sample in dataset.samples] == [
        root / "images" / CUB[number][0] for number in (4, 1, 2)
    ]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert dataset.notes == [
        f"List: {file}: 3 lines, none of the published lists; sha256 {digest}",
        "Listed: 2 test, 1 train images",
    ]
    assert len(Cub200("cub200", str(root), list=str(file), max_images=2)) == 2


def test_all_that_is_wrong_with_a_list_is_told_at_once(root, tmp_path):
    (root / "images" / CUB[2][0]).unlink()
    file = write_lines(
        tmp_path / "list.txt",
        "0/Black_Footed_Albatross_0009_34.jpg 0",
        "0/Black_Footed_Albatross_0009_34.jpg 0",
        "0/Black_Footed_Albatross_0046_18.jpg 1",
        "1/Laysan_Albatross_0001_545.jpg 1",
        "5/Sooty_Albatross_0003_9.jpg 2",
        "0/Blue_Jay.jpg 0",
        "no label",
    )
    with pytest.raises(BenchError) as raised:
        Cub200("birds", str(root), list=str(file))
    message = str(raised.value)
    for expected in (
        f"dataset 'birds', list '{file}': ",
        "(1): line 7: 'no label'",
        "images listed twice (1): line 2: '0/Black_Footed_Albatross_0009_34.jpg 0'",
        "labels that contradict the data set (1): line 3: '0/Black_Footed_Albatross_0046_18.jpg 1'"
        ", expected label 0",
        "images that are missing (1): line 4: '1/Laysan_Albatross_0001_545.jpg 1': no file '",
        "images that the data set does not have (2): line 5: '5/Sooty_Albatross_0003_9.jpg 2': "
        "neither a path nor label/file of images.txt; line 6: ",
    ):
        assert expected in message


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("images.txt", "2 001", "1 001", r"entries twice in images\.txt \(1\): '1'"),
        ("image_class_labels.txt", "2 1", "9 1", "entries of images.txt that image_class_labels"),
        ("classes.txt", "2 002", "3 002", r"entries twice in classes\.txt \(1\): '3'"),
        (
            "image_class_labels.txt",
            "2 1",
            "2 3",
            r"another class's folder \(1\): '001.*34\.jpg'",
        ),
        (
            "image_class_labels.txt",
            "2 1",
            "2 8",
            r"another class's folder \(1\): '001.*34\.jpg'",
        ),
        ("images.txt", "0009_34", "0046_18", r"entries twice in images\.txt \(1\): '001.*46_18"),
        ("train_test_split.txt", "2 1", "2 x", "found '2 x' as entry 2"),
    ],
)
def test_metadata_that_contradicts_itself(root, file, old, new, message):
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new, 1))
    with pytest.raises(BenchError, match=message):
        Cub200("cub200", str(root))


def test_wrong_root_and_split(root):
    with pytest.raises(BenchError, match=rf"Did you mean '{root}'\?"):
        Cub200("cub200", str(root.parent))
    with pytest.raises(BenchError, match=r"dataset\.split: .*'tset'\. Did you mean 'test'"):
        Cub200("cub200", str(root), "tset")


def test_figures(root, tmp_path):
    (root / "images" / CUB[2][0]).unlink()
    tables = {
        "images": (5, 11_788),
        "classes": (3, 200),
        "training images": (2, 5_994),
        "test images": (3, 5_794),
    }
    assert Cub200("cub200", str(root)).figures() == tables | {"image files": (4, 11_788)}
    file = write_lines(tmp_path / "list.txt", f"{CUB[0][0]} 0")
    assert Cub200("cub200", str(root), list=str(file)).figures() == tables


def test_boxes_and_masks(tmp_path):
    root = cub(tmp_path / "CUB_200_2011")
    dataset = Cub200("cub200", str(root), "all")
    assert [sample.annotation.boxes.tolist() for sample in dataset.samples] == [[[1, 2, 4, 6]]] * 5
    assert dataset.samples[0].annotation.mask is None and dataset.notes == []
    name = CUB[2][0].replace(".jpg", ".png")
    (tmp_path / "segmentations/another data set's").mkdir(parents=True)
    assert Cub200("cub200", str(root), "all").samples[2].annotation.mask is None
    for folder in (tmp_path / "segmentations", root / "segmentations"):  # beside it, and in it
        file = folder / name
        file.parent.mkdir(parents=True)
        cv2.imwrite(str(file), np.array([[0, 51, 102, 153, 255]], np.uint8))
        masked = Cub200("cub200", str(root), "all").samples
        assert [sample.annotation.mask is not None for sample in masked] == [0, 0, 1, 0, 0]
        assert masked[2].annotation.mask((1, 5)).tolist() == [[False] * 3 + [True] * 2]
    any_ = Cub200("cub200", str(root), "all", masks=str(root / "segmentations"), mask_above=0)
    assert any_.samples[2].annotation.mask((1, 5)).sum() == 4


def test_boxes_of_a_list_and_none(tmp_path):
    root = cub(tmp_path / "CUB_200_2011")
    lines = ["1 1 2 3 4", "2 5 6 7 8", "3 9 9 1 1.5", "4 1 1 1 1", "5 1 1 1 1"]
    write_lines(root / "bounding_boxes.txt", *lines)
    listed = write_lines(tmp_path / "list.txt", "1/Laysan_Albatross_0001_545.jpg 1")
    (sample,) = Cub200("cub200", str(root), list=str(listed)).samples
    assert sample.annotation.boxes.tolist() == [[9, 9, 10, 10.5]]
    (root / "bounding_boxes.txt").unlink()
    (sample,) = Cub200("cub200", str(root), list=str(listed)).samples
    assert sample.annotation is None


def test_boxes_that_are_none(tmp_path):
    root = cub(tmp_path / "CUB_200_2011")
    write_lines(root / "bounding_boxes.txt", "1 1 2 3 4", "2 5 6 0 8", "99 1 1 1 1", "3 1 1 1")
    with pytest.raises(BenchError) as raised:
        Cub200("cub200", str(root), "all")
    assert "of a known image and a box (3): line 2: '2 5 6 0 8'; line 3: '99 1" in str(raised.value)
    (root / "bounding_boxes.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(BenchError, match=r"bounding_boxes.txt' cannot be read"):
        Cub200("cub200", str(root), "all")
