import numpy as np
import pytest
from compared import comparison, drawn_curves
from localised import localised

from bench.errors import BenchWarning
from bench.report.figures.captioned import (
    diagrams,
    gallery_names,
    photographs,
    ranks_over_benchmarks,
)
from bench.storage.pictures import Picture, pictures_folder, save_picture

MAP = np.arange(16, dtype=np.float32).reshape(4, 4)


def names(figures):
    return [one.name for one in figures]


def test_diagrams_of_several_methods_and_images(tmp_path):
    one = comparison(tmp_path, drawn_curves("ab"), passes={"a": (1, 0)})
    found = list(diagrams(one))
    assert names(found) == [
        "curves", "distributions", "scatter", "ranks", "cost_passes", "cost_seconds",
    ]  # fmt: skip
    assert all(one.title and one.caption.endswith(".") for one in found)
    assert all(one.figure.axes for one in found)


def test_what_makes_no_sense_is_not_drawn(tmp_path):
    of_one_method = comparison(tmp_path / "1", drawn_curves("a"))
    assert names(diagrams(of_one_method)) == ["curves", "distributions"]
    of_one_image = comparison(tmp_path / "2", drawn_curves("ab", images=1))
    assert names(diagrams(of_one_image)) == ["curves", "scatter", "cost_seconds"]
    assert not names(photographs(of_one_image, tmp_path / "2"))
    assert not names(ranks_over_benchmarks([of_one_image]))


def test_ranks_over_benchmarks(tmp_path):
    both = [comparison(tmp_path / name, drawn_curves("ab")) for name in "xy"]
    assert names(ranks_over_benchmarks(both)) == ["benchmarks_insertion", "benchmarks_deletion"]


def test_photographs_of_what_was_kept(tmp_path):
    # Areas of d are best for insertion and as those of all others for deletion: it is m's best.
    insertion = np.array([0.5, 0.4, 0.1, 0.9, 0.3])[:, None].repeat(3, axis=1)
    maps = {"m": {"a": MAP, "b": MAP, "d": MAP}, "n": {"a": MAP, "b": MAP}, "k": {"a": MAP}}
    one = comparison(
        tmp_path,
        {"m": insertion, "n": insertion / 2, "k": insertion / 3},
        {method: np.ones((5, 3)) for method in "mnk"},
        controls=("k",),
        maps=maps,
        protocol={part: {"steps": 2} for part in ("insertion", "deletion")},
    )
    folder, photo = pictures_folder(tmp_path, one.title, one.key), np.zeros((4, 4, 3), np.uint8)
    for image_id in "abd":
        save_picture(folder, Picture(image_id, photo, "1", {"insertion": photo, "deletion": photo}))
    overview, *galleries = photographs(one, tmp_path)
    assert overview.name == "maps"
    assert len(overview.figure.axes) == 4  # of a alone all methods have maps
    assert names(galleries) == ["gallery_m", "gallery_n"]
    headings = [text.get_text() for text in galleries[0].figure.texts]
    assert headings == ["m", "best: d (class 1)", "typical: b (class 1)", "worst: c"]


def test_names_of_files_have_labels_and_hashes_only_where_they_are_needed(tmp_path):
    methods = ("grad_cam", "rise (num_masks=500)", "RISE", "rise", "a/b", "a b")
    one = comparison(tmp_path, {method: np.ones((2, 6)) for method in methods})
    found = gallery_names(one)
    assert found["grad_cam"] == "gallery_grad_cam"
    assert found["rise (num_masks=500)"] == "gallery_rise-num_masks-500"
    for first, second, start in (("RISE", "rise", "rise"), ("a/b", "a b", "a-b")):
        names = {found[first].casefold(), found[second].casefold()}
        assert len(names) == 2
        assert {name[: len(start) + 9] for name in names} == {f"gallery_{start}-"}
    assert gallery_names(one, [one]) == found


def test_names_of_files_tell_networks_of_one_folder_apart(tmp_path):
    networks = [{"name": "one"}, {"name": "two"}, {"name": "two", "weights_sha256": "x"}]
    found = [
        comparison(tmp_path / str(number), drawn_curves("m"), backbone=network)
        for number, network in enumerate(networks)
    ]
    names = [gallery_names(one, found)["m"] for one in found]
    title = found[0].title.replace(" · ", "_")
    assert names[0] == f"gallery_m_{title}"
    assert names[1] == f"gallery_m_{title.replace('_one_', '_two_')}-{found[1].key}"
    assert len(set(names)) == 3


def test_the_overview_ends_somewhere(tmp_path):
    one = comparison(tmp_path, drawn_curves("m", images=12, points=3))
    folder, photo = pictures_folder(tmp_path, one.title, one.key), np.zeros((4, 4, 3), np.uint8)
    for image_id in one.image_ids:
        save_picture(folder, Picture(image_id, photo, "0", {"insertion": photo, "deletion": photo}))
    overview = next(photographs(one, tmp_path))
    assert len(overview.figure.axes) == 2 * 8


def test_a_broken_map_is_told(tmp_path):
    one = comparison(tmp_path, drawn_curves("m", points=3), maps={"m": {"a": MAP}})
    folder, photo = pictures_folder(tmp_path, one.title, one.key), np.zeros((4, 4, 3), np.uint8)
    save_picture(folder, Picture("a", photo, "0", {"insertion": photo, "deletion": photo}))
    (path,) = one.runs["m"].folder.glob("map-*.npy")
    path.write_bytes(b"")
    with pytest.warns(BenchWarning, match=f"{path.name}' is broken"):
        figure = next(photographs(one, tmp_path)).figure
    assert "not kept" in [text.get_text() for axes in figure.axes for text in axes.texts]


def of_boxes(tmp_path, count=12, **changes):
    """Of m; the last two images have no box, and the pictures of all were kept."""
    overlaps = np.linspace(0, 1, 3 * count).reshape(count, 3)
    overlaps[-2:] = np.nan
    images = [chr(ord("a") + number) for number in range(count)]
    maps = {"m": dict.fromkeys(images, MAP)}
    one = localised(tmp_path, {"m": overlaps}, pointed={"m": [1] * count}, maps=maps)
    folder, photo = pictures_folder(tmp_path, one.title, one.key), np.zeros((4, 4, 3), np.uint8)
    for image_id in images:
        boxes = np.array([[0.0, 0, 2, 3]] * (image_id in images[:-2])).reshape(-1, 4)
        kept = {"boxes": boxes} | changes
        save_picture(folder, Picture(image_id, photo, "0", {}, **kept))
    return one


def test_boxes_of_a_protocol_without_curves(tmp_path):
    one = of_boxes(tmp_path)
    success = next(diagrams(one))
    assert success.name == "success"
    assert success.caption.endswith(" 2 images without a box are left out.")
    _, boxes, gallery = photographs(one, tmp_path)
    assert boxes.name == "boxes_max_box_acc"
    assert len(boxes.figure.axes) == 2 * 8
    assert "IoU of 0.5 at least. The cross is the map's point" in boxes.caption
    assert boxes.caption.endswith(
        "8 of 10 kept images are shown. 2 kept images without a box are left out."
    )
    assert gallery.caption.endswith("and lowest.")


def test_folders_without_boxes_have_no_such_figure(tmp_path):
    """As those from before pictures had any."""
    one = of_boxes(tmp_path, boxes=None)
    assert [figure.name.partition("_")[0] for figure in photographs(one, tmp_path)] == [
        "maps", "gallery",
    ]  # fmt: skip
    nothing = localised(tmp_path / "nothing", {"m": np.full((2, 3), np.nan)})
    assert "success" not in names(diagrams(nothing))
