/** Sentences of the gallery, and of settings from elsewhere, in English. */

import type { Writer } from "./writer";

export function galleryEnglish({ number, plural, list, bytes }: Writer) {
  return {
    // The gallery.
    title: "Finished pictures",
    keptHere:
      "Kept in this browser on this computer, which may run out of room: save what must not be lost.",
    savedName: (name: string) => `Save ${name}`,
    save: "Save",
    enlarge: (prompt: string) => `Enlarge: ${prompt}`,
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
    deleteAllConsequence: "They are removed from this browser and cannot be brought back.",
    deleteAllYes: "Delete them",
    deleteAllNo: "Keep them",
    deletedAll: "All pictures are deleted.",
    deleted: (name: string) => `${name} is deleted.`,
    deletedForGood: (name: string) => `${name} is deleted; its file was damaged.`,
    undo: "Undo",
    broughtBack: (name: string) => `${name} is back.`,
    refusedChange: "The browser did not change its store. Try again.",

    // What cannot be kept.
    noStore:
      "This browser keeps nothing for the page: pictures stay until you leave it. Save the ones you want.",
    full: (count: number) =>
      plural(count, {
        one: "# picture is not kept: the browser has no more room for this page. It stays until you leave the page.",
        other:
          "# pictures are not kept: the browser has no more room for this page. They stay until you leave the page.",
      }),
    fullHow: "Save them, delete some pictures, or forget a model that you no longer use.",
    makeRoom: (count: number, size: number) =>
      plural(count, {
        one: `Delete the oldest picture (${bytes(size)}) to make room`,
        other: `Delete the # oldest pictures (${bytes(size)}) to make room`,
      }),
    madeRoom: "There is room now: all pictures are kept.",
    refused: (count: number) =>
      plural(count, {
        one: "# picture is not kept: the browser's store failed. It stays until you leave the page.",
        other:
          "# pictures are not kept: the browser's store failed. They stay until you leave the page.",
      }),
    unlisted: "The browser's store cannot be read. Pictures of earlier visits are not shown.",
    tryAgain: "Try again",
    damaged: (count: number) =>
      plural(count, {
        one: "# kept picture is damaged and cannot be shown.",
        other: "# kept pictures are damaged and cannot be shown.",
      }),

    // One picture.
    position: (index: number, count: number) => `Picture ${number(index)} of ${number(count)}`,
    close: "Close",
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
    linkFailed: (link: string) => `The browser did not let the page copy. The link is: ${link}`,
    useSettings: "Use its settings",
    vary: "Vary",
    varyHint: "The same settings with another seed",
    delete: "Delete",
    gone: "This picture was deleted in another tab.",
    model: "model",

    // Settings from elsewhere.
    fields: {
      prompt: "prompt",
      negative: "negative prompt",
      seed: "seed",
      steps: "steps",
      guidance: "guidance",
      scheduler: "scheduler",
      size: "size",
      images: "pictures",
      image: "picture",
    },
    importFile: "Open a picture's settings",
    importHow:
      "A PNG that was made here or by another program brings its settings back. Choose a file, drop one on the page, or paste a picture, a link or settings as text.",
    dropHere: "Drop the picture to take its settings",
    settingsFrom: (name: string) => `Settings from ${name}`,
    thisLink: "the link",
    pastedText: "the pasted text",
    pastedPicture: "the pasted picture",
    lastVisit: "your last visit",
    drawnWith: (name: string, program: string) => `${name}, drawn with ${program}`,
    taken: (name: string, what: string[]) => `Settings taken from ${name}: ${list(what)}.`,
    nothingTaken: (name: string) => `No settings taken from ${name}.`,
    takenLine: (what: string[]) => `Taken: ${list(what)}.`,
    changed: (what: string) => `Changed: ${what}.`,
    notTaken: (what: string) => `Not taken: ${what}.`,
    more: (count: number) => `and ${number(count)} more`,
    change: (name: string, from: string, to: string) => `${name} ${from} to ${to}`,
    because: (what: string, reason: string) => `${what} (${reason})`,
    notCompiled: "not among this model's sizes",
    range: (least: number, most: number) => `from ${number(least)} to ${number(most)} are possible`,
    tooLong: (most: number) => `cut after ${number(most)} characters`,
    empty: "it is empty",
    notUsed: "this model does not use it",
    tooMany: (most: number) => `at most ${number(most)} are drawn at once`,
    otherLevels: "its noise levels are not offered",
    stays: (reason: string, present: string) => `${reason}, ${present} stays`,
    unknown: "unknown",
    notOffered: "not offered by this model",
    sampler: "sampler",
    schedule: "schedule",
    numberOf: (picture: number, of: number) => `number ${number(picture)} of ${number(of)}`,
    otherModel: (theirs: string, ours: string) => `Its model was ${theirs}, this one is ${ours}.`,
    weights: "Weights and file names in the prompt are read as words.",
    hide: "Hide",
    tooLarge: (name: string) => `${name} is larger than any picture.`,
    noPng: (name: string) => `${name} is no PNG; only PNGs are read for settings.`,
    noSettings: (name: string) => `${name} holds no settings.`,
    noSettingsPasted:
      "The pasted picture holds no settings: copying a picture drops them. Open the saved file, or paste its link.",
    unreadable: (name: string) => `${name} cannot be read.`,
    oneOf: (name: string, count: number) => `Only ${name} of ${number(count)} files is read.`,
    noModel: (name: string) => `The settings of ${name} can be taken when a model is chosen.`,
  };
}

/** The sentences of a language. */
export type GalleryStrings = ReturnType<typeof galleryEnglish>;
