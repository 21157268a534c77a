import pytest
from dataset_trees import celeba, write_lines

from bench.datasets.celeba import CelebA
from bench.errors import BenchError


@pytest.fixture
def root(tmp_path):
    return celeba(tmp_path / "celeba")


def listed(dataset):
    return [(sample.image_id, sample.target) for sample in dataset.samples]


def test_splits_and_labels(root):
    splits = {split: listed(CelebA("celeba", str(root), split)) for split in
              ("train", "valid", "test", "all")}  # fmt: skip
    assert splits["train"] == [("000001.jpg", 2879), ("000002.jpg", 2936)]
    assert splits["valid"] == [("000003.jpg", 8691)]
    assert splits["test"] == [("000004.jpg", 5804), ("000005.jpg", 0)]
    assert splits["all"] == splits["train"] + splits["valid"] + splits["test"]
    assert CelebA("celeba", str(root)).samples[0].read().shape[2] == 3
    assert len(CelebA("celeba", str(root), "all", max_images=3)) == 3


def test_the_layout_of_the_official_drive(tmp_path):
    root = celeba(tmp_path / "CelebA", "Anno", "Eval", "Img")
    dataset = CelebA("celeba", str(root))
    assert dataset.samples[0].path == root / "Img/img_align_celeba/000004.jpg"
    assert dataset.root == root


def test_partitions_in_another_order_mean_the_same(root):
    lines = (root / "list_eval_partition.txt").read_text().split("\n")
    write_lines(root / "list_eval_partition.txt", *reversed(lines))
    assert listed(CelebA("celeba", str(root))) == [("000004.jpg", 5804), ("000005.jpg", 0)]


def test_a_list_as_the_paper_writes_it(root, tmp_path):
    lines = ["8691/000003.jpg 8691", "000001.jpg 2879", "0/000005.jpg 0"]
    file = write_lines(tmp_path / "list.txt", *lines)
    dataset = CelebA("celeba", str(root), list=str(file))
    assert [f"{image_id} {label}" for image_id, label in listed(dataset)] == lines
    assert dataset.samples[0].path == root / "img_align_celeba/000003.jpg"
    assert dataset.notes[0].startswith(f"List: {file}: 3 lines, none of the published lists")
    assert dataset.notes[1] == "Listed: 1 train, 1 valid, 1 test images"
    assert len(CelebA("celeba", str(root), list=str(file), max_images=1)) == 1


def test_all_that_is_wrong_with_a_list_is_told_at_once(root, tmp_path):
    (root / "img_align_celeba/000003.jpg").unlink()
    file = write_lines(
        tmp_path / "list.txt", "2880/000001.jpg 2880", "8691/000003.jpg 8691", "7/000009.jpg 7",
        "1/000005.jpg 0",
    )  # fmt: skip
    with pytest.raises(BenchError) as raised:
        CelebA("celeba", str(root), list=str(file))
    message = str(raised.value)
    for expected in (
        "line 1: '2880/000001.jpg 2880': expected '000001.jpg' or '2879/000001.jpg'",
        "images that are missing (1): line 2: ",
        "line 3: '7/000009.jpg 7': its file name is not in identity_CelebA.txt",
        "line 4: '1/000005.jpg 0': expected '000005.jpg' or '0/000005.jpg'",
    ):
        assert expected in message
    write_lines(file, "000001.jpg 2880")
    with pytest.raises(BenchError, match=r"line 1: '000001\.jpg 2880', expected label 2879"):
        CelebA("celeba", str(root), list=str(file))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("identity_CelebA.txt", "000002", "000001", r"twice in identity_CelebA\.txt \(1\)"),
        ("list_eval_partition.txt", "000002", "000009", "that list_eval_partition.txt lacks"),
        ("list_eval_partition.txt", "000002.jpg 0", "000002.jpg 3",
         r"out of range in list_eval_partition\.txt \(1\): '000002\.jpg' 3"),
        ("identity_CelebA.txt", "000002.jpg 2937", "000002.jpg 0",
         r"out of range in identity_CelebA\.txt \(1\): '000002\.jpg' 0"),
        ("identity_CelebA.txt", "000001.jpg 2880", "000001.jpg,2880", "expected lines 'file ident"),
    ],
)  # fmt: skip
def test_metadata_that_contradicts_itself(root, file, old, new, message):
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new, 1))
    with pytest.raises(BenchError, match=message):
        CelebA("celeba", str(root))


def test_wrong_root_and_split(root):
    with pytest.raises(BenchError, match=rf"Did you mean '{root}'\?"):
        CelebA("celeba", str(root / "img_align_celeba"))
    with pytest.raises(BenchError, match=r"dataset\.split: unknown name 'validation'"):
        CelebA("celeba", str(root), "validation")


def test_figures(root, tmp_path):
    (root / "img_align_celeba/000003.jpg").unlink()
    tables = {"images": (5, 202_599), "identities": (5, 10_177)}
    assert CelebA("celeba", str(root)).figures() == tables | {"image files": (4, 202_599)}
    file = write_lines(tmp_path / "list.txt", "000001.jpg 2879")
    assert CelebA("celeba", str(root), list=str(file)).figures() == tables


def test_no_file_is_touched_that_is_not_listed(root, tmp_path, monkeypatch):
    file = write_lines(tmp_path / "list.txt", "0/000005.jpg 0")
    for number in range(1, 5):
        (root / f"img_align_celeba/00000{number}.jpg").unlink()
    assert len(CelebA("celeba", str(root), list=str(file))) == 1


def test_the_layout_of_kaggle(root):
    expected = CelebA("celeba", str(root), "all").identity()
    images = root / "img_align_celeba"
    images.rename(root / "inner")
    images.mkdir()
    (root / "inner").rename(images / "img_align_celeba")
    (images / ".DS_Store").touch()
    lines = (root / "list_eval_partition.txt").read_text().replace(" ", ",")
    (root / "list_eval_partition.txt").unlink()
    write_lines(root / "list_eval_partition.csv", "image_id,partition", lines)
    dataset = CelebA("celeba", str(root), "all")
    assert dataset.identity() == expected
    assert dataset.figures()["image files"] == (5, 202_599)


def test_one_image_under_two_names(root, tmp_path):
    file = write_lines(tmp_path / "list.txt", "8691/000003.jpg 8691", "000003.jpg 8691")
    with pytest.raises(BenchError, match=r"listed twice \(1\): line 2: .* same file as line 1"):
        CelebA("celeba", str(root), list=str(file))
