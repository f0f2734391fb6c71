"""Output to a pipe: never waited for, in its order, and to the end where it is read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import time

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes are not relayed here")


def _start(body: str) -> subprocess.Popen[str]:
    """A program whose output and errors go into one pipe."""
    head = "import os, subprocess, sys\nfrom prelabel.storage.relay import relayed_output\n"
    command = [sys.executable, "-u", "-c", head + textwrap.dedent(body)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_relayed__a_pipe_that_nobody_reads() -> None:
    program = _start(
        """
        with relayed_output():
            for number in range(50_000):
                print("x" * 99)
            subprocess.run([sys.executable, "-c", "print('y' * 999_999)"], check=True)
        """
    )
    assert program.wait(30) == 0
    assert program.stdout
    assert len(program.stdout.read()) >= 4096  # what a pipe holds at least


def test_relayed__says_what_is_left_out() -> None:
    program = _start(
        """
        with relayed_output():
            for number in range(50_000):
                print("x" * 99)
        """
    )
    time.sleep(1)  # it cannot go on for long without a reader
    text, _ = program.communicate(timeout=30)
    said = re.compile(r"prelabel: ([0-9]+) bytes of output left out: nobody read it\n")
    lost = sum(int(number) for number in said.findall(text))
    assert len(said.sub("", text)) + lost == 50_000 * 100


def test_relayed__lines_in_their_order_to_the_last() -> None:
    program = _start(
        """
        with relayed_output():
            print("first")
            print("second", file=sys.stderr)
            subprocess.run(["echo", "third"], check=True)
            print("last", end="")
        print(" and after")
        """
    )
    text, _ = program.communicate(timeout=30)
    assert text.splitlines() == ["first", "second", "third", "last and after"]


def test_relayed__a_reader_that_is_gone() -> None:
    program = _start(
        """
        with relayed_output():
            for number in range(1000):
                print("x" * 999)
        os._exit(7)
        """
    )
    assert program.stdout
    program.stdout.close()
    assert program.wait(30) == 7
