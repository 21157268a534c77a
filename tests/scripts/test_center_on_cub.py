import subprocess
import sys
from pathlib import Path

from dataset_trees import cub, write_lines

SCRIPT = Path(__file__).parents[2] / "scripts/center_on_cub.py"


def ask(*arguments):
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_share_of_boxes_in_the_middle(tmp_path):
    """Photos of 40 x 20: one box fills the middle, two lie in corners."""
    root = cub(tmp_path / "CUB")
    lines = ["1 10.0 5.0 20.0 10.0", "2 0 0 1 1", "3 0.0 0.0 8.0 4.0", "4 0 0 1 1", "5 32 16 8 4"]
    write_lines(root / "bounding_boxes.txt", *lines)
    paths = [line.split()[1] for line in (root / "images.txt").read_text().splitlines()]
    sizes = write_lines(tmp_path / "sizes.txt", *(f"{path},40,20" for path in paths))
    third = "33.33 at 0.3, 33.33 at 0.5, 33.33 at 0.7; mean 33.33"
    assert ask(root, "--sizes", sizes, "--thresholds", 100) == [
        f"3 images, {contours} contours: {third}" for contours in ("largest", "all")
    ]
    write_lines(root / "bounding_boxes.txt", *(f"{i} 4 5 9 10" for i in range(1, 6)))
    assert ask(root)[0].startswith("3 images, largest contours: 100.00 at 0.3, 100.00 at 0.5")
