"""run.json: what a command did, for people, and what later commands read of it."""

from __future__ import annotations

import json

import msgspec


class Skipped(msgspec.Struct):
    """A photo that was left out."""

    photo: str
    reason: str


class PhotoFacts(msgspec.Struct, omit_defaults=True):
    """Numbers of photos. ``folder``: the one that their names are relative to. ``empty``: predicted
    photos without a region; ``from_cache``: those whose regions were known from an earlier run."""

    folder: str
    found: int
    fitted: int
    skipped: list[Skipped]
    predicted: int | None = None
    empty: int | None = None
    from_cache: int | None = None


class TaughtFacts(msgspec.Struct):
    """What labelled photos have taught.

    ``photos``: how many. ``classes``: of the labels. ``weight``: in [0, 1], how far the learner
    decides where objects are; the clusterings have the rest. ``name_weight``: how far it decides a
    region's class; the most similar labelled region has the rest. ``foreground_iou``: for each
    weight that was tried, the mean IoU of foreground patches on labelled photos that were left out
    while learning; ``names_right``: the share of their regions that got their own class. Empty where
    too few photos could be left out. ``neck``: regions are cut where they are narrower than this share
    of the thinner side; 0 cuts none. ``more_regions``: whether the separator makes more of them, too.
    """

    photos: int
    classes: list[str]
    weight: float
    name_weight: float
    foreground_iou: dict[str, float]
    names_right: dict[str, float]
    neck: float = 0.0
    more_regions: bool = False

    @property
    def line(self) -> str:
        """For people, on one line."""
        n, k = self.photos, len(self.classes)
        counts = f"{n} photo{'s' * (n != 1)}, {k} class{'es' * (k != 1)}"
        without = self.foreground_iou.get("0")
        best = self.foreground_iou.get(f"{self.weight:g}")
        if without is None or best is None:
            more = "too few to tell by photos left out how much they help"
            if not self.weight:
                more = "they do not teach where objects are"
        elif best <= without:
            more = (
                f"foreground IoU on photos left out is no better with them ({without:.2f}): "
                f"regions stay {'nearly ' if self.weight else ''}as without labels"
            )
        else:
            more = f"foreground IoU on photos left out {best:.2f} instead of {without:.2f}"
        apart = "; regions that hold several objects are cut apart" if self.neck else ""
        return f"{counts}; {more}{apart}"


class GroupFacts(msgspec.Struct, omit_defaults=True):
    """What regions look like, in a sample of them.

    ``regions``: how many were looked at; of fewer than ``regions_needed`` nothing is said.
    ``groups``: how many dense groups they make, as ``classes.count=auto`` finds them.
    ``class_silhouette``: how well the classes that were used are apart, the mean over these regions
    in [-1, 1]: near 1 far, near 0 not at all. ``group_silhouette``: likewise of the groups, each
    region counted to the nearest one. A silhouette is left out where there are fewer than two.
    """

    regions: int
    regions_needed: int
    groups: int | None = None
    class_silhouette: float | None = None
    group_silhouette: float | None = None

    def line(self, classes_used: int) -> str:
        """For people, on one line."""
        if self.groups is None:
            return (
                f"{self.regions} regions, too few to say how many groups they look like "
                f"({self.regions_needed} are needed)"
            )
        used = f"{classes_used} class{'es' * (classes_used != 1)} used"
        if not self.groups:
            like = "no groups: none are much more like each other than like the rest"
        else:
            like = f"about {self.groups} group{'s' * (self.groups != 1)}"
        return (
            f"{used}{_silhouette(self.class_silhouette)}; "
            f"regions look like {like}{_silhouette(self.group_silhouette)}"
        )


def _silhouette(mean: float | None) -> str:
    return "" if mean is None else f" (silhouette {mean:.2f})"


class RecipeFacts(msgspec.Struct):
    """The recipe that ``--recipe auto`` chose. ``reason``: what of the photos speaks for it."""

    name: str
    reason: str

    @property
    def line(self) -> str:
        """For people, on one line."""
        return f"{self.name}, since {self.reason}"


class RunFacts(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What `prelabel run`, `fit` and `predict` did; in run.json, in the terminal and in the report.

    ``prelabel``: its version. ``weights``: their ``name``, and what else decides the features.
    ``strategies``: distribution and version by kind. ``recipe``: None but where the photos chose
    it. ``taught``: None without labels.
    ``region_groups``: None where classes are the groups that were found. ``near_identical``: names of
    photos, by group. ``seconds``: by stage, and ``total``. ``formats``: exports that lie
    in the folder, ``format_settings``: their settings; ``single_file``: whether the report has its pictures inside. What fit alone does not know
    is None, and left out of JSON.
    """

    command: str
    state: str
    prelabel: str
    model_version: str
    weights: dict[str, object]
    photos: PhotoFacts
    classes: int
    class_names: list[str]
    strategies: dict[str, str]
    config: dict[str, object]
    warnings: list[str]
    recipe: RecipeFacts | None = None
    taught: TaughtFacts | None = None
    regions: int | None = None
    classes_used: int | None = None
    parts_left_out: int | None = None
    region_groups: GroupFacts | None = None
    near_identical: list[list[str]] = []
    seconds: dict[str, float]
    peak_memory_mb: float
    photos_per_second: float | None = None
    formats: list[str] | None = None
    format_settings: dict[str, dict[str, object]] = {}
    single_file: bool = False

    @property
    def near_identical_line(self) -> str:
        """For people, on one line; "" if there are none."""
        n, k = sum(map(len, self.near_identical)), len(self.near_identical)
        return f"{n} photos are near-identical to others, in {k} group{'s' * (k != 1)}" if n else ""


class PhotoFolder(msgspec.Struct):
    """Where a run's photos lie."""

    folder: str


class FolderFacts(msgspec.Struct, omit_defaults=True):
    """What is read of any run.json, whichever version wrote it; and all that commands write which
    predict nothing. ``formats``: exports that lie in the folder."""

    command: str
    state: str
    model_version: str | None = None
    formats: list[str] | None = None
    class_names: list[str] | None = None
    photos: PhotoFolder | None = None


def facts_json(facts: RunFacts | FolderFacts) -> str:
    """The text of run.json."""
    return json.dumps(msgspec.to_builtins(facts), indent=1) + "\n"
