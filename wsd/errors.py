"""Every error that WSD raises on purpose.

A message names the thing, the expectation and the finding, without a trailing
period. The hint says what to do about it. The command line prints both and
exits with code 2.
"""

from __future__ import annotations


class WsdError(Exception):
    """An error that the person at the keyboard can act on."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(WsdError):
    """An option or argument is out of range or names nothing."""


class FileError(WsdError):
    """A file or folder cannot be read or written."""


class CheckpointError(WsdError):
    """A checkpoint is missing, truncated, mis-shaped or of another family."""


class ToolError(WsdError):
    """An external program is missing or failed."""


class CompileError(WsdError):
    """A model could not be traced or compiled."""


class BundleError(WsdError):
    """A built bundle is missing, malformed or does not match its manifest."""


class RenderError(WsdError):
    """The browser could not draw."""
