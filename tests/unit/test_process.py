"""Programs that WSD starts: they end with what started them, and so do those that they start."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from timing import at_most
from wsd.errors import ToolError
from wsd.util import process
from wsd.util.process import call_apart, run

# Starts another shell, as emcc starts clang, and both write their ids.
FAMILY = 'echo $$ > "$0/parent"; sh -c "echo \\$\\$ > $0/child; exec sleep 600"; true'


def is_alive(pid):
    """Tell whether a process runs; one that has ended and that nobody asked about does not."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def all_end(pids):
    """Tell whether processes end; what was killed ends when the processor has time for it."""
    until = time.monotonic() + 30
    while any(is_alive(pid) for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def wait_for(path):
    for _ in range(6000):
        if path.exists() and path.read_text().strip():
            return int(path.read_text())
        time.sleep(0.01)
    raise AssertionError(f"{path} was not written")


def ids(folder):
    return [wait_for(folder / name) for name in ("parent", "child")]


@pytest.mark.slow
def test_a_program_that_takes_too_long_ends_with_its_children(tmp_path):
    with pytest.raises(ToolError, match="took more than 1 s"):
        # Time enough for the shell to start what it has to end.
        run(["sh", "-c", FAMILY, tmp_path], timeout=1)
    assert all_end(ids(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("deaf", [False, True])
def test_a_signal_ends_programs_and_their_children(tmp_path, deaf, monkeypatch):
    """Also those that do not listen to it."""
    monkeypatch.setattr(process, "_GRACE_SECONDS", 0.3)
    program = ("trap '' TERM; " if deaf else "") + FAMILY

    def interrupt():
        ids(tmp_path)
        os.kill(os.getpid(), signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        run(["sh", "-c", program, tmp_path])
    interrupter.join()
    assert all_end(ids(tmp_path))


STOPS = """
import signal, sys, time
from contextlib import contextmanager
from wsd.util.stops import Stopped, defer_stops, raise_for_stops
"""


def run_stops(program):
    """Run a program that sends itself signals; return exit code and what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", STOPS + program],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout.splitlines(), done.stderr


@pytest.mark.slow
def test_a_signal_waits_until_a_block_has_ended():
    code, said, _ = run_stops("""
with raise_for_stops():
    with defer_stops():
        with defer_stops():
            signal.raise_signal(signal.SIGTERM)
            print("inner", flush=True)
        print("outer", flush=True)
    print("never")
""")
    assert (code, said) == (143, ["inner", "outer"])


@pytest.mark.slow
def test_a_signal_whose_exception_was_lost_comes_again():
    """Python prints exceptions of ``__del__`` and goes on."""
    code, said, error = run_stops("""
class Loses:
    def __del__(self):
        signal.raise_signal(signal.SIGHUP)
with raise_for_stops():
    Loses()
    print("lost", flush=True)
    time.sleep(60)
""")
    assert (code, said, error) == (129, ["lost"], "")


@pytest.mark.slow
def test_an_error_that_a_library_makes_of_a_signal_is_the_signal():
    code, said, _ = run_stops("""
with raise_for_stops():
    try:
        signal.raise_signal(signal.SIGTERM)
    except BaseException as error:
        raise RuntimeError("C++ called Python") from error
""")
    assert (code, said) == (143, [])


@pytest.mark.slow
def test_signals_that_are_ignored_stay_so():
    code, said, _ = run_stops("""
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with raise_for_stops():
    signal.raise_signal(signal.SIGHUP)
    print("goes on")
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
""")
    assert (code, said) == (0, ["goes on"])


# A call of C that computes for a time, lets other threads run, and hears of no signal.
NATIVE = """
import hashlib, os, threading
from wsd.util import stops
from wsd.util.stops import on_forced_end
stops._PATIENCE = 0.3

def compute(rounds):
    hashlib.pbkdf2_hmac("sha256", b"", b"", rounds)

def send(number):
    threading.Timer(0.1, os.kill, (os.getpid(), number)).start()
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=str)
def test_a_signal_ends_a_native_call(number):
    """The cleaning of each block that the call is in comes, from the inside to the outside."""
    code, said, _ = run_stops(f"""{NATIVE}
with raise_for_stops(lambda number: print("ended by", number, flush=True)):
    with on_forced_end(lambda: print("outer", flush=True)):
        with on_forced_end(lambda: 1 / 0), on_forced_end(lambda: print("inner", flush=True)):
            with on_forced_end(lambda: print("never")):
                pass
            send({int(number)})
            compute(1 << 30)
""")
    assert (code, said) == (128 + number, ["inner", "outer", f"ended by {int(number)}"])


@pytest.mark.slow
def test_a_native_call_that_ends_soon_is_waited_for():
    code, said, _ = run_stops(f"""{NATIVE}
stops._PATIENCE = 60
with raise_for_stops(lambda _: print("never")):
    with on_forced_end(lambda: print("never")):
        try:
            send(signal.SIGTERM)
            rounds, began = 1000, time.monotonic()
            while time.monotonic() < began + 60:
                compute(rounds)
                rounds *= 2
        finally:
            print("cleans up")
""")
    assert (code, said) == (143, ["cleans up"])


@pytest.mark.slow
def test_a_native_call_that_ends_too_late_is_not_returned_from():
    """The main thread would else make files anew that the other thread has just removed."""
    code, said, _ = run_stops(f"""{NATIVE}
began = time.monotonic()
compute(1 << 20)
second = int((1 << 20) / (time.monotonic() - began))
with raise_for_stops():
    with on_forced_end(lambda: (time.sleep(3), print("cleans up", flush=True))):
        send(signal.SIGTERM)
        # Long enough where the measured second was a busy one. It need not end.
        compute(2 * second)
        print("never", flush=True)
""")
    assert (code, said) == (143, ["cleans up"])


@pytest.mark.slow
def test_a_second_signal_ends_what_lost_the_first():
    code, said, _ = run_stops(f"""{NATIVE}
with raise_for_stops(lambda _: print("ended", flush=True)):
    try:
        signal.raise_signal(signal.SIGTERM)
    except Stopped:
        print("lost", flush=True)
    send(signal.SIGINT)
    compute(1 << 30)
""")
    assert (code, said) == (130, ["lost", "ended"])


@pytest.mark.slow
def test_signals_of_others_end_nothing():
    """Neither those that a library handles, nor those of a forked process."""
    code, said, error = run_stops(f"""{NATIVE}
import warnings
warnings.simplefilter("ignore")  # of forks where threads run
signal.signal(signal.SIGUSR1, lambda *_: None)
with raise_for_stops(lambda _: print("never")):
    with on_forced_end(lambda: print("never")):
        child = os.fork()
        if not child:
            os.kill(os.getpid(), signal.SIGTERM)
        send(signal.SIGUSR1)
        _, status = os.waitpid(child, 0)
        time.sleep(1)
print("goes on", os.waitstatus_to_exitcode(status))
assert signal.set_wakeup_fd(-1) == -1
""")
    assert (code, said, error) == (0, ["goes on 143"], "")


def test_a_function_that_is_called_apart_changes_nothing_here():
    found = []

    def work():
        found.append(1)
        # More than a pipe holds.
        return bytes(found) * (1 << 20)

    assert call_apart(work, 60) == b"\1" * (1 << 20)
    assert found == []
    assert call_apart(lambda: b"", 60) == b""


def fail():
    raise ValueError("a fault of ours")


@pytest.mark.slow
@pytest.mark.timed
@pytest.mark.parametrize(
    ("work", "kind", "said"),
    [
        (lambda: time.sleep(60), TimeoutError, "it took more than 0.2 s"),
        # A call of C that hears of no signal.
        (lambda: hashlib.pbkdf2_hmac("md5", b"", b"", 1 << 30), TimeoutError, "it took more than"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), ChildProcessError, "ended with code -9"),
        (lambda: os._exit(0), ChildProcessError, "ended with code 0"),
        (fail, AssertionError, "in fail\n.*ValueError: a fault of ours"),
    ],
    ids=["waits", "computes", "crashes", "ends", "fails"],
)
def test_a_function_that_is_called_apart_neither_hangs_nor_crashes_this_process(work, kind, said):
    with at_most(30, time.monotonic), pytest.raises(kind, match=f"(?s){said}"):
        call_apart(work, 0.2)


@pytest.mark.slow
def test_a_function_that_is_called_apart_ends_with_a_signal_to_its_caller():
    code, said, _ = run_stops("""
import hashlib, os, threading
from wsd.util.process import call_apart
def work():
    os.write(1, f"{os.getpid()}\\n".encode())
    os.kill(os.getppid(), signal.SIGTERM)
    return hashlib.pbkdf2_hmac("md5", b"", b"", 1 << 30)
with raise_for_stops():
    call_apart(work, 600)
""")
    assert code == 143
    assert all_end([int(said[0])])


@pytest.mark.slow
def test_a_signal_whose_number_comes_after_it_was_heard_ends_nothing():
    """Python notes a signal before it writes its number."""
    code, said, _ = run_stops(f"""{NATIVE}
with raise_for_stops(lambda _: print("never")):
    with on_forced_end(lambda: print("never")):
        watch = stops._state.watch
        watch.hear()
        watch._written.send(bytes([signal.SIGTERM]))
        time.sleep(1)
print("goes on")
""")
    assert (code, said) == (0, ["goes on"])
