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
