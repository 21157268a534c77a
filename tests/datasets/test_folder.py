import unicodedata

import pytest
from dataset_trees import write_image

from bench.datasets.folder import ClassFolders
from bench.errors import BenchError


@pytest.fixture
def root(tmp_path):
    names = ["b/2.png", "b/10.JPG", "a é/deep/x y.jpg", "a é/notes.txt", "c/.hidden.png",
             ".git/z.png", "a é/.cache/z.png", "loose.png"]  # fmt: skip
    for seed, name in enumerate(names):
        if not name.endswith("txt"):
            write_image(tmp_path / "all" / name, seed)
    (tmp_path / "all/a é/notes.txt").touch()
    return tmp_path / "all"


def test_labels_are_ranks_of_the_folders(root):
    dataset = ClassFolders("mine", str(root))
    assert [(s.image_id, s.target) for s in dataset.samples] == [
        ("a é/deep/x y.jpg", 0), ("b/10.JPG", 1), ("b/2.png", 1),
    ]  # fmt: skip
    assert dataset.class_names == ["a é", "b", "c"]
    assert dataset.samples[0].read().shape[2] == 3
    assert len(ClassFolders("mine", str(root), max_images=2)) == 2


def test_a_split(root):
    dataset = ClassFolders("mine", str(root.parent), split="all")
    assert dataset.samples[1].path == root / "b/10.JPG"
    with pytest.raises(BenchError, match=r"does not hold train; .*There is: all"):
        ClassFolders("mine", str(root.parent), split="train")


def test_a_root_without_classes_or_none_at_all(root, tmp_path):
    (tmp_path / "flat").mkdir()
    with pytest.raises(BenchError, match=r"flat' has no class folders; .*dataset=list"):
        ClassFolders("mine", str(tmp_path / "flat"))
    with pytest.raises(BenchError, match=r"dataset\.root: .*gone' is not a folder"):
        ClassFolders("mine", str(tmp_path / "gone"))
    (tmp_path / "flat/empty").mkdir()
    with pytest.raises(BenchError, match="found no images"):
        ClassFolders("mine", str(tmp_path / "flat"))


def test_what_systems_leave_behind_is_no_class_and_is_counted(root):
    before = ClassFolders("mine", str(root)).identity()
    for name in ("__MACOSX/b/2.png", "__MACOSX/b/._2.png", "b/@eaDir/2.png", "b/._2.png"):
        write_image(root / name)
    for name in ("b/x.gif", "b/y.GIF", "b/Thumbs.db", "b/.DS_Store", "c/README"):
        (root / name).touch()
    (root / "b/linked").symlink_to(root / "a é")
    dataset = ClassFolders("mine", str(root))
    assert dataset.identity() == before
    assert dataset.class_names == ["a é", "b", "c"]
    assert dataset.notes == [
        "Left out: files that are no images to us (2 .gif, 1 without an ending, 1 .db, 1 .txt, "
        "3 hidden); hidden, system or linked folders (.cache, .git, @eaDir, __MACOSX, linked)",
        "Classes without images, which keep their labels: 1 (c)",
    ]


def test_nothing_is_told_where_nothing_is_left_out(tmp_path):
    write_image(tmp_path / "a/1.JPEG")
    assert ClassFolders("mine", str(tmp_path)).notes == []


def test_class_folders_that_lie_one_floor_down(tmp_path):
    for name in ("train/cat/1.png", "train/dog/1.png", "test/cat/2.png"):
        write_image(tmp_path / "data" / name)
    with pytest.raises(BenchError, match=r"are splits, .*split=test or dataset\.split=train\?"):
        ClassFolders("mine", str(tmp_path / "data"))
    with pytest.raises(BenchError, match=rf"Did you mean dataset\.root='{tmp_path}/data'\?"):
        ClassFolders("mine", str(tmp_path))
    assert len(ClassFolders("mine", str(tmp_path / "data"), split="train")) == 2


def test_labels_do_not_depend_on_how_a_system_writes_accents(tmp_path):
    datasets = []
    for form in ("NFC", "NFD"):
        for seed, name in enumerate(("zebra/1.png", "élan/1.png", "élan/ü.png", "ara/1.png")):
            write_image(tmp_path / form / unicodedata.normalize(form, name), seed)
        datasets.append(ClassFolders("mine", str(tmp_path / form)))
    first, second = datasets
    assert first.identity() == second.identity()
    assert first.class_names == second.class_names == ["ara", "zebra", "élan"]
