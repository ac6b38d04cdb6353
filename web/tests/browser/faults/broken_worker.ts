/** A worker that stops before it answers anything. */

declare function nowhere(): void;

nowhere();
