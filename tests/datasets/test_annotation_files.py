import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.datasets.annotation_files import (
    ImageNames,
    annotated,
    box_of_size,
    read_coco,
    read_csv,
    read_voc,
)
from bench.datasets.dataset import Sample
from bench.datasets.problems import Problems
from bench.errors import BenchError

NAMES = ("dog/a.jpg", "dog/b.jpeg", "cat/a.jpg", "cat/ü.png")
SAMPLES = [Sample(name, Path("photos") / name, int(name[0] == "d")) for name in NAMES]

VOC = """<annotation><filename>{name}</filename><size><width>9</width></size>
<object><name>{category}</name><part><bndbox><xmin>7</xmin></bndbox></part>
<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>5.5</xmax><ymax>4</ymax></bndbox></object>
<object><name>hat</name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>1</xmax><ymax>1</ymax></bndbox>
</object></annotation>"""


def boxes_of(samples):
    return {s.image_id: s.annotation.boxes.tolist() for s in samples if s.annotation}


def read(reader, path):
    problems = Problems("boxes")
    return reader(path, problems), problems.lines()


def test_a_csv(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(
        "\ufeffimage_id,x,y,width,height\n./dog/a.jpg,1,2,3,4\n\ncat/u\u0308.png, .5,1e1,2,2\n"
        'dog/a.jpg,0,0,1,1\n"dog/b.jpeg",0,0,1,1\nbird/a.jpg,0,0,1,1\n',
        encoding="utf-8",
    )
    samples, notes = annotated(SAMPLES, boxes=str(path))
    assert boxes_of(samples) == {
        "dog/a.jpg": [[1, 2, 4, 6], [0, 0, 1, 1]],
        "dog/b.jpeg": [[0, 0, 1, 1]],
        "cat/ü.png": [[0.5, 10, 2.5, 12]],
    }
    assert samples[0].annotation.source == f"'{path}', line 2"
    assert samples == SAMPLES  # an annotation does not make it another image
    assert notes == [
        f"Boxes: 4 in 3 of 4 images, from '{path}'; 1 are of images that are not listed "
        "('bird/a.jpg' is the first)"
    ]


def test_lines_that_are_no_boxes_are_told_at_once(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("dog/a.jpg,1,2,3\ndog/a.jpg,1,2,nan,4\ndog/a.jpg,1,2,0,4\ndog/a.jpg,a,2,1,4\n")
    with pytest.raises(BenchError) as raised:
        annotated(SAMPLES, boxes=str(path))
    lines = str(raised.value).splitlines()
    assert len(lines) == 4
    assert "lines that are not 'image_id,x,y,width,height' (1): line 1: " in lines[0]
    assert "boxes that are NaN or infinite (1): line 2: " in lines[1]
    assert "boxes that are empty (1): line 3: " in lines[2]
    assert "boxes that are not four numbers (1): line 4: " in lines[3]


def test_files_that_are_none(tmp_path):
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "latin.csv").write_bytes(b"caf\xe9.jpg,1,2,3,4")
    (tmp_path / "other.csv").write_text("x/y.jpg,1,2,3,4")
    (tmp_path / "empty.csv").write_text("image_id,x,y,width,height")
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "folder").mkdir()
    for name, expected in {
        "a.txt": r"expected a .csv, a .json or a folder of .xml files",
        "missing.csv": "cannot read .*: No such file",
        "latin.csv": "save it as UTF-8",
        "other.csv": "boxes of none of the 4 images; it names 'x/y.jpg', the data set 'dog/a.jpg'",
        "empty.csv": "has no boxes",
        "list.json": "expected COCO's JSON",
        "broken.json": "expected COCO's JSON",
        "folder": "holds no .xml file",
    }.items():
        with pytest.raises(BenchError, match=expected) as raised:
            annotated(SAMPLES, boxes=str(tmp_path / name))
        assert "\n" not in str(raised.value), name


def test_xml(tmp_path):
    (tmp_path / "dog").mkdir()
    for name in ("dog/a.xml", "dog/b.xml", "z.xml"):
        (tmp_path / name).write_text(VOC.format(name="other.jpg", category="dog"))
    samples, _ = annotated(SAMPLES, boxes=str(tmp_path))
    both = [[1, 2, 5.5, 4], [0, 0, 1, 1]]
    assert boxes_of(samples) == {"dog/a.jpg": both, "dog/b.jpeg": both}
    samples, notes = annotated(SAMPLES, boxes=str(tmp_path), class_names=["cat", "dog"])
    assert boxes_of(samples) == {"dog/a.jpg": both[:1], "dog/b.jpeg": both[:1]}
    assert "2 of other classes than their image's are left out" in notes[0]


def test_xml_that_is_refused(tmp_path):
    path = tmp_path / "a.xml"
    bomb = '<!DOCTYPE b [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><annotation>&b;</annotation>'
    outside = '<!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/hostname">]><a>&a;</a>'
    for content in (bomb, outside):
        path.write_text(content)
        with pytest.raises(BenchError, match=r"declares a document type"):
            read(read_voc, path)
    path.write_text("<annotation><object>")
    with pytest.raises(BenchError, match=r"'.*a.xml' is no XML that can be read"):
        read(read_voc, path)
    path.write_text("<annotation><object><name>a</name></object></annotation>")
    assert read(read_voc, path) == (
        [],
        ["boxes that are not four numbers (1): 'a.xml', object 1: ['', '', '', '']"],
    )


def test_boxes_in_shares_of_the_image(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("dog/a.jpg,0,0,1,1\ndog/b.jpeg,0.1,0.2,0.5,0.5\n")
    with pytest.raises(BenchError, match=r"boxes\.csv' has boxes in shares .* expected pixels"):
        annotated(SAMPLES, boxes=str(path))
    path.write_text("dog/a.jpg,0,0,1,1\n")  # a pixel
    assert boxes_of(annotated(SAMPLES, boxes=str(path))[0]) == {"dog/a.jpg": [[0, 0, 1, 1]]}
    path.write_text("dog/a.jpg,0.1,0.2,0.5,0.5\ndog/a.jpg,0,0,3,1\n")
    assert len(annotated(SAMPLES, boxes=str(path))[0][0].annotation.boxes) == 2


def test_coco_with_two_images_of_one_id(tmp_path):
    path = tmp_path / "a.json"
    images = [{"id": i, "file_name": name} for i, name in zip((4, 5, 4, 6), NAMES, strict=True)]
    annotations = [{"image_id": 4, "bbox": [1, 2, 3, 4]}]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    _, problems = read(read_coco, path)
    assert problems == ["images with the id of another one (1): id 4"]


def coco(path, *annotations, categories=()):
    images = [{"id": i, "file_name": name} for i, name in enumerate(NAMES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    return path


def test_coco(tmp_path):
    square = [[1, 1, 4, 1, 4, 3, 1, 3]]
    runs = {"counts": [2, 3, 7], "size": [4, 3]}
    path = coco(
        tmp_path / "a.json",
        {"id": 7, "image_id": 0, "bbox": [1, 2, 3, 4], "category_id": 1, "segmentation": square},
        {"id": 8, "image_id": 0, "bbox": [0, 0, 1, 1], "category_id": 2},
        {"id": 9, "image_id": 2, "segmentation": runs, "category_id": 2},
        categories=[{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}],
    )
    samples, _ = annotated(SAMPLES, boxes=str(path))
    assert boxes_of(samples) == {"dog/a.jpg": [[1, 2, 4, 6], [0, 0, 1, 1]], "cat/a.jpg": []}
    assert samples[0].annotation.mask((5, 6)).sum() == 6
    assert samples[2].annotation.mask((4, 3)).sum() == 3
    assert samples[0].annotation.source == f"'{path}', annotation 7"
    samples, _ = annotated(SAMPLES, boxes=str(path), class_names=["cat", "dog"])
    assert boxes_of(samples) == {"dog/a.jpg": [[1, 2, 4, 6]], "cat/a.jpg": []}


def test_coco_that_cannot_be_used(tmp_path):
    path = coco(
        tmp_path / "a.json",
        {"image_id": 99, "bbox": [1, 2, 3, 4]},
        {"image_id": [], "bbox": [1, 2, 3, 4]},
        {"image_id": 0, "bbox": [1, 2, 3]},
        {"image_id": 0, "segmentation": {"counts": "abc", "size": [4, 3]}},
        {"image_id": 0, "segmentation": {"counts": [5], "size": [4, 3]}},
        {"image_id": 0, "segmentation": [[1, 2, 3, 4]]},
        {"image_id": 0, "segmentation": "text"},
    )
    marks, problems = read(read_coco, path)
    assert marks == []
    assert [line.partition(":")[0] for line in problems] == [
        "annotations of no image (2)",
        "boxes that are not four numbers (1)",
        "compressed run-length codes",
        "masks that are neither polygons nor run-length codes (3)",
    ]


def test_masks(tmp_path):
    for name in ("dog/a.png", "cat/a.png", "b.bmp", "x.png", "dog/b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.full((3, 4), 100, np.uint8))
    samples, notes = annotated(SAMPLES, masks=str(tmp_path), mask_above=99)
    assert [s.image_id for s in samples if s.annotation] == ["dog/a.jpg", "dog/b.jpeg", "cat/a.jpg"]
    assert samples[1].annotation.mask((3, 4)).all()
    assert notes[0].endswith("(above 99); 2 files are no masks of listed images")
    (tmp_path / "boxes.csv").write_text("dog/a.jpg,0,0,1,1\ncat/ü.png,0,0,1,1", encoding="utf-8")
    boxed, notes = annotated(SAMPLES, boxes=str(tmp_path / "boxes.csv"), masks=str(tmp_path))
    assert [s.annotation is not None for s in boxed] == [True] * 4
    assert len(boxed[0].annotation.boxes) == 1 and boxed[0].annotation.mask is not None
    assert len(notes) == 2


def test_masks_that_are_refused(tmp_path):
    for name in ("a.png", "dog/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.ones((3, 4), np.uint8))
    one = SAMPLES[:1]
    with pytest.raises(BenchError, match=r"images with several masks \(1\): 'dog/a.jpg'"):
        annotated(one, masks=str(tmp_path))
    with pytest.raises(BenchError, match=r"mask of none of the 1 images; expected 'cat/ü.png'"):
        annotated(SAMPLES[3:], masks=str(tmp_path))
    with pytest.raises(BenchError, match=r"is not a folder"):
        annotated(SAMPLES, masks=str(tmp_path / "missing"))
    with pytest.raises(BenchError, match=r"dataset.mask_above: expected an integer"):
        annotated(SAMPLES, masks=str(tmp_path), mask_above=-1)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("dog/a.jpg", 0), ("dog/a", 0), ("photos/dog/a.xml", 0), ("./dog//a.jpg", 0),
        ("dog\\a.jpg", 0), ("b", 1), ("a.jpg", None), ("bird/b.jpg", None), ("cat/u\u0308.jpg", 3),
        ("", None),
    ],
)  # fmt: skip
def test_which_image_a_file_means(name, found):
    assert ImageNames(NAMES).find(name) == found


def test_boxes_of_a_size():
    assert box_of_size(["1", "2.5", "3", "4"]) == (1, 2.5, 4, 6.5)
    assert box_of_size([1, 2, -3, 4]) is None
    assert box_of_size([1, 2, 3]) is None
    assert box_of_size([1e308, 0, 1e308, 1]) is None


def test_a_csv_whose_quotes_do_not_end(tmp_path):
    (tmp_path / "a.csv").write_text('"dog/a.jpg,1,2,3,4\n')
    marks, problems = read(read_csv, tmp_path / "a.csv")
    assert marks == [] and len(problems) == 1
