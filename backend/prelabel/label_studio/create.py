"""A new Label Studio project of photos: with labels, tabs, instructions and the backend, ready to work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from prelabel.data.records import ImageFile
from prelabel.errors import UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.storages import StoragePlace, link_storage
from prelabel.label_studio.api.tabs import add_tab, has_label, tabs
from prelabel.label_studio.format.new_config import new_label_config
from prelabel.label_studio.upload import ENDINGS, upload_photos
from prelabel.storage.progress import RunLog

_TITLE = 3, 50
"""Characters of a title that Label Studio takes."""
_MOST_TABS = 20
"""Labels with a tab of their own: of more, nobody would find one."""
_BACKEND = "prelabel"
_ALL = "All photos"
_UNFINISHED = "prelabel is setting this project up. Was that cut off? Run the same command again."
_FINISHED = "Set up by prelabel. Name the classes of masks first, then correct masks and submit."


@dataclass(frozen=True)
class Backend:
    """A running ``prelabel serve``. ``user``, ``password``: "" if it needs none."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)

    def review_page(self, project_id: int) -> str:
        """Where the classes of a project are named."""
        return f"{self.url.rstrip('/')}/projects/{project_id}/review/"


@dataclass(frozen=True)
class NewProject:
    """What is to be made. ``photos``: to be uploaded; or ``place``: where they stay. ``backend``: to be
    connected, None for none."""

    title: str
    labels: Sequence[str]
    photos: Sequence[ImageFile] = ()
    place: StoragePlace | None = None
    backend: Backend | None = None


@dataclass(frozen=True)
class Created:
    """The project's number; ``tasks``: how many it has; ``left_out``: photos that were not uploaded,
    with reasons."""

    id: int
    tasks: int
    left_out: Sequence[tuple[str, str]] = ()


def create_project(client: Client, new: NewProject, log: RunLog) -> Created:
    """Make a project. One that an earlier call has begun is continued; any other one with this title is
    an error, and is not touched. Raises UserError."""
    _check_title(new.title)
    project_id = _begin(client, new)
    left_out: list[tuple[str, str]] = []
    if new.place:
        with log.stage("photos", 1):
            link_storage(client, project_id, new.place)
            log.advance()
    else:
        left_out = upload_photos(client, project_id, new.photos, log)
    tasks = client.project(project_id).task_number
    if not tasks:
        raise UserError(
            f"project {project_id} has no photo: none was found there, or none that Label Studio "
            f"shows ({', '.join(ENDINGS)}); put some there, then run the same command again"
        )
    _add_tabs(client, project_id, new.labels)
    if new.backend:
        connect(client, project_id, new.backend)
    describe(client, project_id, new.backend)
    return Created(project_id, tasks, left_out)


def find_finished(client: Client, title: str) -> int | None:
    """The number of a project of this title, unless its making was cut off. Raises UserError."""
    found = client.find_project(title)
    if found is None or client.project(found).description == _UNFINISHED:
        return None
    return found


def connect(client: Client, project_id: int, backend: Backend) -> None:
    """Connect the backend to a project, in the place of an earlier one. Raises UserError."""
    client.connect_backend(
        project_id,
        backend.url,
        title=_BACKEND,
        user=backend.user,
        password=backend.password,
    )


def describe(client: Client, project_id: int, backend: Backend | None) -> None:
    """Say in the project what is to be done in it, and where. Raises UserError."""
    page = backend.review_page(project_id) if backend else ""
    client.describe_project(project_id, f"{_FINISHED} {page}".strip(), instructions(page))


def instructions(review_page: str) -> str:
    """What annotators see first, as HTML. ``review_page``: "" if there is none."""
    naming = (
        "Masks have no names at first: give one region its label, and its class has it everywhere."
    )
    if review_page:
        address = escape(review_page, quote=True)
        naming = (
            f'First, one person names all classes on the <a href="{address}" target="_blank">review '
            "page</a>; every photo has the names then."
        )
    return f"""<p><b>Name.</b> {naming}</p>
<p><b>Correct.</b> Press V and choose a region. Press the key of a label to name it, change its edge with
brush and eraser, or delete it. Then submit: what is drawn on a photo teaches the masks of the others.</p>
<p><b>Smart.</b> Switch on <i>Auto-Annotation</i> and <i>Auto-Accept Suggestions</i> below the photo. Press
M until the tool that you want is active: a point or a box. Choose a label in its row, and click an
object, or draw a box around it. The label is chosen anew for each point. Alt+click says what does not
belong to the object.</p>"""


def _check_title(title: str) -> None:
    least, most = _TITLE
    if not least <= len(title) <= most:
        raise UserError(
            f"the title {title!r} has {len(title)} characters, and Label Studio takes {least} to "
            f"{most}: give another --title"
        )


def _begin(client: Client, new: NewProject) -> int:
    """The number of the project, new or begun before. Raises UserError."""
    xml = new_label_config(new.labels)
    found = client.find_project(new.title)
    if found is None:
        return client.create_project(new.title, xml, description=_UNFINISHED)
    project = client.project(found)
    where = f"{client.url}/projects/{found}"
    if project.description != _UNFINISHED:
        raise UserError(
            f"there is a project {new.title!r} already ({where}), which is not touched: give another "
            "--title"
        )
    if project.label_config.split() != xml.split():
        raise UserError(
            f"the project {new.title!r} ({where}), which was cut off while it was made, has other "
            "labels: give the same --labels, or delete it in Label Studio"
        )
    return found


def _add_tabs(client: Client, project_id: int, labels: Sequence[str]) -> None:
    """One with all photos, and one for each label, where they are missing. Raises UserError."""
    known = {tab.title for tab in tabs(client, project_id)}
    if _ALL not in known:
        add_tab(client, project_id, _ALL)
    for label in labels[:_MOST_TABS]:
        if label not in known:
            add_tab(client, project_id, label, conditions=has_label(label), conjunction="or")
