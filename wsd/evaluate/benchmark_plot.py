"""The plot of ``wsd bench --plot``: where each stage's time goes, and the times of baselines."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wsd.errors import ToolError
from wsd.evaluate.benchmark import Benchmark, Stage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN = 12
# Stages that take less than this share of the slowest stage's GPU time are not drawn.
_MIN_SHARE = 0.01


def draw_plot(found: Benchmark) -> str:
    """Return an SVG: each stage's slowest kernels, and what was measured beside them.

    Raises:
        ToolError: if matplotlib is missing.
    """
    most = max((stage.kernel_milliseconds for stage in found.stages), default=0.0)
    stages = [
        stage
        for stage in found.stages
        if stage.kernels and stage.kernel_milliseconds >= _MIN_SHARE * most
    ]
    rows = len(stages) + bool(found.baselines)
    figure = _new_figure((9, 2.8 * rows))
    axes = figure.subplots(rows, 1, squeeze=False)[:, 0]
    width, height = found.size
    adapter = " ".join(text for text in found.adapter.values() if text)
    figure.suptitle(f"{found.model} {found.dtype} {width}x{height}, {adapter}", fontsize=9)
    for axis, stage in zip(axes, stages, strict=False):
        _draw_stage(axis, stage)
    if found.baselines:
        names = [entry.name for entry in found.baselines]
        times = [entry.milliseconds for entry in found.baselines]
        _bars(axes[-1], names, times)
        axes[-1].set_title("one guided step's denoiser, ms", fontsize=9)
    return _as_svg(figure)


def draw_bars(title: str, bars: Mapping[str, float]) -> str:
    """Return an SVG of horizontal bars.

    Args:
        title: what the bars show, with the unit.
        bars: label → length.

    Raises:
        ToolError: if matplotlib is missing.
    """
    figure = _new_figure((9, 0.8 + 0.3 * len(bars)))
    axis = figure.subplots()
    _bars(axis, list(bars), list(bars.values()))
    axis.set_title(title, fontsize=9)
    return _as_svg(figure)


def check_plotting() -> None:
    """Refuse to go on without what draws plots, before anything is measured.

    Raises:
        ToolError: if matplotlib is missing.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ToolError("--plot needs matplotlib", "pip install -e '.[compare]'")


def _new_figure(size: tuple[float, float]) -> Figure:
    check_plotting()
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def _as_svg(figure: Figure) -> str:
    from matplotlib import rc_context

    text = io.StringIO()
    # Text stays text, and there is no timestamp: the same measurement gives the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "wsd"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _draw_stage(axis: Any, stage: Stage) -> None:
    shown = stage.kernels[:_SHOWN]
    names = [f"{kernel.name[:48]}: {kernel.variant}" for kernel in shown]
    times = [kernel.milliseconds for kernel in shown]
    rest = stage.kernel_milliseconds - sum(times)
    if rest > 0:
        names.append(f"{len(stage.kernels) - len(shown)} others")
        times.append(rest)
    _bars(axis, names, times)
    title = f"{stage.name}: {stage.milliseconds:.2f} ms, {stage.dispatches} kernels, ms each"
    axis.set_title(title, fontsize=9)


def _bars(axis: Any, names: list[str], times: list[float]) -> None:
    places = range(len(names))
    bars = axis.barh(places, times)
    axis.bar_label(bars, fmt="%.2f", fontsize=6, padding=2)
    axis.set_yticks(places, names, fontsize=6)
    axis.tick_params(axis="x", labelsize=6)
    # Room for the label of the longest bar.
    axis.margins(x=0.08)
    axis.invert_yaxis()
