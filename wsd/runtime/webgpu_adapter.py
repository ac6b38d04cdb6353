"""The WebGPU adapter that ``WSD_WEBGPU_ADAPTER`` names, and a check that it is the one that runs.

Chromium and Vulkan's loader take a software renderer in silence where they cannot use the GPU:
without the check, figures of the processor would be taken for the GPU's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from wsd.errors import ToolError, UsageError
from wsd.runtime.automation import Automation, ScriptedPage
from wsd.runtime.page_types import AdapterDescription, read_answer
from wsd.spec.selection import SOFTWARE_ADAPTERS

# Values of WSD_WEBGPU_ADAPTER: "swiftshader", a software adapter, draws the same picture on every
# machine; "default" is the machine's GPU; "driver" is what Vulkan's drivers offer, software too;
# "none" shows what a visitor without WebGPU sees.
SWIFTSHADER, DEFAULT, DRIVER, NONE = "swiftshader", "default", "driver", "none"
_NAMES = (SWIFTSHADER, DEFAULT, DRIVER, NONE)

_HINT = (
    "install the GPU's Vulkan driver (`vulkaninfo --summary` lists what it finds) and let this "
    "user open its device, /dev/dri/renderD128 for example; in a container, give it the GPU. "
    f"WSD_WEBGPU_ADAPTER={SWIFTSHADER} takes the software adapter, {DRIVER} whatever there is"
)
# Where Vulkan's loader looks for drivers, unless a variable names them.
_DRIVER_FOLDERS = (
    "/etc/vulkan/icd.d",
    "/usr/local/etc/vulkan/icd.d",
    "/usr/local/share/vulkan/icd.d",
    "/usr/share/vulkan/icd.d",
)
_DRIVER_VARIABLES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")


def named_adapter() -> str:
    """Return the adapter that ``WSD_WEBGPU_ADAPTER`` names: a software adapter unless it is set.

    Raises:
        UsageError: if the name is not known.
    """
    adapter = os.environ.get("WSD_WEBGPU_ADAPTER", SWIFTSHADER)
    if adapter not in _NAMES:
        raise UsageError(
            f"WSD_WEBGPU_ADAPTER is {adapter!r}", f"it must be one of {', '.join(_NAMES)}"
        )
    return adapter


def is_software(adapter: Mapping[str, object]) -> bool:
    """Tell whether an adapter computes on the processor.

    Args:
        adapter: ``architecture`` and ``description`` as WebGPU gives them, and ``fallback``,
            where it is known: whether the browser says that the adapter is only a fallback.
    """
    said = f"{adapter['architecture']} {adapter['description']}".lower()
    return adapter.get("fallback") is True or any(name in said for name in SOFTWARE_ADAPTERS)


def find_adapter(page: ScriptedPage) -> AdapterDescription | None:
    """Return what WebGPU's fastest adapter is; None if there is none.

    Args:
        page: at a secure address, because others have no WebGPU.
    """
    answer = Automation(page).call("describeAdapter")
    return None if answer is None else read_answer(AdapterDescription, answer)


def check_page(page: ScriptedPage, explain: Callable[[], str] = str) -> None:
    """Check that a page computes on the GPU, if ``WSD_WEBGPU_ADAPTER`` asks for it.

    Args:
        page: at a secure address; it is asked nothing unless a GPU is asked for.
        explain: as :func:`check_adapter` takes it.

    Raises:
        ToolError: if there is no adapter, or only a software adapter.
    """
    if named_adapter() == DEFAULT:
        check_adapter(find_adapter(page), explain)


def check_adapter(adapter: Mapping[str, object] | None, explain: Callable[[], str] = str) -> None:
    """Refuse any adapter but a GPU, if ``WSD_WEBGPU_ADAPTER`` asks for one.

    Args:
        adapter: as :func:`is_software` takes it, with its ``vendor``; None if there is none.
        explain: returns what is known of why there is no GPU; called only if there is none.

    Raises:
        ToolError: if there is no adapter, or only a software adapter.
    """
    if named_adapter() != DEFAULT or (adapter is not None and not is_software(adapter)):
        return
    found = "there is no adapter"
    if adapter is not None:
        names = (adapter["vendor"], adapter["architecture"], adapter["description"])
        name = " ".join(str(part) for part in names if part)
        found = f"the adapter is {name}, which computes on the processor"
    reasons = "; ".join(filter(None, (explain(), _describe_drivers())))
    raise ToolError(f"WSD_WEBGPU_ADAPTER={DEFAULT} asks for a GPU, but {found} ({reasons})", _HINT)


def _describe_drivers() -> str:
    """Say which Vulkan drivers the loader finds on Linux."""
    for name in _DRIVER_VARIABLES:
        if named := os.environ.get(name):
            return f"{name} names {named}"
    found = sorted(file.name for folder in _DRIVER_FOLDERS for file in Path(folder).glob("*.json"))
    return f"Vulkan's drivers here: {', '.join(found) or 'none'}"
