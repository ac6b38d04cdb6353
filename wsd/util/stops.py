"""Signals that ask the program to end: each raises an exception, so that it cleans up.

By default SIGTERM and SIGHUP end a program at once, and what is half written stays. Here each of
them, and SIGINT, raises an exception wherever the program is. A block that must not be cut in two,
such as making a temporary folder and noting that it must be removed, lets the exception wait.

Python raises the exception between two steps of Python code in the main thread. TVM generates code
for minutes in one call of C++, and the exception would wait for its end. So a second thread learns
of every signal from the operating system, by :func:`signal.set_wakeup_fd`. If the main thread does
not hear of a signal soon, the second thread does what :func:`on_forced_end` was told, and ends the
process. That needs no second process, works for every library that lets other threads run while it
computes, as both versions of TVM, torch and numpy do, and changes nothing where Python code runs.
"""

from __future__ import annotations

import math
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from wsd.util.foreign_messages import show_lost_error

# Signals that ask a program to end, and what they do to one that has not asked for them.
_DEFAULTS = {
    getattr(signal, name): default
    for name, default in (
        ("SIGINT", signal.default_int_handler),
        ("SIGTERM", signal.SIG_DFL),
        ("SIGHUP", signal.SIG_DFL),
    )
    if hasattr(signal, name)
}


# Seconds after which a signal is sent again: by then the call that lost its exception has returned.
_SOON = 0.01
# Seconds in which the main thread must hear of a signal. It takes milliseconds if Python code runs.
_PATIENCE = 2.0
# Seconds between two looks at whether it has heard.
_LOOK = 0.05
# Python notes a signal and then writes its number: the main thread may hear of it in between.
_LATE = 0.1
# Signals that are read at once from the operating system.
_MANY = 4096


class Stopped(SystemExit):
    """A signal asked this program to end; the code is that of shells, 128 + the signal's number.

    Attributes:
        number: the signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


@dataclass
class _State:
    """What the main thread, which alone gets signals, knows of them.

    Attributes:
        deferring: how many blocks of :func:`defer_stops` it is in.
        waiting: the signal that came meanwhile.
        asked: the last signal that came.
        watch: the thread that ends the process if the main thread does not hear of a signal.
    """

    deferring: int = 0
    waiting: int | None = None
    asked: int | None = None
    watch: _Watch | None = None


class _Watch:
    """A thread that ends the process if the main thread does not hear of a signal.

    The operating system writes the number of each signal to a socket. The main thread reads it when
    it hears of the signal; what lies there for long was not heard.
    """

    def __init__(self, wanted: Sequence[int], report: Callable[[int], object]) -> None:
        """Make the thread, which :meth:`start` starts.

        Args:
            wanted: the signals that ask the program to end.
            report: says that a signal ended the program.
        """
        self._wanted = frozenset(wanted)
        self._report = report
        self._incoming, self._written = socket.socketpair()
        for end in (self._incoming, self._written):
            end.setblocking(False)
        # A handler of a signal may interrupt another one that holds the lock.
        self._lock = threading.RLock()
        self._is_over = self._has_taken_over = False
        self._before = -1
        self._heard = -math.inf
        self._thread = threading.Thread(target=self._run, name="signals", daemon=True)

    def start(self) -> None:
        """Begin; only the main thread may call this."""
        self._before = signal.set_wakeup_fd(self._written.fileno(), warn_on_full_buffer=False)
        self._thread.start()

    def disarm(self) -> None:
        """Let the process live from now on, whatever signals come."""
        self._is_over = True
        signal.set_wakeup_fd(self._before)

    def close(self) -> None:
        """End the thread, after :meth:`disarm`."""
        self._written.close()
        self._thread.join()
        self._incoming.close()

    def hear(self) -> None:
        """Note that the main thread has heard of all signals so far.

        It does not return if it is too late: the thread cleans up, and the main thread must not
        make anything new meanwhile.
        """
        with self._lock:
            self._heard = time.monotonic()
            self._read()
            while self._has_taken_over:
                time.sleep(_PATIENCE)

    def _run(self) -> None:
        while True:
            select.select([self._incoming], [], [])
            if self._is_over:
                return
            if self._drop_unwanted():
                continue
            until = time.monotonic() + _PATIENCE
            while time.monotonic() < until and self._find_unheard() is not None:
                time.sleep(_LOOK)
            with self._lock:
                number = self._find_unheard()
                self._has_taken_over = number is not None
            if number is not None:
                self._end(number)

    def _read(self, flags: int = 0) -> bytes:
        with suppress(BlockingIOError):
            return self._incoming.recv(_MANY, flags)
        return b""

    def _drop_unwanted(self) -> bool:
        """Read signals that libraries handle, or that were heard; tells whether no others wait."""
        with self._lock:
            waiting = self._read(socket.MSG_PEEK)
            is_heard = time.monotonic() - self._heard < _LATE
            if self._wanted.intersection(waiting) and not is_heard:
                return False
            # No more than that: a wanted one may have come just now.
            if waiting:
                self._incoming.recv(len(waiting))
            return True

    def _find_unheard(self) -> int | None:
        """Return a signal of which the main thread has not heard, or None."""
        if self._is_over:
            return None
        unheard = self._read(socket.MSG_PEEK)
        return next((number for number in unheard if number in self._wanted), None)

    def _end(self, number: int) -> NoReturn:
        """Clean up and end the process."""
        try:
            while _actions:
                with suppress(Exception):
                    _actions.pop()()
            with suppress(Exception):
                self._report(number)
        finally:
            os._exit(128 + number)


_state = _State()
# What to do at a forced end; the last comes first.
_actions: list[Callable[[], object]] = []


@contextmanager
def on_forced_end(action: Callable[[], object]) -> Iterator[None]:
    """Clean up after a block even if a signal ends the process in the middle of a native call.

    The block has to clean up after itself too: at every other end its own code does.

    Args:
        action: is called in another thread, while the main thread may still compute; an error of
            it is lost.
    """
    _actions.append(action)
    try:
        yield
    finally:
        # A forked process has forgotten it.
        with suppress(ValueError):
            _actions.remove(action)


def _forget_parent() -> None:
    """Let a forked process neither report its signals to its parent nor remove what that made."""
    _actions.clear()
    if _state.watch is not None:
        _state.watch = None
        signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)


@contextmanager
def raise_for_stops(report: Callable[[int], object] = lambda _: None) -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP raise an exception in a block of the main thread.

    SIGINT raises ``KeyboardInterrupt``, as it does in every Python program; the others raise
    :class:`Stopped`. A signal that is ignored stays so: nohup(1) does it.

    A library may turn the exception into one of its own, as TVM does where C++ calls Python. So any
    error that leaves the block after a signal becomes the signal's exception again.

    If the main thread computes in a library and does not hear of the signal within seconds, what
    :func:`on_forced_end` was told is done, and the process ends with 128 + the signal's number.

    Args:
        report: is called with the signal's number at such an end; there is no exception then.
    """
    wanted = [number for number, is_now in _DEFAULTS.items() if signal.getsignal(number) is is_now]
    # A block around this one has them already, or all are ignored.
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.waiting = _state.asked = None
    watch = _Watch(wanted, report)
    hook, sys.unraisablehook = sys.unraisablehook, _send_again
    _state.watch = watch
    watch.start()
    for number in wanted:
        signal.signal(number, _handle)
    try:
        yield
    except Exception:
        if _state.asked is not None:
            _raise(_state.asked)
        raise
    finally:
        watch.disarm()
        sys.unraisablehook = hook
        for number in wanted:
            signal.signal(number, _DEFAULTS[number])
        _state.watch = None
        watch.close()


@contextmanager
def defer_stops() -> Iterator[None]:
    """Let a signal that comes in a block raise its exception at the block's end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.deferring += 1
    try:
        yield
    finally:
        _state.deferring -= 1
        if not _state.deferring and _state.waiting is not None:
            number, _state.waiting = _state.waiting, None
            _raise(number)


def _handle(number: int, _frame: FrameType | None) -> None:
    if _state.watch is not None:
        _state.watch.hear()
    _state.asked = number
    if _state.deferring:
        _state.waiting = number
    else:
        _raise(number)


def _send_again(lost: sys.UnraisableHookArgs) -> None:
    """Send a signal again if its exception was lost, as it is where Python calls ``__del__``."""
    if _state.asked is not None and isinstance(lost.exc_value, KeyboardInterrupt | Stopped):
        threading.Timer(_SOON, os.kill, (os.getpid(), _state.asked)).start()
    else:
        show_lost_error(lost)


def _raise(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Stopped(number)
