/** The page's sentences in German. */

import type { Strings } from "./english";
import type { Writer } from "./writer";

export function german({ number, bytes, time, seconds, plural }: Writer): Strings {
  return {
    // The head and the foot of the page.
    tagline: "Bilder aus Worten, gezeichnet von der eigenen Grafikkarte.",
    language: "Sprache",
    model: "Modell",
    privacy: "Nichts, was du schreibst oder zeichnen lässt, verlässt diesen Browser.",
    wrongPictures: "Sieht ein Bild falsch aus? Starte den Selbsttest.",
    licences: "Lizenzen",

    // The prompt.
    prompt: "Prompt",
    promptPlaceholder: "Beschreibe das Bild, das du sehen möchtest",
    draw: "Zeichnen",
    stop: "Anhalten",
    examples: "Oder probiere eines davon",
    drawFirst: "Lade zuerst das Modell herunter: Der Knopf ist dort, wo das Bild erscheint.",

    // The settings.
    settings: "Einstellungen",
    negative: "Negativer Prompt",
    negativeHint: "Was das Bild nicht zeigen soll.",
    negativeUnused: "Dieses Modell nutzt ihn nicht.",
    steps: "Schritte",
    stepsHint: "Mehr Schritte ergeben ein feineres Bild und dauern länger.",
    guidance: "Prompttreue",
    guidanceHint: "Wie genau das Bild dem Prompt folgt.",
    seed: "Startwert",
    seedHint: "Gleicher Startwert und gleiche Einstellungen ergeben dasselbe Bild.",
    seedTitle: "Eine ganze Zahl, wie torch.manual_seed sie nimmt",
    random: "Für jedes Bild neu",
    size: "Größe",
    sizeHint: "Breite und Höhe in Pixeln.",
    scheduler: "Verfahren",
    schedulerHint: "Die Methode, die aus Rauschen ein Bild macht.",
    images: "Bilder",
    imagesHint: "Wie viele auf einmal gezeichnet werden.",
    onlyImage: (image, images) =>
      `Nur Nummer ${number(image)} von ${number(images)} wird gezeichnet.`,
    allImages: "Alle",
    settingsLine: (steps, guidance, seed, images) =>
      [
        plural(steps, { one: "# Schritt", other: "# Schritte" }),
        `Prompttreue ${number(guidance)}`,
        seed === undefined ? "jedes Mal ein neuer Startwert" : `Startwert ${seed}`,
        ...(images === 1 ? [] : [plural(images, { one: "# Bild", other: "# Bilder" })]),
      ].join(" · "),

    // The model.
    aboutModel: "Über dieses Modell",
    precision: "Genauigkeit",
    precisionHint:
      "Wie genau die Gewichte gespeichert sind. Weniger Bits brauchen weniger Speicher.",
    forget: "Dieses Modell vergessen",
    facts: (title, size, kept, memory, least) =>
      `${title}. ${bytes(size)}` +
      (kept === 0 ? "" : `, davon ${bytes(kept)} in diesem Browser gespeichert`) +
      `. Grafikspeicher: ${bytes(memory)}, oder ${bytes(least)} mit einer Stufe nach der anderen.`,
    forgetQuestion: (name) => `${name} vergessen?`,
    forgetConsequence: (size) =>
      `${bytes(size)} werden aus diesem Browser entfernt. Der nächste Besuch lädt sie neu herunter.`,
    forgetYes: "Vergessen",
    forgetNo: "Behalten",
    forgotten: "Vergessen: Der nächste Besuch lädt es neu herunter.",
    unknownModel: (wanted, shown) =>
      `Ein Modell namens „${wanted}“ gibt es hier nicht; dies ist ${shown}.`,
    inPlaceOf: (taken, refused) => `${taken} statt ${refused}`,

    // The place of the picture, before there is one.
    welcome: "Was möchtest du sehen?",
    welcomeHow: "Schreibe einen Prompt oder wähle ein Beispiel und drücke Zeichnen.",
    offerTitle: (name) => `${name} kann heruntergeladen werden`,
    offerKeptTitle: (name) => `${name} ist in diesem Browser gespeichert`,
    offerSize: (size) => `Einmaliger Download: ${bytes(size)}`,
    offerTime: (milliseconds) => `Dauert mit dieser Verbindung etwa ${time(milliseconds)}`,
    offerTimeUnknown: "Wie lange es dauert, zeigt sich, wenn der Download läuft",
    offerMemory: (memory) => `Braucht ${bytes(memory)} Grafikspeicher`,
    offerKept: "Bleibt in diesem Browser und geht danach auch ohne Netz",
    offerNoRoom: (room) =>
      `Dieser Browser hat nur Platz für ${bytes(room)}; jeder Besuch würde es neu herunterladen`,
    download: (size) => `${bytes(size)} herunterladen`,
    load: "Modell laden",
    pause: "Pause",
    preparing: "Das Modell wird vorbereitet",
    preparingHow:
      "Du kannst schon schreiben und Zeichnen drücken. Es geht los, sobald das Modell bereit ist.",
    unable: "Hier kann kein Bild gezeichnet werden",
    unableHow: "Was fehlt und was du tun kannst, steht oben auf der Seite.",

    // Progress.
    starting: "Startet …",
    looking: "Das Modell wird angesehen …",
    ready: "Bereit.",
    chooseDownload: "Wähle Herunterladen, um zu beginnen.",
    queued: "Dein Bild ist das nächste: Es beginnt, sobald es geht.",
    stopped: "Angehalten.",
    paused: "Pause. Was schon da ist, bleibt.",
    gettingReady: "Das Modell wird vorbereitet",
    readingPrompt: "Der Prompt wird gelesen",
    pictureOf: (image, images) => `Bild ${number(image)} von ${number(images)}`,
    step: (step, steps) => `Zeichnet, Schritt ${number(step)} von ${number(steps)}`,
    decoding: "Das Bild wird dekodiert",
    testing: (done, all) => `Stufe ${number(done)} von ${number(all)} wird geprüft`,
    left: (milliseconds) => `noch etwa ${time(milliseconds)}`,
    libraryDetail: (done, all) => `Programm: ${bytes(done)} von ${bytes(all)}`,
    weightsDetail: (done, all) => `Gewichte: ${bytes(done)} von ${bytes(all)}`,
    pipelinesDetail: (done, all) => `GPU-Programme: ${number(done)} von ${number(all)}`,
    done: (milliseconds) => `Fertig in ${seconds(milliseconds)}.`,
    doneTitle: "Fertig",
    progress: "Fortschritt",
    notices: "Hinweise",
    drawingNow: (prompt) => `Vorschau auf: ${prompt}`,

    // Times and memory.
    figures: "Zeiten und Speicher",
    figureLoading: "Laden",
    figureText: "Text",
    figureDenoising: "Entrauschen",
    figurePreview: "Bis zur ersten Vorschau",
    figureNone: "keine",
    figureDecoding: "Dekodieren",
    figureTotal: "Bild, insgesamt",
    figureMemory: "Grafikspeicher jetzt",
    figurePeak: "Grafikspeicher höchstens",
    figurePipelines: "GPU-Pipelines",
    figureVariants: "Kernel-Varianten",
    figureGpu: "GPU",

    // The self-test page.
    selfTest: "Selbsttest",
    selfTestHow:
      "Er prüft jede Datei eines Modells, führt dann jede seiner Stufen mit festen Eingaben aus und vergleicht die Ergebnisse mit denen von PyTorch. So unterscheidet er einen schlechten Download von einer GPU oder einem Treiber, die falsch rechnen. Nichts verlässt diesen Browser, außer du fügst den Bericht irgendwo ein.",
    selfTestRun: "Selbsttest starten",
    selfTestStages: "Die Stufen des Modells",
    selfTestReport: "Bericht",
    selfTestCopy: "Bericht kopieren",
    selfTestBack: "Zurück zum Zeichnen",
    selfTestDone: "Fertig.",
    verdictDamaged: "Es liegt am Download: Eine Datei ist beschädigt.",
    verdictMissing: "Es liegt am Download: Eine Datei ist nicht zu bekommen.",
    verdictUnsupported: "Diesem Browser oder dieser GPU fehlt, was das Modell braucht.",
    verdictUnfinished: "Der Selbsttest konnte nicht beendet werden.",
    verdictGood: "Alles ist gut: Die GPU rechnet wie PyTorch.",
    verdictGpu: (stages) =>
      `Die Dateien sind richtig, aber die GPU oder ihr Treiber rechnet falsch: ${stages}.`,

    // Errors: what happened, in a sentence, and what to do in this browser.
    errorDetails: "Was das Programm meldet",
    errorInsecure: "Diese Adresse ist nicht sicher, darum darf die Seite die GPU nicht nutzen.",
    errorInsecureHow: "Öffne die Seite unter einer Adresse mit https oder von localhost.",
    errorInsecureLink: (address) => `${address} öffnen`,
    errorNoWebGpu: "Dieser Browser kann hier nicht zeichnen: Er hat kein WebGPU.",
    errorNoAdapter: "Der Browser hat keine Grafikkarte gefunden, die er nutzen darf.",
    errorUnsupported: "Dieser Browser oder seine Grafikkarte kann das Modell nicht ausführen.",
    errorNoRoom: "Die Grafikkarte hat keinen Platz mehr für dieses Modell.",
    errorNoRoomHow:
      "Schließe andere Tabs und Programme, die die GPU nutzen, oder wähle ein kleineres Modell.",
    errorLost: "Der Browser hat beim Zeichnen die Grafikkarte verloren.",
    errorLostHow:
      "Drücke noch einmal Zeichnen: Das Modell wird neu geladen. Geschieht es oft, aktualisiere den Grafiktreiber.",
    errorFetch: "Eine Datei des Modells oder der Seite konnte nicht geholt werden.",
    errorOffline:
      "Dieser Rechner ist offline. Verbinde ihn mit dem Netz und versuche es noch einmal.",
    errorDamaged: "Eine Datei ist beschädigt und wurde nicht verwendet.",
    errorOption: "Mit diesen Einstellungen kann nicht gezeichnet werden.",
    errorUnexpected: "Etwas ging schief, womit die Seite nicht gerechnet hat.",
    errorReload: "Lade die Seite neu. Geschieht es wieder, starte den Selbsttest.",
    useChrome:
      "Aktualisiere Chrome oder Edge: WebGPU braucht Version 113, auf Android 121. Öffne unter Linux chrome://flags/#enable-unsafe-webgpu, wähle Enabled und starte neu.",
    useFirefox:
      "Aktualisiere Firefox: WebGPU braucht Version 141 unter Windows und 145 auf dem Mac. Nimm unter Linux und Android vorerst Chrome.",
    useSafari:
      "Aktualisiere auf Safari 26, das mit macOS 26, iOS 26 und iPadOS 26 kommt. Nimm auf einem älteren Mac Chrome.",
    useOther: "Öffne die Seite in einem aktuellen Chrome, Edge, Firefox oder Safari.",
    accelerateChrome:
      "Öffne chrome://settings/system, schalte die Grafikbeschleunigung ein und starte den Browser neu.",
    accelerateFirefox:
      "Schalte in den Einstellungen unter Allgemein, Leistung die Hardwarebeschleunigung ein und starte den Browser neu.",
    accelerateSafari: "Starte den Browser neu und installiere die Updates des Betriebssystems.",
    accelerateOther:
      "Schalte in den Einstellungen des Browsers die Hardwarebeschleunigung ein und starte ihn neu.",
    updateDriver:
      "Hilft das nicht, aktualisiere den Grafiktreiber oder nimm einen anderen Rechner.",
  };
}
