"""``WSD_WEBGPU_ADAPTER=default`` takes a GPU or fails, in Dawn and in Chromium."""

import os
import subprocess
import sys

import pytest

from wsd.errors import ToolError
from wsd.runtime.dawn_node import _adapter, open_node_page
from wsd.runtime.kernel_runner import open_kernel_host
from wsd.runtime.webgpu_adapter import is_software


@pytest.fixture
def software(monkeypatch):
    """Let Vulkan find a software adapter only, as it does on machines without a GPU."""
    monkeypatch.delenv("WSD_WEBGPU_ADAPTER", raising=False)
    for name, value in _adapter().items():
        monkeypatch.setenv(name, value)

    def take(name):
        monkeypatch.setenv("WSD_WEBGPU_ADAPTER", name)

    return take


def test_a_software_adapter_is_never_taken_for_the_gpu(software):
    software("default")
    with pytest.raises(ToolError) as caught, open_kernel_host():
        pass
    message = caught.value.message
    assert "asks for a GPU" in message
    assert "SwiftShader" in message
    assert "computes on the processor" in message
    assert os.environ["VK_DRIVER_FILES"] in message
    assert "WSD_WEBGPU_ADAPTER=swiftshader" in caught.value.hint


def test_it_is_taken_where_any_driver_will_do(software):
    software("driver")
    with open_kernel_host() as host:
        assert host.adapter.is_software


def test_without_a_driver_the_reason_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("WSD_WEBGPU_ADAPTER", "default")
    monkeypatch.setenv("VK_DRIVER_FILES", str(tmp_path / "none.json"))
    said = r"no adapter \(VK_DRIVER_FILES names .*none.json"
    with pytest.raises(ToolError, match=said), open_node_page("http://127.0.0.1:9/"):
        pass


@pytest.mark.full
def test_chromium_says_what_it_found(tmp_path):
    """In a process of its own: Chromium looks for drivers when it starts."""
    environment = os.environ | {
        "WSD_WEBGPU_ADAPTER": "default",
        "VK_DRIVER_FILES": str(tmp_path / "none.json"),
    }
    command = [sys.executable, "-m", "wsd", "doctor"]
    done = subprocess.run(
        command, env=environment, capture_output=True, encoding="utf-8", check=False
    )
    (line,) = [line for line in done.stdout.splitlines() if "webgpu: " in line]
    assert line.startswith("BAD")
    assert "WSD_WEBGPU_ADAPTER=default asks for a GPU, but " in line
    assert "Chromium found " in line
    assert "vulkan is " in line


@pytest.mark.parametrize(
    ("architecture", "description", "fallback", "software"),
    [
        ("swiftshader", "", None, True),
        ("", "llvmpipe (LLVM 19.1.7, 256 bits)", None, True),
        ("", "Microsoft Basic Render Driver", True, True),
        ("hopper", "NVIDIA H200", False, False),
        ("", "", False, False),
    ],
)
def test_which_adapters_compute_on_the_processor(architecture, description, fallback, software):
    adapter = {"architecture": architecture, "description": description}
    if fallback is not None:
        adapter["fallback"] = fallback
    assert is_software(adapter) is software
