"""Pages of what the configuration has by name: every file and every setting of it."""

from itertools import chain

import pytest
from reference.components import backbones_page, components, datasets_page
from reference.methods import method_pages
from reference.metrics import metrics_page

from bench.config.choices import SHIPPED
from bench.config.composing import load_nodes
from bench.config.settings import flat

PAGES = {
    "backbone": backbones_page,
    "dataset": datasets_page,
    "metric": metrics_page,
    "method": lambda: "\n".join(method_pages().values()),
}


@pytest.mark.parametrize("group", PAGES)
def test_every_name_and_every_setting_is_shown(group):
    page = PAGES[group]()
    files = sorted((SHIPPED / group).glob("*.yaml"))
    assert [each.name for each in components(group)] == [file.stem for file in files]
    for file in files:
        content = load_nodes(file)
        name = file.stem
        assert name in page
        prefix = group
        if "_target_" not in content:
            (content,) = content.values()
            prefix = f"{group}.{name}"
        content = {k: v for k, v in content.items() if k not in ("defaults", "_target_")}
        leaves = (key for key, _ in flat(content))
        for key in chain(content, (key for key in leaves if "._target_" not in key)):
            parts = [part for part in key.split(".") if not part.isdigit()]
            shown = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
            assert any(f"| `{prefix}.{each}` |" in page for each in shown), (name, key)


@pytest.mark.parametrize("group", PAGES)
def test_every_setting_says_what_it_is(group):
    silent = [
        f"{each.name}.{setting.key}"
        for each in components(group)
        for setting in each.settings
        if not setting.comment
    ]
    assert silent == []
