"""What the tests of all of Label Studio's rooms share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from prelabel.label_studio import bulk


@pytest.fixture(scope="module", autouse=True)
def _no_certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test here speaks HTTPS: a client need not read every certificate of the world, which takes
    it longer than most tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SSL_CERT_FILE", raising=False)
        patch.setenv("SSL_CERT_DIR", str(tmp_path_factory.mktemp("certificates")))
        yield


@pytest.fixture(autouse=True)
def _no_task_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has a task open: a bulk run need not keep earlier predictions for a minute."""
    monkeypatch.setattr(bulk, "OPEN", 0.0)
