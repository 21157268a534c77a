"""The pages of metrics and protocols."""

import re

from reference.components import components
from reference.metrics import made, metrics_page, protocols_page

from bench.config.choices import choices
from bench.metrics.protocol import load_protocol


def test_every_metric_with_its_statistics_and_question():
    sections = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", metrics_page(), re.M | re.S))
    assert list(sections) == [each.name for each in components("metric")]
    for each in components("metric"):
        for statistic in made(each).statistics:
            assert f"| `{statistic.name}` | {statistic.title} |" in sections[each.name]
    assert "9 forward passes for a map" in sections["insertion"]
    assert "made 6 more times" in sections["parameter_randomisation"]


def test_every_protocol_with_its_hash_and_settings():
    sections = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", protocols_page(), re.M | re.S))
    assert set(sections) == set(choices("protocol"))
    for name, text in sections.items():
        protocol = load_protocol(name)
        assert f"`{protocol.hash}`" in text
        assert f"\nscore: {protocol.score}" in text
        for metric in protocol.metrics:
            assert re.search(rf"^  {metric}:", text, re.M), (name, metric)
