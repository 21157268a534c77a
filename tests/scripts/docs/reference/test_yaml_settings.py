"""Settings of YAML files with their comments."""

from reference.yaml_settings import Setting, settings_in

TEXT = """\
# What the file is
defaults:
  - _self_
# Two lines
# of it
first: 3
second: '#1' # behind
group: # of the group
  inner: {a: 1, b: [2, 3]} # both
  listed:
    - one # not a setting's
    - two
"""


def test_comments_stand_behind_or_above():
    assert settings_in(TEXT) == [
        Setting("first", "3", "Two lines of it"),
        Setting("second", "'#1'", "behind"),
        Setting("group", "", "of the group"),
        Setting("group.inner", "{a: 1, b: [2, 3]}", "both"),
        Setting("group.listed", "[one, two]", ""),
    ]


def test_an_empty_file_has_none():
    assert settings_in("# nothing\n") == []
