/** The page's sentences in English, and so the type of every other language's. */

import type { Writer } from "./writer";

/** Make the sentences. A new language copies this file; the type of the result says what is missing. */
export function english({ number, percent, bytes, time, seconds, plural, list, isolate }: Writer) {
  return {
    // The head and the foot of the page.
    tagline: "Pictures from words, drawn by your own graphics card.",
    language: "Language",
    model: "Model",
    privacy: "Nothing that you type or draw leaves this browser.",
    wrongPictures: "Does a picture look wrong? Run the self-test.",
    licences: "Licences",

    // The prompt.
    prompt: "Prompt",
    promptPlaceholder: "Describe the picture that you want to see",
    draw: "Draw",
    stop: "Stop",
    examples: "Or try one of these",
    drawFirst: "Download the model first: the button is where the picture will be.",

    // Weights, second prompts, and how long the prompts are.
    prompts: {
      weights: "Weights in brackets",
      weightsHint:
        "Reads (word:1.3), (word), [word] and BREAK as AUTOMATIC1111's web UI does, and of long prompts more than 75 tokens.",
      clipSkip: "Skipped text layers",
      clipSkipHint:
        "How many of the text encoder's last layers are left out: AUTOMATIC1111's Clip skip, less 1.",
      second: "Second prompt",
      secondHint: "What the model's second text encoder reads; the prompt itself if it is empty.",
      secondNegative: "Second negative prompt",
      third: "Third prompt",
      thirdHint: "What T5, the third text encoder, reads; the prompt itself if it is empty.",
      thirdNegative: "Third negative prompt",
      tokens: (count: number, limit: number) => `${number(count)} of ${number(limit)} tokens`,
      cut: (count: number, limit: number, words: string) =>
        `${number(count)} of ${number(limit)} tokens. The model does not read: ${isolate(words)}`,
      clip: (read: number, count: number) =>
        `CLIP reads ${number(read)} of ${number(count)} tokens`,
      wider: (limit: number) =>
        `“Weights in brackets” in the settings reads up to ${number(limit)}`,
    },

    // The settings.
    settings: "Settings",
    negative: "Negative prompt",
    negativeHint: "What the picture should not show.",
    negativeUnused: "This model does not use it.",
    steps: "Steps",
    stepsHint: "More steps make a finer picture and take longer.",
    guidance: "Guidance",
    guidanceHint: "How closely the picture follows the prompt.",
    cacheInterval: "Cache interval",
    cacheIntervalHint:
      "With 2 or 3, only every second or third step runs the whole UNet: that is faster and less exact. With 1, every step does.",
    seed: "Seed",
    seedHint: "The same seed and settings draw the same picture again.",
    seedTitle: "A whole number, as torch.manual_seed takes it",
    random: "New for each picture",
    size: "Size",
    sizeHint: "Width and height in pixels.",
    scheduler: "Scheduler",
    schedulerHint: "The method that turns noise into a picture.",
    images: "Pictures",
    imagesHint: "How many pictures one press of Draw makes.",
    onlyImage: (image: number, images: number) =>
      `Only picture ${number(image)} of ${number(images)} is drawn.`,
    allImages: "All of them",
    settingsLine: (steps: number, guidance: number, seed: string | undefined, images: number) =>
      [
        plural(steps, { one: "# step", other: "# steps" }),
        `guidance ${number(guidance)}`,
        seed === undefined ? "a new seed each time" : `seed ${isolate(seed)}`,
        ...(images === 1 ? [] : [plural(images, { one: "# picture", other: "# pictures" })]),
      ].join(" · "),

    // The picture that drawing begins with.
    given: {
      choose: "Start from a picture",
      chooseHow: "You can also drop or paste one.",
      noEncoder: "This model draws from words alone, and cannot start from a picture.",
      needsPicture: "This model changes a part of a picture: choose a picture first.",
      needsMask: "This model changes a part of a picture: paint that part first.",
      notThisLarge: (size: string) =>
        `This graphics card cannot begin with a picture of ${isolate(size)}: choose another size, or remove the picture.`,
      title: "Start picture",
      alt: (name: string) => `The start picture: ${isolate(name)}`,
      pasted: "the pasted picture",
      taken: (name: string) => `${isolate(name)} is the start picture.`,
      offer: (name: string) =>
        `${isolate(name)} brought its settings. You can also start from the picture itself.`,
      use: "Start from it",
      notNow: "Not now",
      remove: "Remove the picture",
      removed: (name: string) => `${isolate(name)} is not the start picture any more.`,
      setAside: (name: string) =>
        `${isolate(name)} is not the start picture any more: this picture was drawn from words alone.`,
      bringBack: "Undo",
      unreadable: (name: string) => `${isolate(name)} cannot be used as a picture.`,
      unreadableHow:
        "Choose a picture that this browser can show: a PNG, JPEG or WebP in RGB (not CMYK), not animated, with at most 16384 pixels a side and 134 million in all.",
      notKept: "This browser does not keep the start picture: after a reload, choose it again.",

      strength: "Strength",
      strengthHint: "How much is drawn anew: little keeps the picture, 100% keeps next to nothing.",
      strengthMasked: "How much of the painted part is drawn anew.",
      edit: "Edit a part",
      editAgain: "Change what is painted",
      unmask: "Remove what is painted",
      masked: (share: number) => `${percent(share)} of the picture is drawn anew.`,

      more: "Options of the picture",
      fit: "Fit",
      fitHint: "What happens where the picture has another shape than what is drawn.",
      fits: {
        cover: "Fill, and cut off the rest",
        contain: "Show all, and fill the border",
        crop: "Cut out the middle",
        stretch: "Stretch",
      },
      usedWhole: (given: string, size: string) =>
        given === size
          ? `${isolate(size)} pixels, used as they are.`
          : `${isolate(given)} pixels, scaled to ${isolate(size)}.`,
      usedPart: (given: string, part: string, size: string) =>
        `Of ${isolate(given)} pixels, the middle ${isolate(part)} are used, as ${isolate(size)}. The rest is cut off.`,
      usedBordered: (given: string, placed: string, size: string) =>
        `${isolate(given)} pixels, scaled to ${isolate(placed)}, with a border around them: ${isolate(size)}.`,
      usedStretched: (given: string, size: string) =>
        `${isolate(given)} pixels, stretched to ${isolate(size)}.`,
      usedMasked: (given: string, size: string) =>
        `${isolate(given)} pixels. The part around what is painted is drawn as ${isolate(size)} and put back.`,
      enlarge: "Enlarge the picture",
      enlargeHint: "Pixels that are added at each side and drawn anew.",
      left: "Left",
      right: "Right",
      top: "Above",
      bottom: "Below",
      blur: "Soft edge",
      blurHint: "Pixels over which the painted part goes over into the rest.",
      content: "The painted part begins as",
      contentHint:
        "Noise and colours forget what was there; with the picture, strength counts. At a strength of 100% it begins as noise, whatever is chosen here.",
      contents: {
        original: "The picture",
        noise: "Noise",
        fill: "The colours around it",
      },
      only: "Draw only around the painted part",
      onlyHint: "It gets the model's full size, so its details are finer.",
      padding: "Pixels around it",
      keep: "Keep the rest exactly",
      keepHint:
        "What is not painted stays as it was, to the pixel; a soft edge reaches a little beyond what is painted.",

      before: "Before",
      after: "After",
      beforeShare: "How much of the picture from before is shown",
    },

    // The dialog in which a mask is painted.
    mask: {
      title: "Paint what is to be drawn anew",
      done: "Done",
      canvas: "The picture; what is painted is striped",
      tools: "Tools for painting",
      brush: "Brush",
      eraser: "Eraser",
      size: "Brush width",
      undo: "Undo",
      redo: "Redo",
      clear: "Clear",
      invert: "Invert",
      whole: "Whole picture",
      zoomIn: "Enlarge",
      zoomOut: "Shrink",
      brushDown: "The brush is down, and the arrow keys paint. Space lifts it.",
      brushSize: (share: number) => `The brush is ${percent(share)} as wide as the picture.`,
      nothing: "Nothing is painted yet.",
      share: (share: number) => `${percent(share)} of the picture is drawn anew.`,
      keys: "Keys: the arrows move the brush, Space puts it down and lifts it, B and E take brush and eraser, [ and ] change its width, + − 0 zoom, Ctrl Z undoes. Two fingers move and zoom.",
    },

    // The second pass.
    second: {
      title: "Second pass",
      hint: "Draws the picture, enlarges it, and draws its details anew.",
      none: "For pictures of this size, this model has no larger size of the same shape.",
      notGiven: "Not with a start picture.",
      size: "Enlarged to",
      sizeOption: (size: string, factor: number) => `${isolate(size)} (${number(factor)} times)`,
      strength: "Strength",
      strengthHint: "How much is drawn anew. The fast way needs 50% or more.",
      stepsLine: (count: number) =>
        plural(count, { one: "It runs # step.", other: "It runs # steps." }),
      upscale: "What is enlarged",
      upscales: {
        latent: "The latents (fast)",
        picture: "The picture (closer to it)",
      },
    },

    // A variation, and what the safety checker says.
    variation: {
      line: (seed: string, share: number) =>
        `A variation: ${percent(share)} of the noise of seed ${isolate(seed)}.`,
      none: "No variation",
    },
    safety: {
      flagged: (count: number) =>
        plural(count, {
          one: "The safety checker takes this picture for unsuitable, so it is blurred and not kept. Change the prompt or the seed, and draw again.",
          other:
            "The safety checker takes # pictures for unsuitable, so they are blurred and not kept. Change the prompt or the seed, and draw again.",
        }),
      blurred: "A picture that the safety checker had blurred",
    },

    // LoRAs.
    loras: {
      title: "LoRAs",
      none: "None is loaded.",
      allOff: "None is on.",
      hint: "Small files that change what the model draws: a style, a person, a thing. Textual inversions give the prompt a new word. Choose or drop .safetensors files that were made for this model.",
      choose: "Add LoRAs",
      address: "Or an address on this site",
      load: "Load",
      examples: "Made for this model",
      addExample: (name: string) => `Add ${isolate(name)}`,
      drop: "Drop the LoRA to add it",
      otherSite: (address: string) =>
        `${isolate(address)} is not on this site, and this page loads from no other. Download the file, then drop it here.`,
      tooLarge: (name: string) => `${isolate(name)} is too large to be a LoRA.`,
      later: (name: string) => `${isolate(name)} is read as soon as the model is ready.`,
      reading: (name: string) => `Reading ${isolate(name)} …`,
      added: (name: string, layers: number) =>
        `${isolate(name)} is on: it changes ${plural(layers, { one: "# layer", other: "# layers" })} of the model.`,
      inversionAdded: (token: string) =>
        `The word ${isolate(token)} has a meaning of its own now: write it into the prompt.`,
      fast: (name: string, scheduler: string, steps: number, guidance: number) =>
        `${isolate(name)} is made for few steps: the scheduler ${isolate(scheduler)}, ${plural(steps, { one: "# step", other: "# steps" })} and guidance ${number(guidance)} suit it, and are set.`,
      fastMissing: (wanted: string, scheduler: string) =>
        `Best would be ${isolate(wanted)}, which this model does not offer; ${isolate(scheduler)} is nearest to it.`,
      slow: "The settings from before are back.",
      already: (name: string) => `${isolate(name)} is in the list already, and is on now.`,
      refused: (name: string) => `${isolate(name)} cannot be used with this model.`,
      refusedHow:
        "Choose the .safetensors file of a LoRA or a textual inversion that was made for models of this family.",
      fault: "It could not be loaded, and is off.",
      full: "The browser has no more room for this page.",
      noStore: "The browser keeps nothing for this page.",
      tooMany: (most: number) => `At most ${number(most)} LoRAs, and 8 GB of them, are kept.`,
      notKept: (name: string) =>
        `${isolate(name)} stays until you leave the page: after a reload, add it again.`,
      strength: (name: string) => `Strength of ${isolate(name)}`,
      strengthNumber: (name: string) => `Strength of ${isolate(name)} as a number`,
      remove: (name: string) => `Remove ${isolate(name)}`,
      removed: (name: string) => `${isolate(name)} is removed.`,
      facts: (layers: number, size: number) =>
        `${plural(layers, { one: "# layer", other: "# layers" })}, ${bytes(size)}`,
      inversion: (vectors: number) =>
        `A word for the prompt, of ${plural(vectors, { one: "# vector", other: "# vectors" })}`,
      unused: (count: number) =>
        plural(count, {
          one: "# of its tensors is for a layer that this model does not run.",
          other: "# of its tensors are for layers that this model does not run.",
        }),
      words: "Words for the prompt",
      wordsOf: (name: string) => `Words for the prompt with ${isolate(name)}`,
      addWord: (word: string) => `Add ${isolate(word)} to the prompt`,
      wordAdded: (word: string) => `${isolate(word)} is in the prompt.`,
      missing: (names: string[]) =>
        `The prompt names LoRAs that are not in the list: ${list(names.map(isolate))}. Add their files, or remove their tags from the prompt.`,
      tagParts: (names: string[]) =>
        `This page does not apply parts of LoRA tags in the prompt: ${list(names.map(isolate))}. Remove these parts, or the tags.`,
    },

    // The model.
    aboutModel: "About this model",
    precision: "Precision",
    precisionHint: "How exactly the weights are stored. Fewer bits take less memory.",
    encoder3: "With T5, the third text encoder",
    encoder3Hint:
      "It follows long prompts more closely. Without it, the download is smaller and the model takes far less memory.",
    forget: "Forget this model",
    facts: (title: string, size: number, kept: number, memory: number, least: number) =>
      `${isolate(title)}. ${bytes(size)}` +
      (kept === 0 ? "" : `, ${bytes(kept)} of it kept in this browser`) +
      `. GPU memory: ${bytes(memory)}, or ${bytes(least)} if stages are loaded one at a time.`,
    forgetQuestion: (name: string) => `Forget ${isolate(name)}?`,
    forgetConsequence: (size: number) =>
      `This removes ${bytes(size)} from this browser. The next visit downloads them again.`,
    forgetYes: "Forget it",
    forgetNo: "Keep it",
    forgotten: "Forgotten: the next visit downloads it again.",
    unknownModel: (wanted: string, shown: string) =>
      `There is no model named “${isolate(wanted)}” here; this is ${isolate(shown)}.`,
    inPlaceOf: (taken: string, refused: string) =>
      `${isolate(taken)} is used instead of ${isolate(refused)}`,

    // The place of the picture, before there is one.
    welcome: "What would you like to see?",
    welcomeHow: "Write a prompt and press Draw, or choose an example.",
    offerTitle: (name: string) => `${isolate(name)} is ready to download`,
    offerKeptTitle: (name: string) => `${isolate(name)} is kept in this browser`,
    offerSize: (size: number) => `Downloaded once: ${bytes(size)}`,
    offerTime: (milliseconds: number) => `About ${time(milliseconds)} on this connection`,
    offerTimeUnknown: "The download shows how long it takes",
    offerMemory: (memory: number) => `Needs ${bytes(memory)} of graphics memory`,
    offerKept: "Stays in this browser and then works offline",
    offerNoRoom: (room: number) =>
      `This browser says it has room for only ${bytes(room)}, so each visit may download it again`,
    download: (size: number) => `Download ${bytes(size)}`,
    load: "Load the model",
    pause: "Pause",
    preparing: "The model is getting ready",
    preparingHow:
      "You can write your prompt and press Draw now. Drawing begins as soon as the model is ready.",
    unable: "No picture can be drawn here",
    unableHow: "What is missing, and what you can do, is written at the top of the page.",

    // Progress.
    starting: "Starting …",
    looking: "Checking the model …",
    ready: "Ready.",
    chooseDownload: "Choose Download to begin.",
    queued: "Your picture is next, and begins by itself.",
    skip: "Draw it now",
    stopped: "Stopped.",
    paused: "Paused. What has been downloaded is kept.",
    gettingReady: "Getting the model ready",
    readingPicture: "Reading the picture",
    readingPrompt: "Reading the prompt",
    pictureOf: (image: number, images: number) => `Picture ${number(image)} of ${number(images)}`,
    step: (step: number, steps: number) => `Drawing, step ${number(step)} of ${number(steps)}`,
    decoding: "Decoding the picture",
    checking: "Checking the picture",
    secondPass: (work: string) => `Second pass: ${work}`,
    testing: (done: number, all: number) => `Testing stage ${number(done)} of ${number(all)}`,
    left: (milliseconds: number) => `about ${time(milliseconds)} left`,
    libraryDetail: (done: number, all: number) => `Program: ${bytes(done)} of ${bytes(all)}`,
    weightsDetail: (done: number, all: number) => `Weights: ${bytes(done)} of ${bytes(all)}`,
    pipelinesDetail: (done: number, all: number) =>
      `GPU programs: ${number(done)} of ${number(all)}`,
    done: (milliseconds: number) => `Done in ${seconds(milliseconds)}.`,
    doneTitle: "Done",
    progress: "Progress",
    notices: "Notices",
    drawingNow: (prompt: string) => `A preview of: ${isolate(prompt)}`,

    allSettings: {
      title: "Memory and all settings",
      tiles: "Decoding",
      tilesHint: "In tiles it takes less memory. The picture is not quite the same then.",
      whole: "The whole picture, if it fits",
      tile: (edge: number) => `In tiles of ${number(edge)} pixels`,
      overlap: "Overlap of tiles, percent",
      kept: "What stays in the GPU's memory",
      keptHint: "What does not stay is loaded again for each picture: less memory, more time.",
      textEncoders: "Text encoders",
      encoder: "Encoder of a given picture",
      denoiser: "Denoiser",
      decoder: "Decoder",
      checker: "Safety checker",
      ofModel: "the model's",
      ofPage: "the page's",
      ofCall: "chosen here",
      memory: (planned: number) => `GPU memory at most, as planned: ${bytes(planned)}`,
    },

    // Times and memory.
    figures: "Times and memory",
    figurePicture: "Picture",
    figureImages: "Pictures",
    figureReady: "Ready after",
    figureLoading: "Seconds: start · weights · pipelines",
    figureFiles: "Seconds of files: fetch · read · hash · write · upload",
    figureKept: "Files kept before",
    figureEncoding: "Reading the picture",
    figureText: "Text",
    figureDenoising: "Denoising",
    figurePreview: "To the first preview",
    figureNone: "none",
    figureDecoding: "Decoding",
    figureTotal: "Whole picture",
    figureMemory: "GPU memory now",
    figurePeak: "GPU memory at most",
    figurePipelines: "GPU pipelines",
    figureVariants: "Kernel variants",
    figureGpu: "GPU",
    tune: "Find the fastest kernels while nothing is drawn",
    tuned: (gain: number, complete: boolean) =>
      `On this GPU: ${number(gain)} times as fast${complete ? "" : " so far"}.`,
    figuresCopy: "Copy as Markdown",
    figuresCopied: "The figures are copied.",
    figuresCopyFailed:
      "The browser did not let the page copy. Select the table, and copy it yourself.",

    // The self-test page.
    selfTest: "Self-test",
    selfTestHow:
      "It checks every file of a model, then runs each of its stages on fixed inputs and compares the results with PyTorch's. So it tells a bad download from a GPU or driver that computes wrongly. Nothing leaves this browser unless you paste the report somewhere.",
    selfTestRun: "Run the self-test",
    selfTestStages: "The stages of the model",
    selfTestReport: "Report",
    selfTestCopy: "Copy the report",
    selfTestCopied: "The report is copied.",
    selfTestCopyFailed:
      "The browser did not let the page copy. The report is selected, so that you can copy it yourself.",
    selfTestBack: "Back to drawing",
    stageName: "Stage",
    stageResult: "Result",
    stageGood: "good",
    stageBad: "BAD",
    stageError: "Error",
    stageLimit: "Limit",
    stageRepeats: "Repeats",
    stageRepeatable: "yes",
    stageUnsteady: "NO",
    stageTime: "Time",
    stageKernels: "Kernels",
    selfTestDone: "Done.",
    verdictDamaged: "The download is at fault: a file is damaged.",
    verdictMissing: "The download is at fault: a file could not be fetched.",
    verdictUnsupported: "This browser or GPU lacks what the model needs.",
    verdictUnfinished: "The self-test could not be finished.",
    verdictGood: "All is well: the GPU computes what PyTorch does.",
    verdictGpu: (stages: string) =>
      `The files are right, but the GPU or its driver computes wrongly: ${isolate(stages)}.`,

    // Errors: what happened, in a sentence, and what to do in this browser.
    errorDetails: "What the program says",
    errorInsecure: "This address is not secure, so the browser does not let the page use the GPU.",
    errorInsecureHow: "Open the page at an address that begins with https, or from localhost.",
    errorInsecureLink: (address: string) => `Open ${isolate(address)}`,
    errorNoWebGpu: "This browser cannot draw here: it has no WebGPU.",
    errorNoAdapter: "The browser found no graphics card that it may use.",
    errorUnsupported: "This browser or its graphics card cannot run the model.",
    errorNoRoom: "The graphics card has no room left for this model.",
    errorNoRoomHow: "Close other tabs and programs that use the GPU, or choose a smaller model.",
    errorLost: "The browser lost the graphics card while it was drawing.",
    errorLostHow:
      "Press Draw again: the model is loaded again. If it happens often, update the graphics driver.",
    errorFetch: "A file of the model or the page could not be fetched.",
    errorOffline: "This computer is offline. Connect to the network, then try again.",
    errorDamaged: "A file is damaged, and was not used.",
    errorVersion: "The page and the model in this browser are of two versions.",
    errorLora: "A LoRA cannot be used.",
    errorOption: "No picture can be drawn with these settings.",
    errorNoSelfTest: "This model has no self-test.",
    errorUnexpected: "Something went wrong that the page did not expect.",
    tryAgain: "Try again",
    errorReload: "Reload the page. If it happens again, run the self-test.",
    useChrome:
      "Update Chrome or Edge: this page needs version 127. On Linux, open chrome://flags/#enable-unsafe-webgpu, choose Enabled and restart.",
    useFirefox:
      "Update Firefox: WebGPU needs version 141 on Windows and 145 on a Mac. On Linux and Android, use Chrome for now.",
    useSafari:
      "Update to Safari 26, which comes with macOS 26, iOS 26 and iPadOS 26. On an older Mac, use Chrome.",
    useOther: "Open the page in a current Chrome, Edge, Firefox or Safari.",
    accelerateChrome:
      "Open chrome://settings/system, turn on “Use graphics acceleration when available” and restart the browser.",
    accelerateFirefox:
      "In the settings, under General, Performance, turn on “Use hardware acceleration when available” and restart the browser.",
    accelerateSafari: "Restart the browser, and install the updates of the operating system.",
    accelerateOther: "Turn on hardware acceleration in the browser's settings and restart it.",
    updateDriver: "If that does not help, update the graphics driver, or use another computer.",

    // The gallery, and settings that come from pictures, links and texts.
    gallery: {
      // The gallery.
      title: "Finished pictures",
      keptHere:
        "Kept in this browser on this computer, which may run out of room: save what must not be lost.",
      savedName: (name: string) => `Save ${isolate(name)}`,
      save: "Save",
      enlarge: (prompt: string) => `Enlarge: ${isolate(prompt)}`,
      unnamed: "a picture without a prompt",
      broken: "This picture's file is damaged.",
      showOlder: (count: number) =>
        plural(count, { one: "Show # older picture", other: "Show # older pictures" }),
      downloadAll: "Download all",
      packing: (done: number, all: number) => `Packing picture ${number(done)} of ${number(all)} …`,
      packed: (packed: number, all: number) =>
        packed === all
          ? plural(all, { one: "# picture packed.", other: "# pictures packed." })
          : `${number(packed)} of ${number(all)} pictures packed; the others are damaged.`,
      packingFailed: "The pictures could not be packed. Save them one by one.",
      deleteAll: "Delete all",
      deleteAllQuestion: (count: number) =>
        plural(count, { one: "Delete # picture?", other: "Delete all # pictures?" }),
      deleteAllConsequence: (count: number) =>
        plural(count, {
          one: "It is removed from this browser and cannot be brought back.",
          other: "They are removed from this browser and cannot be brought back.",
        }),
      deleteAllYes: (count: number) => plural(count, { one: "Delete it", other: "Delete them" }),
      deleteAllNo: (count: number) => plural(count, { one: "Keep it", other: "Keep them" }),
      deletedAll: "All pictures are deleted.",
      deleted: (name: string) => `${isolate(name)} is deleted.`,
      deletedForGood: (name: string) => `${isolate(name)} is deleted; its file was damaged.`,
      undo: "Undo",
      broughtBack: (name: string) => `${isolate(name)} is back.`,
      refusedChange: "The browser could not change what it keeps. Try again.",

      // What cannot be kept.
      noStore:
        "This browser keeps nothing for the page: pictures stay until you leave it. Save the ones you want.",
      full: (count: number) =>
        plural(count, {
          one: "# picture is not kept: the browser has no more room for this page. It stays until you leave the page.",
          other:
            "# pictures are not kept: the browser has no more room for this page. They stay until you leave the page.",
        }),
      fullHow:
        "Save what you want to keep, delete some pictures, or forget a model that you no longer use.",
      makeRoom: (count: number, size: number) =>
        plural(count, {
          one: `Delete the oldest picture (${bytes(size)}) to make room`,
          other: `Delete the # oldest pictures (${bytes(size)}) to make room`,
        }),
      madeRoom: "There is room now: all pictures are kept.",
      refused: (count: number) =>
        plural(count, {
          one: "# picture is not kept: the browser's storage failed. It stays until you leave the page.",
          other:
            "# pictures are not kept: the browser's storage failed. They stay until you leave the page.",
        }),
      unlisted: "The browser's storage cannot be read. Pictures of earlier visits are not shown.",
      tryAgain: "Try again",
      damaged: (count: number) =>
        plural(count, {
          one: "# kept picture is damaged and cannot be shown.",
          other: "# kept pictures are damaged and cannot be shown.",
        }),

      // One picture.
      position: (index: number, count: number) => `Picture ${number(index)} of ${number(count)}`,
      close: "Close",
      actualSize: "Actual size",
      newer: "Newer",
      older: "Older",
      compare: "Compare",
      comparing: (index: number, other: number) =>
        `Picture ${number(index)} beside picture ${number(other)}`,
      comparisonShare: "How much of the first picture is shown",
      different: "different",
      copy: "Copy picture",
      copied: "The picture is copied. Its settings are only in saved files and links.",
      copyFailed: "The browser did not let the page copy the picture. Save it instead.",
      share: "Share",
      shareFailed: "The browser could not share the picture. Save it instead.",
      copyLink: "Copy link",
      linkCopied: "The link is copied. Whoever opens it gets these settings.",
      linkFailed: (link: string) =>
        `The browser did not let the page copy. The link is: ${isolate(link)}`,
      useSettings: "Use its settings",
      startFrom: "Start from it",
      startFromHint: "Draw another picture from this one",
      vary: "Vary",
      varyHint: "Almost the same picture: its noise, changed a little",
      anotherSeed: "Another seed",
      anotherSeedHint: "The same settings with another seed: another picture",
      delete: "Delete",
      gone: "This picture was deleted in another tab.",
      model: "model",

      // Settings from elsewhere.
      fields: {
        prompt: "prompt",
        negative: "negative prompt",
        promptSyntax: "weights in brackets",
        clipSkip: "skipped text layers",
        prompt2: "second prompt",
        negative2: "second negative prompt",
        prompt3: "third prompt",
        negative3: "third negative prompt",
        seed: "seed",
        steps: "steps",
        guidance: "guidance",
        cacheInterval: "cache interval",
        scheduler: "scheduler",
        size: "size",
        images: "pictures",
        image: "picture",
        strength: "strength",
        fit: "fit",
        maskBlur: "soft edge",
        maskedContent: "start of the painted part",
        onlyMasked: "pixels around the painted part",
        keepUnmasked: "keeping the rest",
        secondPass: "second pass",
        secondStrength: "strength of the second pass",
        secondSteps: "steps of the second pass",
        upscale: "what is enlarged",
        variationSeed: "variation",
        variationStrength: "strength of the variation",
        loras: "LoRAs",
      },
      fromPicture:
        "It was drawn from a picture, which its settings do not hold: choose that picture to draw the same.",
      fromWords:
        "It was drawn from words alone, and there is a start picture: remove that to draw the same.",
      importFile: "Open a picture's settings",
      importHow:
        "A PNG that was made here or by another program brings its settings back. Choose a file, drop one on the page, or paste a picture, a link or settings as text.",
      dropHere: "Drop the picture to use its settings",
      dropToStart: "Drop the picture to start from it",
      settingsFrom: (name: string) => `Settings from ${isolate(name)}`,
      thisLink: "the link",
      pastedText: "the pasted text",
      pastedPicture: "the pasted picture",
      lastVisit: "your last visit",
      drawnWith: (name: string, program: string) =>
        `${isolate(name)}, drawn with ${isolate(program)}`,
      taken: (name: string, what: string[]) =>
        `Settings taken from ${isolate(name)}: ${list(what)}.`,
      nothingTaken: (name: string) => `No settings taken from ${isolate(name)}.`,
      takenLine: (what: string[]) => `Taken: ${list(what)}.`,
      changed: (what: string) => `Changed: ${what}.`,
      notTaken: (what: string) => `Not taken: ${what}.`,
      more: (count: number) => `and ${number(count)} more`,
      change: (name: string, from: string, to: string) =>
        `${name} from ${isolate(from)} to ${isolate(to)}`,
      because: (what: string, reason: string) => `${what} (${reason})`,
      noLarger: "this model has no such larger size of the same shape",
      notCompiled: "not among this model's sizes",
      range: (least: number, most: number) => `the range is ${number(least)} to ${number(most)}`,
      tooLong: (most: number) => `cut after ${number(most)} characters`,
      empty: "it is empty",
      notUsed: "this model does not use it",
      tooMany: (most: number) => `at most ${number(most)} are drawn at once`,
      otherLevels: "its noise levels are not offered",
      stays: (reason: string, present: string) => `${reason}, ${isolate(present)} stays`,
      unknown: "unknown",
      skipsNone: "other programs skip none of this kind of model",
      neverLast: "of this kind of model, the last layer is never read",
      skipsPrompt:
        "Its program skips text layers for the negative prompt too. Here they are skipped for the prompt alone.",
      notOffered: "not offered by this model",
      sampler: "sampler",
      schedule: "schedule",
      numberOf: (picture: number, of: number) => `number ${number(picture)} of ${number(of)}`,
      lora: (name: string) => `LoRA ${isolate(name)}`,
      inversion: (name: string) => `embedding ${isolate(name)}`,
      isOff: "it is off in the list",
      noLora: "not in the list: add its file",
      otherLora: "another file of this name",
      lorasOff: (names: string[]) =>
        `LoRAs that it was drawn without are off: ${list(names.map(isolate))}`,
      otherModel: (theirs: string, ours: string) =>
        `Its model was ${isolate(theirs)}; this one is ${isolate(ours)}.`,
      weights: "Weights and file names in the prompt are read as words.",
      hide: "Hide",
      noModel: (name: string) =>
        `The settings of ${isolate(name)} can be taken when a model is chosen.`,

      // Why a file brings no settings, and the same for a picture that was pasted, which has no name.
      problems: {
        tooLarge: (name: string) => `${isolate(name)} is too large to be a picture.`,
        unreadable: (name: string) => `${isolate(name)} cannot be read.`,
        noPng: (name: string) =>
          `${isolate(name)} is not a PNG. Settings are read from PNG files only.`,
        noSettings: (name: string) => `${isolate(name)} holds no settings.`,
      },
      pastedProblems: {
        tooLarge: "The pasted picture is too large.",
        unreadable: "The pasted picture cannot be read.",
        noPng: "The pasted picture is not a PNG. Settings are read from PNG files only.",
        noSettings:
          "The pasted picture holds no settings: copying a picture drops them. Open the saved file, or paste its link.",
      },
      noSettingsInText: "The pasted text holds no settings.",
      onlyFirst: (name: string, count: number) =>
        `Only the first of ${number(count)} files is read: ${isolate(name)}.`,
      onlyFirstPasted: (count: number) =>
        `Only the first of ${number(count)} pasted pictures is read.`,
    },
  };
}

/** The sentences of a language. */
export type Strings = ReturnType<typeof english>;
