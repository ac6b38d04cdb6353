// Rules of eslint; from web/: lint/node_modules/.bin/eslint --config lint/eslint.config.mjs src tests

import js from "@eslint/js";
import noUnsanitized from "eslint-plugin-no-unsanitized";
import security from "eslint-plugin-security";
import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

const web = new URL("..", import.meta.url).pathname;

export default defineConfig(
  js.configs.recommended,
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  security.configs.recommended,
  noUnsanitized.configs.recommended,
  {
    languageOptions: {
      parserOptions: { project: ["tsconfig.json", "tests/tsconfig.json"], tsconfigRootDir: web },
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      // The compiler has every array element undefined (noUncheckedIndexedAccess); a loop's
      // bounds say that it is not.
      "@typescript-eslint/no-non-null-assertion": "off",
      // Keys are typed, and come from manifests that were checked.
      "security/detect-object-injection": "off",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
    },
  },
  {
    files: ["tests/browser/faults/*.ts"],
    rules: {
      // They replace methods of WebGPU, and call the originals with the right `this`.
      "@typescript-eslint/unbound-method": "off",
    },
  },
);
