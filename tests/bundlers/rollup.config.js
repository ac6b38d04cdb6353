// Rollup leaves the worker's address as it is: its file lies beside the bundle.
import resolve from "@rollup/plugin-node-resolve";

export default { input: "main.js", plugins: [resolve()], output: { dir: process.env.OUT } };
