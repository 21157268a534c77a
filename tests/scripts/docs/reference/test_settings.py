"""The page of settings, on the real configuration."""

from reference.settings import run_settings, settings_page

from bench.config.choices import GROUPS, SHIPPED
from bench.config.composing import load_nodes
from bench.config.settings import flat


def test_every_setting_of_a_run_is_shown_and_told():
    written = load_nodes(SHIPPED / "run.yaml")
    names = {
        key for key, _ in flat({k: v for k, v in written.items() if k not in ("defaults", "hydra")})
    }
    names |= {key for key, value in written.items() if value == {}}
    settings = {each.key: each for each in run_settings()}
    assert names <= set(settings)
    page = settings_page()
    for key, setting in settings.items():
        assert f"| `{key}` |" in page
        assert setting.comment, key


def test_every_group_of_names_is_a_choice():
    page = settings_page()
    for title, group in GROUPS.items():
        assert f"| `{group}` |" in page
        assert f" {title}](" in page
