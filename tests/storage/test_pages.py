"""Templates: what gets into a page, and how."""

from __future__ import annotations

import json
from pathlib import Path

import jinja2
import pytest

from prelabel.storage import pages
from prelabel.storage.pages import script_json, template, write_page

PAGE = "report/page.html.j2"


@pytest.fixture
def one_template(monkeypatch: pytest.MonkeyPatch) -> None:
    """A template of the test's own instead of the package's."""
    text = "{% for name in names %}<p title='{{ name }}'>{{ name }}</p>{% endfor %}"
    environment = template(PAGE).environment
    monkeypatch.setattr(environment, "loader", jinja2.DictLoader({"page": text}))
    monkeypatch.setattr(pages, "template", environment.get_template)


def test_write_page__values_are_text(one_template: None, tmp_path: Path) -> None:
    names = ["a <b>'\"&", "line\nfeed \x00", "{{ 7 * 7 }}", "\udcff", "😀"]
    write_page(tmp_path / "page.html", "page", {"names": iter(names)})
    html = (tmp_path / "page.html").read_bytes().decode()
    shown = [part.split("</p>")[0].split(">")[1] for part in html.split("<p ")[1:]]
    assert shown == [
        "a &lt;b&gt;&#39;&#34;&amp;",
        r"line\nfeed \u0000",
        "{{ 7 * 7 }}",
        "&#56575;",
        "😀",
    ]
    assert html.count("<") == 2 * len(names)


def test_write_page__what_is_missing_is_an_error(one_template: None, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("before")
    with pytest.raises(jinja2.UndefinedError, match="names"):
        write_page(tmp_path / "page.html", "page", {})
    assert (tmp_path / "page.html").read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_template__scripts_and_styles_stay_as_they_are() -> None:
    text = template(PAGE).environment.from_string("{{ asset('report/script.js') }}")
    script = Path(pages.__file__).parents[1] / "report" / "script.js"
    assert text.render() == script.read_text(encoding="utf-8")


def test_script_json__ends_no_script() -> None:
    value = {"name": "</script><!-- 'é'", "n": [1, None]}
    text = script_json(value)
    assert text.isascii()
    assert "<" not in text
    assert json.loads(text) == value


def test_count__has_narrow_spaces_between_thousands() -> None:
    count = template(PAGE).environment.from_string("{{ n | count }}")
    assert count.render(n=1234567) == "1\u202f234\u202f567"
