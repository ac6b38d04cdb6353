/** Sentences of the gallery, and of settings from elsewhere, in German. */

import type { GalleryStrings } from "./gallery_english";
import type { Writer } from "./writer";

export function galleryGerman({ number, plural, list, bytes }: Writer): GalleryStrings {
  return {
    // The gallery.
    title: "Fertige Bilder",
    keptHere:
      "Bleiben in diesem Browser auf diesem Computer, solange Platz ist: Speichere, was nicht verloren gehen darf.",
    savedName: (name) => `Speichern: ${name}`,
    save: "Speichern",
    enlarge: (prompt) => `Vergrößern: ${prompt}`,
    unnamed: "ein Bild ohne Prompt",
    broken: "Die Datei dieses Bildes ist beschädigt.",
    showOlder: (count) =>
      plural(count, { one: "# älteres Bild zeigen", other: "# ältere Bilder zeigen" }),
    downloadAll: "Alle herunterladen",
    packing: (done, all) => `Bild ${number(done)} von ${number(all)} wird eingepackt …`,
    packed: (packed, all) =>
      packed === all
        ? plural(all, { one: "# Bild eingepackt.", other: "# Bilder eingepackt." })
        : `${number(packed)} von ${number(all)} Bildern eingepackt; die anderen sind beschädigt.`,
    packingFailed: "Die Bilder konnten nicht eingepackt werden. Speichere sie einzeln.",
    deleteAll: "Alle löschen",
    deleteAllQuestion: (count) =>
      plural(count, { one: "# Bild löschen?", other: "Alle # Bilder löschen?" }),
    deleteAllConsequence: "Sie werden aus diesem Browser entfernt und sind dann verloren.",
    deleteAllYes: "Löschen",
    deleteAllNo: "Behalten",
    deletedAll: "Alle Bilder sind gelöscht.",
    deleted: (name) => `${name} ist gelöscht.`,
    deletedForGood: (name) => `${name} ist gelöscht; die Datei war beschädigt.`,
    undo: "Rückgängig",
    broughtBack: (name) => `${name} ist wieder da.`,
    refusedChange: "Der Browser hat seinen Speicher nicht geändert. Versuche es noch einmal.",

    // What cannot be kept.
    noStore:
      "Dieser Browser bewahrt für die Seite nichts auf: Bilder bleiben, bis du sie verlässt. Speichere, was du behalten willst.",
    full: (count) =>
      plural(count, {
        one: "# Bild wird nicht aufbewahrt: Der Browser hat keinen Platz mehr für diese Seite. Es bleibt, bis du die Seite verlässt.",
        other:
          "# Bilder werden nicht aufbewahrt: Der Browser hat keinen Platz mehr für diese Seite. Sie bleiben, bis du die Seite verlässt.",
      }),
    fullHow: "Speichere sie, lösche andere Bilder oder ein Modell, das du nicht mehr brauchst.",
    makeRoom: (count, size) =>
      plural(count, {
        one: `Das älteste Bild löschen (${bytes(size)}), um Platz zu schaffen`,
        other: `Die # ältesten Bilder löschen (${bytes(size)}), um Platz zu schaffen`,
      }),
    madeRoom: "Jetzt ist Platz: Alle Bilder werden aufbewahrt.",
    refused: (count) =>
      plural(count, {
        one: "# Bild wird nicht aufbewahrt: Der Speicher des Browsers versagt. Es bleibt, bis du die Seite verlässt.",
        other:
          "# Bilder werden nicht aufbewahrt: Der Speicher des Browsers versagt. Sie bleiben, bis du die Seite verlässt.",
      }),
    unlisted:
      "Der Speicher des Browsers ist nicht lesbar. Bilder früherer Besuche werden nicht gezeigt.",
    tryAgain: "Noch einmal versuchen",
    damaged: (count) =>
      plural(count, {
        one: "# aufbewahrtes Bild ist beschädigt und kann nicht gezeigt werden.",
        other: "# aufbewahrte Bilder sind beschädigt und können nicht gezeigt werden.",
      }),

    // One picture.
    position: (index, count) => `Bild ${number(index)} von ${number(count)}`,
    close: "Schließen",
    newer: "Neueres",
    older: "Älteres",
    compare: "Vergleichen",
    comparing: (index, other) => `Bild ${number(index)} neben Bild ${number(other)}`,
    comparisonShare: "Wie viel vom ersten Bild zu sehen ist",
    different: "verschieden",
    copy: "Bild kopieren",
    copied:
      "Das Bild ist kopiert. Seine Einstellungen stehen nur in gespeicherten Dateien und Links.",
    copyFailed: "Der Browser ließ die Seite das Bild nicht kopieren. Speichere es stattdessen.",
    share: "Teilen",
    shareFailed: "Der Browser konnte das Bild nicht teilen. Speichere es stattdessen.",
    copyLink: "Link kopieren",
    linkCopied: "Der Link ist kopiert. Wer ihn öffnet, bekommt diese Einstellungen.",
    linkFailed: (link) => `Der Browser ließ die Seite nicht kopieren. Der Link ist: ${link}`,
    useSettings: "Einstellungen übernehmen",
    vary: "Abwandeln",
    varyHint: "Gleiche Einstellungen mit einem anderen Startwert",
    delete: "Löschen",
    gone: "Dieses Bild wurde in einem anderen Tab gelöscht.",
    model: "Modell",

    // Settings from elsewhere.
    fields: {
      prompt: "Prompt",
      negative: "negativer Prompt",
      seed: "Startwert",
      steps: "Schritte",
      guidance: "Prompttreue",
      scheduler: "Verfahren",
      size: "Größe",
      images: "Bilder",
      image: "Bild",
    },
    importFile: "Einstellungen eines Bildes öffnen",
    importHow:
      "Ein PNG, das hier oder mit einem anderen Programm entstand, bringt seine Einstellungen mit. Wähle eine Datei, zieh eine auf die Seite oder füge ein Bild, einen Link oder Einstellungen als Text ein.",
    dropHere: "Bild hier loslassen, um seine Einstellungen zu übernehmen",
    settingsFrom: (name) => `Einstellungen aus ${name}`,
    thisLink: "dem Link",
    pastedText: "dem eingefügten Text",
    pastedPicture: "dem eingefügten Bild",
    lastVisit: "deinem letzten Besuch",
    drawnWith: (name, program) => `${name}, gezeichnet mit ${program}`,
    taken: (name, what) => `Einstellungen aus ${name} übernommen: ${list(what)}.`,
    nothingTaken: (name) => `Keine Einstellungen aus ${name} übernommen.`,
    takenLine: (what) => `Übernommen: ${list(what)}.`,
    changed: (what) => `Geändert: ${what}.`,
    notTaken: (what) => `Nicht übernommen: ${what}.`,
    more: (count) => `und ${number(count)} weitere`,
    change: (name, from, to) => `${name} ${from} zu ${to}`,
    because: (what, reason) => `${what} (${reason})`,
    notCompiled: "keine der Größen dieses Modells",
    range: (least, most) => `möglich sind ${number(least)} bis ${number(most)}`,
    tooLong: (most) => `nach ${number(most)} Zeichen abgeschnitten`,
    empty: "leer",
    notUsed: "dieses Modell verwendet ihn nicht",
    tooMany: (most) => `höchstens ${number(most)} werden auf einmal gezeichnet`,
    otherLevels: "die Rauschstufen werden nicht angeboten",
    stays: (reason, present) => `${reason}, es bleibt bei ${present}`,
    unknown: "unbekannt",
    notOffered: "bietet dieses Modell nicht an",
    sampler: "Sampler",
    schedule: "Rauschstufen",
    numberOf: (picture, of) => `Nummer ${number(picture)} von ${number(of)}`,
    otherModel: (theirs, ours) => `Das Modell dort war ${theirs}, dieses ist ${ours}.`,
    weights: "Gewichte und Dateinamen im Prompt werden als Wörter gelesen.",
    hide: "Ausblenden",
    tooLarge: (name) => `${name} ist größer als jedes Bild.`,
    noPng: (name) => `${name} ist kein PNG; Einstellungen werden nur aus PNGs gelesen.`,
    noSettings: (name) => `In ${name} stehen keine Einstellungen.`,
    noSettingsPasted:
      "Im eingefügten Bild stehen keine Einstellungen: Beim Kopieren gehen sie verloren. Öffne die gespeicherte Datei oder füge den Link ein.",
    unreadable: (name) => `${name} ist nicht lesbar.`,
    oneOf: (name, count) => `Von ${number(count)} Dateien wird nur ${name} gelesen.`,
    noModel: (name) =>
      `Die Einstellungen aus ${name} können übernommen werden, sobald ein Modell gewählt ist.`,
  };
}
