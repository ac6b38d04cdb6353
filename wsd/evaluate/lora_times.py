"""``wsd bench --load-lora``: how long a LoRA takes that is loaded while the model runs."""

from __future__ import annotations

from dataclasses import dataclass

from wsd.runtime.driver import Renderer

# Where the page finds the file.
LORA = "given/lora.safetensors"
# Each differs from the one before, so that every weight is changed each time.
_SCALES = (0.5, 1.0, 0.75)


@dataclass(frozen=True)
class LoraTimes:
    """What was measured; times include the page's answer.

    Attributes:
        bytes: of the file.
        load_milliseconds: fetching it from this machine, checking it, and changing the weights.
        scale_milliseconds: giving it another scale, one time after another.
        unload_milliseconds: taking its change back.
        peak_gpu_bytes: the most bytes in GPU buffers at any time so far.
    """

    bytes: int
    load_milliseconds: float
    scale_milliseconds: tuple[float, ...]
    unload_milliseconds: float
    peak_gpu_bytes: int

    def describe(self) -> str:
        """Return a line of the report."""
        load, unload = self.load_milliseconds / 1000, self.unload_milliseconds / 1000
        scales = ", ".join(f"{time / 1000:.2f}" for time in self.scale_milliseconds)
        return (
            f"a LoRA of {self.bytes / 1e6:.1f} MB: loaded in {load:.2f} s, "
            f"other scales in {scales} s, unloaded in {unload:.2f} s; "
            f"at most {self.peak_gpu_bytes / 1e9:.2f} GB on the GPU"
        )


def time_lora(renderer: Renderer, size: int) -> LoraTimes:
    """Load a LoRA into a model, change its scale, and unload it.

    Args:
        renderer: the loaded model, without LoRAs; it is as before afterwards. Its server has the
            LoRA as :data:`LORA`, because a page fetches nothing of other origins.
        size: of the file, in bytes.

    Raises:
        RenderError: if it does not fit the model, or the page fails.
    """
    loaded = renderer.load_lora(LORA)
    (name,) = loaded["names"]
    scales = tuple(renderer.set_adapters({name: scale})["milliseconds"] for scale in _SCALES)
    peak = renderer.usage()["peakGpuBytes"]
    unloaded = renderer.unload_lora(name)
    return LoraTimes(size, loaded["milliseconds"], scales, unloaded["milliseconds"], peak)
