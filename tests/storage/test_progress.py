"""What a run tells of itself while it goes on, and what is known of it afterwards."""

from __future__ import annotations

import pytest

from prelabel.storage.progress import RunLog, reasons


class Recorder:
    """A progress that records its calls."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def start(self, stage: str, total: int) -> None:
        self.calls.append((stage, total))

    def advance(self) -> None:
        self.calls.append("advance")

    def stop(self) -> None:
        self.calls.append("stop")


def test_run_log__stops_its_progress_when_a_stage_fails() -> None:
    recorder = Recorder()
    log = RunLog(recorder)
    with pytest.raises(ZeroDivisionError), log.stage("features", 2):
        log.advance()
        raise ZeroDivisionError
    assert recorder.calls == [("features", 2), "advance", "stop"]
    assert log.seconds["features"] >= 0


def test_run_log__a_stage_entered_twice_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.0, 20.0, 25.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    log = RunLog()
    for _ in range(2):
        with log.stage("regions", 1):
            pass
    assert log.seconds == {"regions": 7.0}


def test_run_log__the_first_reason_stays() -> None:
    log = RunLog()
    log.skip("a.jpg", "cannot be decoded")
    log.skip("a.jpg", "vanished")
    assert log.skipped == {"a.jpg": "cannot be decoded"}


def test_reasons__each_with_its_number_the_most_frequent_first() -> None:
    skipped = {"a": "is empty", "b": "has 3 bytes", "c": "has 40 bytes", "d": "has 5 bytes"}
    assert reasons(skipped) == "3 has 3 bytes (b); 1 is empty (a)"
