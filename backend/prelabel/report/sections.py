"""The parts of the page that need no script: figures, warnings, tables. All functions give HTML."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prelabel.report.totals import N_BINS, Totals

# Control characters are shown as JSON writes them: a line feed as \n.
_VISIBLE = {code: json.dumps(chr(code))[1:-1] for code in range(0x20)}
_SHOWN_ELSEWHERE = {
    "seconds", "weights", "warnings", "config", "regions", "class_names", "classes_used",
    "parts_left_out", "photos_per_second", "peak_memory_mb", "command", "state",
}  # fmt: skip


def text(value: object) -> str:
    """Any value as text that cannot be taken for markup, control characters made visible."""
    return html.escape(str(value).translate(_VISIBLE))


def tiles(totals: Totals, info: Mapping[str, Any], *, classes: Sequence[str]) -> str:
    """The main figures at the head of the page."""
    regions, photos = totals.regions, max(totals.photos, 1)
    used, n_skipped = len(totals.class_sizes), len(_skipped(info))
    figures = [
        ("photos", _count(totals.photos), ""),
        ("regions", _count(regions), f"{regions / photos:.1f} per photo"),
        ("classes", _count(max(len(classes), used)), f"{used} with regions"),
        ("empty photos", _count(totals.empty), f"{100 * totals.empty / photos:.0f} % of photos"),
        ("skipped", _count(n_skipped), '<a href="#skipped">reasons</a>' if n_skipped else ""),
    ]
    if totals.dropped:
        figures.append(("parts left out", _count(totals.dropped), "tiny, or around all else"))
    if isinstance(rate := info.get("photos_per_second"), int | float):
        figures.append(("photos per second", f"{rate:.3g}", ""))
    if isinstance(peak := info.get("peak_memory_mb"), int | float):
        figures.append(("MB peak memory", _count(round(peak)), ""))
    return "".join(
        f"<div><dt>{name}</dt><dd>{value}</dd><dd class=soft>{note}</dd></div>"
        for name, value, note in figures
    )


def weights(info: Mapping[str, Any]) -> str:
    """Whose weights made the figures; stand-in weights get a warning of their own."""
    found = info.get("weights")
    facts = dict(_flat(found)) if isinstance(found, Mapping) else {"name": text(found or "")}
    name = facts.pop("name", "") or "not recorded"
    details = "".join(f"<div><dt>{key}</dt><dd>{value}</dd></div>" for key, value in facts.items())
    stand_in = _is_stand_in(found)
    note = (
        "<p><strong>Stand-in weights, trained with labels.</strong> They show how the tool works;"
        " no figure on this page is a result of DINO or of the paper.</p>"
        if stand_in
        else ""
    )
    return (
        f'<section class="weights{" stand-in" if stand_in else ""}" aria-label="Weights">'
        f"<h2>Weights <b>{name}</b></h2>{note}<dl class=facts>{details}</dl></section>"
    )


def warnings(info: Mapping[str, Any]) -> str:
    """The run's warnings, or nothing."""
    found = info.get("warnings") or []
    items = [found] if isinstance(found, str) else found
    lines = "".join(f"<li>{text(item)}</li>" for item in items)
    return f"<section class=warnings><h2>Warnings</h2><ul>{lines}</ul></section>" if lines else ""


def class_bars(sizes: Sequence[tuple[int, str, str, int]]) -> str:
    """Bars of class sizes, from (class id, name, CSS colour, regions) in the order to show."""
    largest = max((size for *_, size in sizes), default=0) or 1
    return "".join(
        f'<li><a href="#class-{i}"><span class=name>{text(name)}</span>'
        f"<span class=track>{_bar(size / largest, color)}</span>"
        f"<span class=size>{_count(size)}</span></a></li>"
        for i, name, color, size in sizes
    )


def histogram(counts: Sequence[int]) -> str:
    """An inline SVG of region counts by score, N_BINS bins from 0 to 1."""
    width, height = 600, 180
    step, top = width / N_BINS, max(counts) or 1
    bars = "".join(
        f'<rect x="{i * step + 1:g}" y="{height - height * n / top:.1f}" width="{step - 2:g}" '
        f'height="{height * n / top:.1f}" rx="3"><title>{i / N_BINS:.2f}–{(i + 1) / N_BINS:.2f}: '
        f"{_count(n)} regions</title></rect>"
        for i, n in enumerate(counts)
    )
    anchors = {0: "start", 0.25: "middle", 0.5: "middle", 0.75: "middle", 1: "end"}
    ticks = "".join(
        f'<text x="{width * tick:g}" y="{height + 20}" text-anchor="{anchor}">{tick:g}</text>'
        for tick, anchor in anchors.items()
    )
    return (
        f'<svg class=histogram viewBox="0 -24 {width} {height + 50}" role="img" '
        f'aria-label="Regions by score">{bars}<path d="M0 {height}h{width}"/>{ticks}'
        f'<text x="0" y="-8">highest bar: {_count(max(counts))}</text></svg>'
    )


def timings(info: Mapping[str, Any]) -> str:
    """Seconds of each stage, with its share of the whole."""
    found = info.get("seconds")
    stages = dict(found) if isinstance(found, Mapping) else {}
    numbers = {k: float(v) for k, v in stages.items() if isinstance(v, int | float)}
    whole = sum(v for k, v in numbers.items() if k != "total") or 1.0
    rows = "".join(
        f"<tr><th scope=row>{text(stage)}</th><td>{seconds:.2f} s</td>"
        + (
            "<td></td></tr>"
            if stage == "total"
            else f"<td class=track>{_bar(seconds / whole)}</td></tr>"
        )
        for stage, seconds in numbers.items()
    )
    return f"<table class=timings>{rows}</table>" if rows else "<p class=soft>Not recorded.</p>"


def skipped(info: Mapping[str, Any]) -> str:
    """Photos that were left out, with reasons."""
    rows = "".join(
        f"<tr><th scope=row>{text(item.get('photo', item))}</th>"
        f"<td>{text(item.get('reason', ''))}</td></tr>"
        if isinstance(item, Mapping)
        else f"<tr><th scope=row>{text(item)}</th><td></td></tr>"
        for item in _skipped(info)
    )
    return f"<table>{rows}</table>" if rows else "<p class=soft>None.</p>"


def config(info: Mapping[str, Any]) -> str:
    """The exact config, as the names and values that ``--set`` takes."""
    rows = "".join(f"{key} = {value}\n" for key, value in _flat(info.get("config") or {}))
    return f"<pre tabindex=0>{rows}</pre>" if rows else "<p class=soft>Not recorded.</p>"


def others(info: Mapping[str, Any]) -> str:
    """Everything in ``info`` that has no place of its own."""
    rest = {key: value for key, value in info.items() if key not in _SHOWN_ELSEWHERE}
    if isinstance(photos := rest.pop("photos", None), Mapping):
        rest |= {f"photos.{k}": v for k, v in photos.items() if k != "skipped"}
    rows = (f"<tr><th scope=row>{key}</th><td>{value}</td></tr>" for key, value in _flat(rest))
    return f"<table>{''.join(rows)}</table>"


def _bar(share: float, color: str = "var(--bar)") -> str:
    return f'<span style="width:{100 * share:.1f}%;background:{color}"></span>'


def _count(n: int) -> str:
    return f"{n:,}".replace(",", "\u202f")


def _flat(value: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as escaped ``section.name`` and value."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        plain = value if isinstance(value, str) else json.dumps(value, default=str)
        yield text(prefix), text(plain)


def _is_stand_in(weights: object) -> bool:
    if isinstance(weights, Mapping):
        return bool(weights.get("stand_in")) or any(map(_is_stand_in, weights.values()))
    return isinstance(weights, str) and "stand-in" in weights.lower()


def _skipped(info: Mapping[str, Any]) -> Sequence[object]:
    photos = info.get("photos")
    found = photos.get("skipped") if isinstance(photos, Mapping) else None
    return found if isinstance(found, list | tuple) else ()
