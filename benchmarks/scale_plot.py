"""The picture of ``results/scale.csv``: CPU seconds and peak memory against the number of photos."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Template

WIDTH, HEIGHT, LEFT, TOP = 330, 230, 60, 40
"""Of a panel's axes, in pixels."""
COLOURS = {"shards": "#1f6f8b", "generated": "#c8553d", "memory": "#222"}
Point = tuple[float, float]
_SVG = Template(
    """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 850 330" font-family="sans-serif" font-size="12">
<rect width="850" height="330" fill="#fff"/>
{% for panel in panels %}<g transform="translate({{ panel.left }},{{ top }})">
<text x="0" y="-14" font-size="14">{{ panel.title }}</text>
{% for y, text in panel.rows %}<path d="M0 {{ y }}H{{ width }}" stroke="#ddd"/><text x="-8" y="{{ y + 4 }}" text-anchor="end">{{ text }}</text>
{% endfor %}{% for x, text in panel.columns %}<text x="{{ x }}" y="{{ height + 18 }}" text-anchor="middle">{{ text }}</text>
{% endfor %}<text x="{{ width / 2 }}" y="{{ height + 38 }}" text-anchor="middle">photos</text>
{% for line in panel.lines %}<polyline fill="none" stroke="{{ line.colour }}" stroke-width="2" points="{{ line.points }}"/>
{% for x, y in line.marks %}<circle cx="{{ x }}" cy="{{ y }}" r="4" fill="{{ line.colour }}"/>
{% endfor %}{% endfor %}</g>
{% endfor %}{% for colour, name in legend %}<circle cx="{{ 70 + 250 * loop.index0 }}" cy="318" r="4" fill="{{ colour }}"/><text x="{{ 80 + 250 * loop.index0 }}" y="322">{{ name }}</text>
{% endfor %}</svg>
"""
)


def draw(rows: Sequence[Mapping[str, object]], file: Path) -> None:
    """Write the picture, if there are rows of photos."""
    lines: dict[str, list[Mapping[str, object]]] = {}
    for row in rows:
        if row["part"] in ("photos", "memory"):
            name = "memory" if row["part"] == "memory" else str(row["method"])
            lines.setdefault(name, []).append(row)
    if not lines:
        return
    panels = [
        _panel(lines, "cpu_seconds", "CPU seconds of the levels", LEFT),
        _panel(lines, "peak_mb", "peak memory in MB", LEFT + WIDTH + 80),
    ]
    legend = [(COLOURS[name], _label(own[0])) for name, own in lines.items()]
    text = _SVG.render(panels=panels, legend=legend, width=WIDTH, height=HEIGHT, top=TOP)
    file.write_text(text, encoding="utf-8")


def _label(row: Mapping[str, object]) -> str:
    each = int(str(row["patches"])) // int(str(row["photos"]))
    source = "from a disk" if row["method"] == "shards" else "computed"
    return f"{each} patches of {row['dim']} each, {source}"


def _panel(
    lines: Mapping[str, Sequence[Mapping[str, object]]], field: str, title: str, left: int
) -> dict[str, object]:
    """Both axes are logarithmic and end at powers of ten."""
    points = {
        name: sorted((float(str(row["photos"])), float(str(row[field]))) for row in own)
        for name, own in lines.items()
    }
    xs, ys = zip(*(point for own in points.values() for point in own), strict=True)
    columns, rows = _powers(xs), _powers(ys)

    def place(point: Point) -> Point:
        x, y = point
        across = (math.log10(x) - columns[0]) / (columns[-1] - columns[0])
        up = (math.log10(y) - rows[0]) / (rows[-1] - rows[0])
        return round(WIDTH * across, 1), round(HEIGHT * (1 - up), 1)

    marks = {name: [place(point) for point in own] for name, own in points.items()}
    return {
        "title": title,
        "left": left,
        "columns": [(place((10.0**c, 10.0 ** rows[0]))[0], _number(c)) for c in columns],
        "rows": [(place((10.0 ** columns[0], 10.0**r))[1], _number(r)) for r in rows],
        "lines": [
            {
                "colour": COLOURS[name],
                "marks": own,
                "points": " ".join(f"{x},{y}" for x, y in own),
            }
            for name, own in marks.items()
        ],
    }


def _powers(values: Sequence[float]) -> list[int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return list(range(low, max(high, low + 1) + 1))


def _number(power: int) -> str:
    return f"{10**power:,}".replace(",", " ") if power >= 0 else str(10.0**power)
