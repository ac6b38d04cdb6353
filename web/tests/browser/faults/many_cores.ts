/** A machine of eight cores; says on a channel which workers this worker starts and ends. */

Object.defineProperty(navigator, "hardwareConcurrency", { value: 8 });
const workers = new BroadcastChannel("workers");

globalThis.Worker = class extends Worker {
  constructor(script: string | URL, options: WorkerOptions = {}) {
    super(script, options);
    workers.postMessage(`started ${options.name ?? ""}`);
    this.addEventListener("message", () => workers.postMessage("answered"));
  }

  override terminate(): void {
    super.terminate();
    workers.postMessage("ended");
  }
};
