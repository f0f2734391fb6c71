"""Changes small sound inputs at random and reads them: readers may refuse, and do nothing else.

    python tests/fuzz_readers.py [READER …] --seconds 600 --seed 1

Each input is read in this process. What is not a UserError or a PhotoError, takes more than ten
seconds or needs more memory than ``--memory`` is kept in ``--keep`` and printed; exit code 1. The tests
run a few hundred changes of each (``tests/exporters/test_fuzz.py``).
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parent))  # started as a script

from prelabel.errors import PhotoError, UserError
from support.fuzz_sources import READERS, Reader

SECONDS_EACH = 10
_TOKENS = (
    b"null", b"-1", b"0", b"1e308", b"-1e308", b"NaN", b"Infinity", b'""', b"[]", b"{}", b"true",
    b"9999999999999999999999", b"0.5", b'"0"', b"\xff", b"\x00", b"\xed\xa0\x80", b"../", b"/", b"\\ud800",
    b"<", b">", b"&", b"\n", b",", b":", b"[[[[", b"2147483648", b"65536", b"\xef\xbb\xbf", b"\xff\xfe",
)  # fmt: skip


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The data with one to four changes."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        span = min(rng.choice((1, 1, 2, 4, 16, 64)), len(data) - at)
        other = rng.randrange(len(data) + 1)
        data = rng.choice(
            (
                data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :],
                data[:at] + rng.choice(_TOKENS) + data[at + span :],
                data[:at] + data[at + span :],
                data[:at] + data[at : at + span] * rng.choice((2, 50)) + data[at + span :],
                data[:at] + data[other : other + span] + data[at:],
                data[:at],
            )
        )
    return data


def replaced(value: object, rng: random.Random) -> object:
    """A JSON value with one of its parts replaced by another value."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: replaced(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        if rng.random() < 0.1:
            return value * 2
        return [*value[:place], replaced(value[place], rng), *value[place + 1 :]]
    odd: list[object] = [None, -1, 0, 1e308, -1e308, float("nan"), "", [], {}, True, "0", "\ud800"]
    odd += [2**31, 2**63, 10**30, 0.5, [[]], {"a": 1}, "../x", "x" * 300, [[[[0]]]], "a\0b", "ä"]
    return rng.choice(odd)


def changed(file: Path, rng: random.Random) -> None:
    """Change a file: a JSON value in it, or its bytes."""
    data = file.read_bytes()
    if file.suffix == ".json" and rng.random() < 0.5:
        value = json.loads(data)
        for _ in range(rng.randint(1, 3)):
            value = replaced(value, rng)
        file.write_text(json.dumps(value), encoding="utf-8")
    else:
        file.write_bytes(mutated(data, rng))


def run(
    reader: Reader, source: Path, *, seed: int, until: Callable[[int], bool], keep: Path | None
) -> list[str]:
    """Change and read copies of ``source`` while ``until`` says False of their number; what went
    wrong, each with its traceback."""
    faults: list[str] = []
    files = sorted(f.relative_to(source) for f in source.rglob("*") if f.is_file())
    number = 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        while not until(number):
            rng = random.Random(f"{reader.name} {seed} {number}")
            copy = Path(folder) / "x"
            shutil.copytree(source, copy)
            for name in rng.sample(files, min(len(files), rng.choice((1, 1, 1, 2)))):
                changed(copy / name, rng)
            fault = fault_of(reader, copy)
            if fault:
                faults.append(f"{reader.name}, seed {seed}, number {number}:\n{fault}")
                if keep is not None:
                    shutil.copytree(copy, keep / f"{reader.name}-{seed}-{number}")
            shutil.rmtree(copy)
            number += 1
    return faults


def fault_of(reader: Reader, source: Path) -> str:
    """What goes wrong when an input is read, with its traceback; "" for nothing, or a refusal."""
    try:
        with _limited():
            reader.read(source)
    except (UserError, PhotoError) as error:
        return "" if "\n" not in str(error) else f"a message of several lines: {error}"
    except BaseException:
        return traceback.format_exc()
    return ""


class _TookTooLong(BaseException):
    """Not an Exception, and no OSError as TimeoutError is: a reader would take it for a file's fault."""


@contextmanager
def _limited() -> Iterator[None]:
    def stop(_: int, __: FrameType | None) -> None:
        raise _TookTooLong(f"took more than {SECONDS_EACH} s")

    earlier = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS_EACH)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, earlier)


def main() -> int:
    """Fuzz the readers that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", nargs="*", choices=[*READERS, []])
    parser.add_argument("--seconds", type=float, default=60.0, help="for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", type=float, default=2.0, help="GB beyond what is used now")
    parser.add_argument("--keep", type=Path, help="a folder for inputs that went wrong")
    options = parser.parse_args()
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    limit = int(used * 4 + options.memory * 1e9)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    faults = 0
    for name in options.readers or READERS:
        reader = READERS[name]
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            source = Path(folder) / "sound"
            source.mkdir()
            reader.make(source)
            reader.read(source)
            end = time.monotonic() + options.seconds
            count = 0

            def until(number: int, end: float = end) -> bool:
                nonlocal count
                count = number
                return time.monotonic() > end

            found = run(reader, source, seed=options.seed, until=until, keep=options.keep)
        print(f"{name}: {count} inputs, {len(found)} faults", flush=True)
        for fault in found[:5]:
            print(fault, flush=True)
        faults += len(found)
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main())
