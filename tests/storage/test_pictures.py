import numpy as np
import pytest

from bench.errors import BenchWarning
from bench.storage.pictures import Picture, load_picture, save_class_names, save_picture

PHOTO = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.mark.parametrize("boxes", [None, [], [[0, 1, 2.5, 4], [3, 0, 6, 2]]])
def test_what_was_kept_is_there(tmp_path, boxes):
    boxes = None if boxes is None else np.array(boxes, float).reshape(-1, 4)
    save_picture(tmp_path, Picture("ä/1.png", PHOTO, "bird", {"x": PHOTO // 2}, boxes))
    found = load_picture(tmp_path, "ä/1.png")
    assert (found.image_id, found.label) == ("ä/1.png", "bird")
    assert (found.photo == PHOTO).all()
    assert (found.baselines["x"] == PHOTO // 2).all()
    if boxes is None:
        assert found.boxes is None
    else:
        assert (found.boxes == boxes).all()
        assert found.boxes.shape == boxes.shape
    assert load_picture(tmp_path, "2.png") is None


@pytest.mark.parametrize("boxes", [np.zeros((2, 3)), np.zeros(4), np.zeros((1, 4), np.float32)])
def test_boxes_that_are_none(tmp_path, boxes):
    save_picture(tmp_path, Picture("a", PHOTO, "bird", {}, boxes))
    with pytest.warns(BenchWarning, match="expected boxes of four float64 each"):
        assert load_picture(tmp_path, "a") is None


def test_classes_have_the_names_that_are_kept_beside(tmp_path):
    save_picture(tmp_path, Picture("a", PHOTO, "1", {}))
    assert not load_picture(tmp_path, "a").class_names
    for names in (["ara", "élan"], ["zebra"]):
        save_class_names(tmp_path, names)
        assert load_picture(tmp_path, "a").class_names == names


@pytest.mark.parametrize("content", ["[", "{}", "[1]"])
def test_broken_names_leave_the_picture(tmp_path, content):
    save_picture(tmp_path, Picture("a", PHOTO, "1", {}))
    (tmp_path / "classes.json").write_text(content)
    with pytest.warns(BenchWarning, match="classes.json' is broken"):
        assert not load_picture(tmp_path, "a").class_names
    save_class_names(tmp_path, ["ara"])
    assert load_picture(tmp_path, "a").class_names == ["ara"]
