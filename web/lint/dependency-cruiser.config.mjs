// Which room of src may import which: `npm run rooms`, in web/lint. Types count as imports too.

/** The rooms from bottom to top: files of a room import the rooms before it, and their own. */
const ROOMS = {
  // Also errors, and the checks of what callers give.
  util: "util/",
  // Settings inside pictures: written by WSD, and read from whatever other programs wrote.
  settings: "settings/",
  // Types of the public API, which every room speaks of.
  "api-types": "api/(generated|inversion|load_options|lora|options|progress|tuning|types)\\.ts$",
  // Pictures that are given to draw from: decoded, fitted, masked, and put back together.
  picture: "picture/",
  bundle: "bundle/",
  // LoRAs: their files, and which change of which weight they hold.
  adapters: "adapters/",
  "gpu-tvm": "gpu/tvm/",
  gpu: "gpu/([a-z_0-9]+\\.(ts|wgsl)$|patch/)",
  pipeline: "pipeline/",
  diagnostics: "diagnostics/",
  worker: "worker/",
  // What runs in the page: the worker's client, and what needs no worker.
  "api-client":
    "api/(addresses|call_queue|client|environment|idle_tuning|kept_models|lora_calls|model_index|pipeline_worker|preflight|start_worker|worker_faults)\\.ts$",
  index: "index\\.ts$",
  // The custom element, which uses the public API as any program can.
  element: "element\\.ts$",
  app: "app/",
};
const PATHS = Object.values(ROOMS).map((pattern) => `^src/${pattern}`);

const downwards = Object.keys(ROOMS).map((room, index) => ({
  name: `no-import-from-above-in-${room}`,
  comment: "A room imports only the rooms below it; move downwards what both need.",
  severity: "error",
  from: { path: PATHS[index] },
  to: { path: PATHS.slice(index + 1) },
}));

export default {
  forbidden: [
    ...downwards.slice(0, -1),
    {
      name: "every-file-has-a-room",
      comment: "Name the room of a new folder in this list.",
      severity: "error",
      from: {},
      to: { path: "^src/", pathNot: [...PATHS, "^src/driver/"] },
    },
    {
      name: "every-entry-has-a-room",
      comment: "The same for a file that nothing imports, such as a worker's or a page's own file.",
      severity: "error",
      from: { path: "^src/", pathNot: [...PATHS, "^src/driver/"] },
      to: {},
    },
    {
      name: "no-driver-in-the-page",
      comment: "The page and its worker are free of calls that only tests and tools need.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/driver/" },
      to: { path: "^src/driver/" },
    },
    {
      name: "tvmjs-in-one-room",
      comment: "What differs between versions of TVM is known in src/gpu/tvm alone.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/gpu/tvm/" },
      to: { path: "tvmjs" },
    },
    {
      name: "pages-import-the-public-api",
      comment:
        "The pages and the element use what any program can use: src/index.ts, and Trusted Types.",
      severity: "error",
      from: { path: "^src/(app/|element\\.ts$)" },
      to: {
        path: "^src/",
        pathNot: ["^src/app/", "^src/index\\.ts$", "^src/worker/trusted_types\\.ts$"],
      },
    },
    {
      name: "no-cycles",
      comment: "Two files that import each other are one file, or need a third below them.",
      severity: "error",
      from: {},
      to: { circular: true },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: "node_modules" },
  },
};
