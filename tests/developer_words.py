"""Words by which tests find the developers' tools in scripts, and in what is shipped nothing."""

# Words of each tool that survive minification: names of WebGPU, and of what goes to Python.
WORDS = {
    "benchmark": ("runBenchmark", "recordMilliseconds", "gpuMilliseconds"),
    "single stages": ("combineLatents", "predictNoise", "readParameters", "setTransfer"),
}
# With this tvmjs would serve remote procedure calls.
REMOTE_CALLS = ("WebSocket", "rpc_server")
