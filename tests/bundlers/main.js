// Draws with the defaults, as the README's first lines do.
import { draw } from "./draw.js";

await draw({});
