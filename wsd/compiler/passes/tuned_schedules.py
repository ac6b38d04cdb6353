"""Schedule the functions that a database of `wsd tune` has, before the schedule rules.

In: fused TIR functions whose blocks have plain loops, and a database in TVM's format.
Out: the functions that the database has, scheduled by it and marked as scheduled; all others as
they were, for :mod:`wsd.compiler.passes.schedule`.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from wsd.compiler.schedule_database import ScheduleDatabase
from wsd.compiler.tvm_compat import (
    IRModule,
    LoadedDatabase,
    calling_tvm,
    is_scheduled,
    tir,
)
from wsd.errors import UsageError

_LOG = logging.getLogger(__name__)


def apply_tuned_schedules(module: IRModule, database: ScheduleDatabase) -> IRModule:
    """Return a module whose functions that the database has are scheduled by it.

    Raises:
        UsageError: if the database has none of the module's functions.
        CompileError: if TVM refuses a schedule.
    """
    with tempfile.TemporaryDirectory() as name:
        database.write_lines(Path(name))
        with calling_tvm("a database of schedules"):
            scheduled = LoadedDatabase(Path(name)).apply(module)
    applied = [
        str(variable.name_hint)
        for variable, function in scheduled.functions_items()
        if isinstance(function, tir.PrimFunc) and is_scheduled(function)
    ]
    _LOG.info("tuned schedules: %d of %d applied", len(applied), len(database.kernels))
    if not applied:
        raise UsageError(
            f"the database of {database.target.model} has schedules for none of the model's "
            f"{len(module.get_global_vars())} functions",
            "it was tuned for other picture sizes or by another version of WSD: tune anew, or "
            "leave --database out",
        )
    return scheduled
