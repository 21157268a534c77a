from html.parser import HTMLParser

from leaderboard_rows import LEGEND, board, shown

from bench.report.tables import to_html


class Reader(HTMLParser):
    """The cells of tables as text with their marks, and the lines under them."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.lines, self.inside = [], [], []
        self.feed(page)
        assert self.inside == []

    def handle_starttag(self, tag, attrs):
        self.inside.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag in ("b", "u", "i", "sup"):
            self.rows[-1][-1] += f"{tag}:"
        if tag == "p":
            self.lines.append("")

    def handle_endtag(self, tag):
        assert self.inside.pop() == tag

    def handle_data(self, data):
        if "p" in self.inside:
            self.lines[-1] += data
        elif self.inside and self.inside[-1] not in ("table", "thead", "tbody", "tr", "caption"):
            self.rows[-1][-1] += data


def test_marks_and_lines():
    read = Reader(to_html(shown(board()), ["Warning: a < b"]))
    head, rise, lime = read.rows[:3]
    assert head[:3] == ["#", "method", "ins ↑"]
    assert rise[1:6] == ["rise", "b:0.7000", "0.100..0.900", "a", "u:0.2000"]
    assert lime[2] == "u:0.6000sup:*"
    assert all(len(row) == len(head) for row in read.rows)
    assert read.lines[-1] == "Warning: a < b"
    assert LEGEND in read.lines


def test_names_mean_nothing():
    text = to_html(shown(board(method=["<script>x</script>", "a&b", "c\nd", "e"])), ["<b>"])
    assert "<script>" not in text
    assert "&lt;script&gt;x" in text
    assert "a&amp;b" in text
    assert "<p>&lt;b&gt;</p>" in text
