import type { NextConfig } from "next";

const config: NextConfig = {
  // Other lock files may lie in folders above this one.
  turbopack: { root: import.meta.dirname },
};

export default config;
