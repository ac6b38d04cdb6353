// Shaders as texts: esbuild's loader and vitest's plugin give them (bundler.mjs, vitest.config.ts).

declare module "*.wgsl" {
  const code: string;
  export default code;
}
