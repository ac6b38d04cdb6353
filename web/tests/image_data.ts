/** The class `ImageData`, which browsers have and Node.js lacks. */
export class ImageData {
  readonly colorSpace = "srgb";

  constructor(
    readonly data: Uint8ClampedArray<ArrayBuffer>,
    readonly width: number,
    readonly height: number,
  ) {}
}

globalThis.ImageData = ImageData as unknown as typeof globalThis.ImageData;
