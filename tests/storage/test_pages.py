"""Templates: what gets into a page, and how."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from pathlib import Path

import jinja2
import pytest

from prelabel.storage import pages
from prelabel.storage.pages import script_json, source_hash, template, write_page

PAGE = "report/page.html.j2"
_PACKAGE = Path(pages.__file__).parents[1]
_TEMPLATES = sorted(file.relative_to(_PACKAGE).as_posix() for file in _PACKAGE.rglob("*.j2"))


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
    names = ["report/style.css", "evaluation/page.css"]
    text = template(PAGE).environment.from_string("{{ assets(names) }}").render(names=names)
    assert text == "".join((_PACKAGE / name).read_text(encoding="utf-8") for name in names)


def test_source_hash__is_that_of_the_content_security_policy() -> None:
    text = (_PACKAGE / "report" / "script.js").read_bytes()
    found = subprocess.run(
        ["openssl", "dgst", "-sha256", "-binary"], input=text, capture_output=True, check=True
    ).stdout
    expected = base64.b64encode(found).decode()
    assert source_hash(["report/script.js"]) == f"'sha256-{expected}'"


@pytest.mark.parametrize("name", _TEMPLATES)
def test_template__nothing_on_a_page_needs_unsafe_inline(name: str) -> None:
    """No style or event handler in an element, and no source but the assets, which have hashes."""
    source = (_PACKAGE / name).read_text(encoding="utf-8")
    assert not re.search(r"\s(style|on[a-z]+)=", source)
    assert re.findall(r"<style>(.*?)</style>", source, re.DOTALL) in (
        [],
        ["{{ assets(styles) }}"],
        ['{{ assets(["label_studio/server/status.css"]) }}'],
    )
    assert set(re.findall(r"<script>(.*?)</script>", source, re.DOTALL)) <= {
        "{{ assets(scripts) }}"
    }
    assert "unsafe-inline" not in source


def test_script_json__ends_no_script() -> None:
    value = {"name": "</script><!-- 'é'", "n": [1, None]}
    text = script_json(value)
    assert text.isascii()
    assert "<" not in text
    assert json.loads(text) == value


def test_count__has_narrow_spaces_between_thousands() -> None:
    count = template(PAGE).environment.from_string("{{ n | count }}")
    assert count.render(n=1234567) == "1\u202f234\u202f567"
