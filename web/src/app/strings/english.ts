/** The page's sentences in English, and so the type of every other language's. */

import type { Writer } from "./writer";

/** Make the sentences. A new language copies this file; the type of the result says what is missing. */
export function english({ number, bytes, time, seconds, plural }: Writer) {
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
    drawFirst: "Download the model first: the button is in the picture's place.",

    // The settings.
    settings: "Settings",
    negative: "Negative prompt",
    negativeHint: "What the picture should not show.",
    negativeUnused: "This model does not use it.",
    steps: "Steps",
    stepsHint: "More steps make a finer picture and take longer.",
    guidance: "Guidance",
    guidanceHint: "How closely the picture follows the prompt.",
    seed: "Seed",
    seedHint: "The same seed and settings draw the same picture again.",
    seedTitle: "A whole number, as torch.manual_seed takes it",
    random: "New for each picture",
    size: "Size",
    sizeHint: "Width and height in pixels.",
    scheduler: "Scheduler",
    schedulerHint: "The method that turns noise into a picture.",
    images: "Pictures",
    imagesHint: "How many are drawn from one press of Draw.",
    onlyImage: (image: number, images: number) =>
      `Only number ${number(image)} of ${number(images)} is drawn.`,
    allImages: "All of them",
    settingsLine: (steps: number, guidance: number, seed: string | undefined, images: number) =>
      [
        plural(steps, { one: "# step", other: "# steps" }),
        `guidance ${number(guidance)}`,
        seed === undefined ? "a new seed each time" : `seed ${seed}`,
        ...(images === 1 ? [] : [plural(images, { one: "# picture", other: "# pictures" })]),
      ].join(" · "),

    // The model.
    aboutModel: "About this model",
    precision: "Precision",
    precisionHint: "How exactly the weights are stored. Fewer bits take less memory.",
    forget: "Forget this model",
    facts: (title: string, size: number, kept: number, memory: number, least: number) =>
      `${title}. ${bytes(size)}` +
      (kept === 0 ? "" : `, ${bytes(kept)} of it kept in this browser`) +
      `. GPU memory: ${bytes(memory)}, or ${bytes(least)} with one stage at a time.`,
    forgetQuestion: (name: string) => `Forget ${name}?`,
    forgetConsequence: (size: number) =>
      `${bytes(size)} are removed from this browser. The next visit downloads them again.`,
    forgetYes: "Forget it",
    forgetNo: "Keep it",
    forgotten: "Forgotten: the next visit downloads it again.",
    unknownModel: (wanted: string, shown: string) =>
      `There is no model named “${wanted}” here; this is ${shown}.`,
    inPlaceOf: (taken: string, refused: string) => `${taken} in place of ${refused}`,

    // The place of the picture, before there is one.
    welcome: "What would you like to see?",
    welcomeHow: "Write a prompt or choose an example, then press Draw.",
    offerTitle: (name: string) => `${name} is ready to be downloaded`,
    offerKeptTitle: (name: string) => `${name} is kept in this browser`,
    offerSize: (size: number) => `Download, once: ${bytes(size)}`,
    offerTime: (milliseconds: number) => `About ${time(milliseconds)} on this connection`,
    offerTimeUnknown: "How long it takes is shown when the download runs",
    offerMemory: (memory: number) => `Needs ${bytes(memory)} of graphics memory`,
    offerKept: "Stays in this browser, and then works without a network",
    offerNoRoom: (room: number) =>
      `This browser has room for ${bytes(room)} only, so each visit would download it again`,
    download: (size: number) => `Download ${bytes(size)}`,
    load: "Load the model",
    pause: "Pause",
    preparing: "The model is getting ready",
    preparingHow: "You can write your prompt and press Draw now. It begins as soon as it can.",
    unable: "No picture can be drawn here",
    unableHow: "What is missing, and what you can do, is written at the top of the page.",

    // Progress.
    starting: "Starting …",
    looking: "Looking at the model …",
    ready: "Ready.",
    chooseDownload: "Choose Download to begin.",
    queued: "Your picture is next: it begins as soon as it can.",
    stopped: "Stopped.",
    paused: "Paused. What has arrived is kept.",
    gettingReady: "Getting the model ready",
    readingPrompt: "Reading the prompt",
    pictureOf: (image: number, images: number) => `Picture ${number(image)} of ${number(images)}`,
    step: (step: number, steps: number) => `Drawing, step ${number(step)} of ${number(steps)}`,
    decoding: "Decoding the picture",
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
    drawingNow: (prompt: string) => `A preview of: ${prompt}`,

    // Times and memory.
    figures: "Times and memory",
    figureLoading: "Loading",
    figureText: "Text",
    figureDenoising: "Denoising",
    figurePreview: "To the first preview",
    figureNone: "none",
    figureDecoding: "Decoding",
    figureTotal: "Picture, whole",
    figureMemory: "GPU memory now",
    figurePeak: "GPU memory at most",
    figurePipelines: "GPU pipelines",
    figureVariants: "Kernel variants",
    figureGpu: "GPU",

    // The self-test page.
    selfTest: "Self-test",
    selfTestHow:
      "It checks every file of a model, then runs each of its stages on fixed inputs and compares the results with PyTorch's. So it tells a bad download from a GPU or driver that computes wrongly. Nothing leaves this browser unless you paste the report somewhere.",
    selfTestRun: "Run the self-test",
    selfTestStages: "The stages of the model",
    selfTestReport: "Report",
    selfTestCopy: "Copy the report",
    selfTestBack: "Back to drawing",
    selfTestDone: "Done.",
    verdictDamaged: "The download is at fault: a file is damaged.",
    verdictMissing: "The download is at fault: a file cannot be had.",
    verdictUnsupported: "This browser or GPU lacks what the model needs.",
    verdictUnfinished: "The self-test could not be finished.",
    verdictGood: "All is well: the GPU computes what PyTorch does.",
    verdictGpu: (stages: string) =>
      `The files are right, but the GPU or its driver computes wrongly: ${stages}.`,

    // Errors: what happened, in a sentence, and what to do in this browser.
    errorDetails: "What the program says",
    errorInsecure: "This address is not secure, so the browser does not let the page use the GPU.",
    errorInsecureHow: "Open the page at an address that begins with https, or from localhost.",
    errorInsecureLink: (address: string) => `Open ${address}`,
    errorNoWebGpu: "This browser cannot draw here: it has no WebGPU.",
    errorNoAdapter: "The browser found no graphics card that it may use.",
    errorUnsupported: "This browser or its graphics card cannot run the model.",
    errorNoRoom: "The graphics card has no room left for this model.",
    errorNoRoomHow: "Close other tabs and programs that use the GPU, or choose a smaller model.",
    errorLost: "The browser lost the graphics card while it drew.",
    errorLostHow:
      "Press Draw again: the model is loaded anew. If it happens often, update the graphics driver.",
    errorFetch: "A file of the model or the page could not be fetched.",
    errorOffline: "This computer is offline. Connect to the network, then try again.",
    errorDamaged: "A file is damaged, and was not used.",
    errorOption: "These settings cannot be drawn.",
    errorUnexpected: "Something went wrong that the page did not expect.",
    errorReload: "Reload the page. If it happens again, run the self-test.",
    useChrome:
      "Update Chrome or Edge: WebGPU needs version 113, or 121 on Android. On Linux, open chrome://flags/#enable-unsafe-webgpu, choose Enabled and restart.",
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
  };
}

/** The sentences of a language. */
export type Strings = ReturnType<typeof english>;
