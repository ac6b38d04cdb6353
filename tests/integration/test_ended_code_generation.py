"""TVM generates code in one call of C++: a signal ends a command that waits for it."""

import subprocess
import sys
import time

import pytest

from timing import at_most

# Loops that are unrolled keep LLVM busy for minutes.
PROGRAM = """
import os, signal, sys, threading
from pathlib import Path

import click
import tvm

from wsd.cli.error_report import run_command
from wsd.compiler.tvm_compat.version import first_module
from wsd.util.files import write_folder_atomically

T = first_module("tvm.script.parser.tirx", "tvm.script.parser.tir")
N = 100000


@T.prim_func
def main(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32")):
    for i in T.unroll(N):
        B[i] = A[i] * T.float32(2) + A[(i * 7) % N]


@click.command()
@click.argument("out", type=Path)
def work(out):
    with write_folder_atomically(out):
        threading.Timer(2, os.kill, (os.getpid(), signal.SIGTERM)).start()
        print("begins", flush=True)
        module = tvm.IRModule({"main": main.with_attr("global_symbol", "main")})
        tvm.compile(module, target="llvm")
    print("never", flush=True)


sys.exit(run_command(work, "work"))
"""


@pytest.mark.full
@pytest.mark.timed
def test_code_generation_is_ended(tmp_path):
    program, out = tmp_path / "program.py", tmp_path / "folder" / "out"
    program.write_text(PROGRAM)
    process = subprocess.Popen(
        [sys.executable, program, out], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    with at_most(60, time.monotonic):
        rest, said = process.communicate(timeout=600)
    assert process.returncode == 143
    assert rest == ""
    assert said.splitlines()[-2].startswith("error: stopped by SIGTERM")
    assert list(out.parent.iterdir()) == []
