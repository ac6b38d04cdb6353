// Says where the project begins: other lock files may lie in folders above this one.

import type { NextConfig } from "next";

const config: NextConfig = {
  turbopack: { root: import.meta.dirname },
};

export default config;
