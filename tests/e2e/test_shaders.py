"""Every generated shader, parsed and validated by the browser's own compiler."""

CHECK = """
async (shaders) => {
  const adapter = await navigator.gpu.requestAdapter();
  const device = await adapter.requestDevice();
  const faults = [];
  for (const [name, code] of Object.entries(shaders)) {
    device.pushErrorScope("validation");
    const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
    await device.popErrorScope();
    for (const { type, lineNum, message } of messages)
      if (type !== "info") faults.push(`${name}:${lineNum}: ${type}: ${message}`);
  }
  device.destroy();
  return faults;
}
"""


def test_every_shader_is_valid(page, address, library):
    page.goto(address + "blank.html")
    assert len(library.shaders) > 100
    assert page.evaluate(CHECK, library.shaders) == []


def test_an_invalid_shader_is_found(page, address):
    page.goto(address + "blank.html")
    broken = "@group(0) @binding(0) var<storage> x : array<i8>;"
    assert page.evaluate(CHECK, {"broken": broken})
