"""Links that lead out of docs/."""

from repository import links, on_site, outside_files, target, with_links_of_site

PAGE = """\
[read](../../README.md#start) and ![picture](../../results/examples/demo_page.png)
[other](../faq.md) [web](https://example.org/a.md) [here](#below)
`[code](../../gone.md)`
```
[block](../../gone.md)
```
"""


def test_links_but_for_those_in_code():
    assert links(PAGE) == [
        "../../README.md#start",
        "../../results/examples/demo_page.png",
        "../faq.md",
        "https://example.org/a.md",
        "#below",
    ]


def test_targets_are_files_of_the_repository():
    page = "docs/how-to/a.md"
    assert target("../../README.md#start", page) == "README.md"
    assert target("../faq.md", page) == "docs/faq.md"
    assert target("#below", page) is None
    assert target("https://example.org", page) is None


def test_links_out_of_docs_lead_to_what_comes_along():
    found = with_links_of_site(PAGE, "docs/how-to/a.md", "how-to/a.md")
    assert "[read](../repository/README.md#start)" in found
    assert "(../repository/results/examples/demo_page.png)" in found
    assert "[other](../faq.md)" in found
    assert found.count("../../gone.md") == 2


def test_pages_from_outside_lead_back_into_docs():
    text = "[faq](docs/faq.md) [folder](results/published)"
    found = with_links_of_site(text, "README.md", "repository/README.md")
    assert found == "[faq](../faq.md) [folder](results/published/README.md)"
    moved = with_links_of_site("[faq](docs/faq.md)", "CHANGELOG.md", "changelog.md")
    assert moved == "[faq](faq.md)"


def test_what_pages_lead_to_comes_along_with_what_that_leads_to(tmp_path, monkeypatch):
    monkeypatch.setattr("repository.ROOT", tmp_path)
    for path, text in {
        "docs/a.md": "[page](../page.md) [other](b.md) [gone](../gone.md)",
        "page.md": "[folder](folder) [back](docs/a.md) [itself](page.md)",
        "folder/README.md": "[file](file.csv)",
        "folder/file.csv": "[no page](../never.md)",
        "never.md": "",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    assert outside_files(["docs/a.md"]) == ["folder/README.md", "folder/file.csv", "page.md"]
    assert on_site("folder/file.csv") == "repository/folder/file.csv"
