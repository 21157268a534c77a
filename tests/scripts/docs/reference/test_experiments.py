"""The page of experiments, on those that are shipped."""

import re

from reference.experiments import experiments_page

from bench.config.choices import choices
from bench.config.composing import as_written, compose_run


def test_every_experiment_with_its_parts_and_its_file():
    sections = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", experiments_page(), re.M | re.S))
    assert set(sections) == set(choices("experiment"))
    for name, text in sections.items():
        config = as_written(compose_run([f"experiment={name}"]))
        for method in config["method"]:
            assert f"[`{method}`](methods/{method}.md)" in text
        for asset, value in config["assets"].items():
            assert (f"| `assets.{asset}` |" in text) == (value == "???")
        assert f"(protocols.md#{config['protocol']['name']})" in text
        for line in choices("experiment")[name].path.read_text(encoding="utf-8").splitlines():
            assert line.strip() in text


def test_what_repeats_a_published_table_says_of_which():
    page = experiments_page()
    assert "the published table `cub`, ResNet-101" in page
    assert "`cub200/eval-resnet`, 587 images" in page
