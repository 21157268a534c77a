import hashlib

import pytest

from bench.datasets import published_lists
from bench.datasets.listed import ImageList
from bench.datasets.published_lists import PUBLISHED_LISTS, PublishedList, find_published

CONTENT = b"0/a.png 0\n1/b.png 1"
KNOWN = PublishedList("set/eval", 2, "eval.txt", hashlib.sha256(CONTENT).hexdigest(), "entries")


def test_the_lists():
    assert {each.name: each.num_images for each in PUBLISHED_LISTS} == {
        "celeba/eval": 2000,
        "vggface2/eval": 2000,
        "cub200/eval-resnet": 587,
        "cub200/eval_fair-resnet": 385,
        "cub200/eval_fair-vgg19": 399,
        "cub200/eval_fair-mobilenetv2": 389,
        "cub200/eval_fair-efficientnet": 328,
        "cub200/test": 5794,
        "mfaba/labels": 1000,
    }
    assert len({each.sha256 for each in PUBLISHED_LISTS}) == 9
    assert all(len(bytes.fromhex(each.sha256)) == 32 for each in PUBLISHED_LISTS)


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setattr(published_lists, "PUBLISHED_LISTS", (KNOWN,))


@pytest.mark.parametrize(
    "content", [CONTENT, CONTENT + b"\n", CONTENT.replace(b"\n", b"\r\n") + b"\r\n"]
)
def test_line_ends_do_not_count(known, content):
    assert find_published(content) is KNOWN


@pytest.mark.parametrize("content", [b"", CONTENT[:-1] + b"2", CONTENT[::-1], CONTENT + b"\n2/c 2"])
def test_other_lists_are_not_published(known, content):
    assert find_published(content) is None


def test_a_run_can_say_which_list_it_used(known, tmp_path):
    from dataset_trees import write_image

    for name in ("0/a.png", "1/b.png"):
        write_image(tmp_path / name)
    (tmp_path / "eval.txt").write_bytes(CONTENT)
    (note,) = ImageList("set", str(tmp_path), str(tmp_path / "eval.txt")).notes
    assert note == (
        f"List: {tmp_path}/eval.txt: the published list set/eval (2 images, "
        f"github.com/RuoyuChen10/SMDL-Attribution, eval.txt); sha256 {KNOWN.sha256}"
    )
