"""Many small images through several methods: nothing piles up, nothing slows down, all is there."""

import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench import load_rows
from bench.storage.store import Run

IMAGES = int(os.environ.get("BENCH_TEST_SOAK", "600"))
"""5000 takes a few minutes."""


def resident_megabytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory as Linux tells it")
def test_memory_and_speed_stay_flat(bench, tmp_path, monkeypatch):
    draws = np.random.default_rng(0)
    for number in range(IMAGES):
        image = draws.integers(0, 256, (9, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f"{number:05}.png"), image)
    lines = "\n".join(f"{number:05}.png {number % 4}" for number in range(IMAGES))
    (tmp_path / "many.txt").write_text(lines)
    seen = []
    append = Run.append

    def watched(self, rows):
        append(self, rows)
        if "random" in self.folder.name:
            seen.append((time.process_time(), resident_megabytes()))  # others may be at work

    monkeypatch.setattr(Run, "append", watched)
    code, _, _ = bench(
        "method=[random,saliency,hsic]", "method.hsic.num_designs=6", "method.hsic.grid_size=3",
        "dataset=list", f'dataset.root="{tmp_path}"', f'dataset.list="{tmp_path}/many.txt"',
        "batch_size=16", "block_size=20",
    )  # fmt: skip
    assert code == 0
    rows = load_rows("results")
    assert rows.groupby("method").size().tolist() == [IMAGES] * 3
    assert not rows.duplicated(["method", "image_id"]).any()

    times, memory = np.array(seen).T
    blocks = np.diff(times)
    third = len(blocks) // 3
    early, late = np.median(blocks[1:third]), np.median(blocks[-third:])
    assert late < 2 * early, f"a block took {early:.3f} s at first and {late:.3f} s at last"
    # Of the first third, which warms up, nothing is asked.
    grown = memory[-1] - memory[third]
    assert grown < 30, f"{grown:.0f} MB more after the last than after the {third}th block"
