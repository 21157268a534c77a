"""The scan of timm's families, on its small ones; docs/reference/cam-layers.md has them all."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("scan", ROOT / "scripts/scan_cam_layers.py")
scan = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(scan)


@pytest.mark.parametrize(
    "family", ["deit", "efficientvim", "ghostnet", "mambaout", "mobilenetv3", "resnet", "starnet"]
)
def test_rows_are_those_of_the_page(family):
    row = scan.scan(family, scan.MEMBERS[family])
    line = scan.table([row]).splitlines()[-1]
    assert line in (ROOT / "docs/reference/cam-layers.md").read_text(encoding="utf-8").splitlines()
    assert not row.reason.startswith("cannot be made")


def test_every_family_has_a_row():
    page = (ROOT / "docs/reference/cam-layers.md").read_text(encoding="utf-8")
    for family, name in scan.MEMBERS.items():
        assert f"| {family} | `{name}` |" in page
    assert set(scan.MEMBERS) <= set(scan.families())
