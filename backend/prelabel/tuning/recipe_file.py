"""The recipe that was found, as a TOML file; and the table of what was compared."""

from __future__ import annotations

import tomllib
from pathlib import Path

from prelabel.config import Config
from prelabel.errors import UserError
from prelabel.overrides import toml
from prelabel.storage.files import replacing
from prelabel.storage.text import one_line, table
from prelabel.tuning.search import Row, Tuning

_FIRST = "# Written by prelabel tune."


def check_recipe_file(file: Path) -> None:
    """Raise UserError if a recipe cannot be written there, or would replace what a user has made."""
    if file.suffix != ".toml":
        raise UserError(f"--out {str(file)!r}: expected the name of a .toml file")
    if file.is_dir() or (
        file.exists() and not file.read_bytes().startswith(_FIRST.encode("ascii"))
    ):
        raise UserError(
            f"--out {str(file)!r} is there and was not written by prelabel tune: name a new file"
        )


def write_recipe(file: Path, tuning: Tuning) -> None:
    """Write the settings that differ from those of `Config`, which `config.load` reads back. Raises
    OSError."""
    lines = [_FIRST, *(f"# {line}" for line in verdict(tuning)), "#"]
    lines += [f"# {line}" for line in table_lines(tuning)]
    text = "\n".join([*lines, "", *_sections(tuning.config)])
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as beside:
        beside.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


def table_lines(tuning: Tuning) -> list[str]:
    """A row for each candidate, under a heading; the chosen one is marked."""
    rows = [("", "foreground IoU", "time saved", "")]
    for row in tuning.rows:
        mark = "best" if row is tuning.best else "better" if row.is_taken else ""
        rows.append((row.name, *_figures(row), mark))
    return table(rows).splitlines()


def verdict(tuning: Tuning) -> list[str]:
    """What was found, for people."""
    first, best = tuning.rows[0].score, tuning.best.score
    how = f"{tuning.n_photos} labelled photos, each left out while others taught"
    if tuning.best is tuning.rows[0] or first is None or best is None:
        return [f"Nothing is better than the default by more than the spread over {how}."]
    gain, error = best.gain_over(first)
    return [
        f"Foreground IoU {best.mean:.2f} instead of {first.mean:.2f} with the default "
        f"(+{gain:.2f} ± {error:.2f}), over {how}.",
        "The settings were chosen on these photos: on others expect a little less.",
    ]


def _figures(row: Row) -> tuple[str, str]:
    if row.score is None:
        return f"not measured: {one_line(row.reason)}", ""
    saved = "–" if row.score.time_saved is None else f"{100 * row.score.time_saved:.0f} %"
    return f"{row.score.mean:.3f} ± {row.score.error:.3f}", saved


def _sections(config: Config) -> list[str]:
    """The sections of a TOML file."""
    default, found = tomllib.loads(Config().to_toml()), tomllib.loads(config.to_toml())
    lines = []
    for section, values in found.items():
        changed = {k: v for k, v in values.items() if default[section].get(k) != v}
        if changed and "name" in values:  # a strategy's other settings are for this name
            changed = {"name": values["name"], **changed}
        if changed:
            lines += [f"[{section}]", *(f"{k} = {toml(v)}" for k, v in changed.items()), ""]
    return lines
