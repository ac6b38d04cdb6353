/** The page's sentences in German. */

import type { Strings } from "./english";
import type { Writer } from "./writer";

export function german({
  number,
  percent,
  bytes,
  time,
  seconds,
  plural,
  list,
  isolate,
}: Writer): Strings {
  return {
    // The head and the foot of the page.
    tagline: "Bilder aus Worten, gezeichnet von deiner eigenen Grafikkarte.",
    language: "Sprache",
    model: "Modell",
    privacy: "Nichts, was du schreibst oder zeichnen lässt, verlässt diesen Browser.",
    wrongPictures: "Sieht ein Bild falsch aus? Starte den Selbsttest.",
    licences: "Lizenzen",

    // The prompt.
    prompt: "Prompt",
    promptPlaceholder: "Beschreibe das Bild, das du sehen möchtest",
    draw: "Zeichnen",
    stop: "Abbrechen",
    examples: "Oder probiere ein Beispiel",
    drawFirst:
      "Lade zuerst das Modell herunter: Der Knopf dafür ist dort, wo später das Bild erscheint.",

    // Weights, second prompts, and how long the prompts are.
    prompts: {
      weights: "Gewichte in Klammern",
      weightsHint:
        "Liest (Wort:1.3), (Wort), [Wort] und BREAK so wie die Web UI von AUTOMATIC1111, und von langen Prompts mehr als 75 Token.",
      clipSkip: "Ausgelassene Textschichten",
      clipSkipHint:
        "Wie viele der letzten Schichten des Text-Encoders ausgelassen werden: „Clip skip“ von AUTOMATIC1111 weniger 1.",
      second: "Zweiter Prompt",
      secondHint:
        "Was der zweite Text-Encoder des Modells liest; ist das Feld leer, den Prompt selbst.",
      secondNegative: "Zweiter negativer Prompt",
      third: "Dritter Prompt",
      thirdHint: "Was T5, der dritte Text-Encoder, liest; ist das Feld leer, den Prompt selbst.",
      thirdNegative: "Dritter negativer Prompt",
      tokens: (count, limit) => `${number(count)} von ${number(limit)} Token`,
      cut: (count, limit, words) =>
        `${number(count)} von ${number(limit)} Token. Das Modell liest nicht: ${isolate(words)}`,
      clip: (read, count) => `CLIP liest ${number(read)} von ${number(count)} Token`,
      wider: (limit) => `„Gewichte in Klammern“ in den Einstellungen liest bis zu ${number(limit)}`,
    },

    // The settings.
    settings: "Einstellungen",
    negative: "Negativer Prompt",
    negativeHint: "Was das Bild nicht zeigen soll.",
    negativeUnused: "Dieses Modell nutzt ihn nicht.",
    steps: "Schritte",
    stepsHint: "Mehr Schritte ergeben ein feineres Bild und dauern länger.",
    guidance: "Prompttreue",
    guidanceHint: "Wie genau das Bild dem Prompt folgt.",
    cacheInterval: "Cache-Intervall",
    cacheIntervalHint:
      "Mit 2 oder 3 rechnet nur jeder zweite oder dritte Schritt das ganze UNet: schneller und weniger genau. Mit 1 tut es jeder Schritt.",
    seed: "Startwert",
    seedHint: "Gleicher Startwert und gleiche Einstellungen ergeben dasselbe Bild.",
    seedTitle: "Eine ganze Zahl, wie torch.manual_seed sie annimmt",
    random: "Für jedes Bild neu",
    size: "Größe",
    sizeHint: "Breite und Höhe in Pixeln.",
    scheduler: "Verfahren",
    schedulerHint: "Die Methode, die aus Rauschen ein Bild macht.",
    images: "Bilder",
    imagesHint: "Wie viele Bilder ein Druck auf Zeichnen ergibt.",
    onlyImage: (image, images) =>
      `Nur Bild ${number(image)} von ${number(images)} wird gezeichnet.`,
    allImages: "Alle",
    settingsLine: (steps, guidance, seed, images) =>
      [
        plural(steps, { one: "# Schritt", other: "# Schritte" }),
        `Prompttreue ${number(guidance)}`,
        seed === undefined ? "jedes Mal ein neuer Startwert" : `Startwert ${isolate(seed)}`,
        ...(images === 1 ? [] : [plural(images, { one: "# Bild", other: "# Bilder" })]),
      ].join(" · "),

    // The picture that drawing begins with.
    given: {
      choose: "Mit einem Bild beginnen",
      chooseHow: "Du kannst auch eines hierherziehen oder einfügen.",
      noEncoder: "Dieses Modell zeichnet nur aus Worten und kann nicht mit einem Bild beginnen.",
      needsPicture: "Dieses Modell ändert einen Teil eines Bildes: Wähle zuerst ein Bild.",
      needsMask: "Dieses Modell ändert einen Teil eines Bildes: Male diesen Teil zuerst an.",
      notThisLarge: (size) =>
        `Diese Grafikkarte kann nicht mit einem Bild von ${isolate(size)} beginnen: Wähle eine andere Größe oder entferne das Bild.`,
      title: "Ausgangsbild",
      alt: (name) => `Das Ausgangsbild: ${isolate(name)}`,
      pasted: "das eingefügte Bild",
      taken: (name) => `Ausgangsbild ist jetzt: ${isolate(name)}.`,
      offer: (name) =>
        `Die Einstellungen sind übernommen. Du kannst auch mit dem Bild selbst beginnen: ${isolate(name)}.`,
      use: "Damit beginnen",
      notNow: "Jetzt nicht",
      remove: "Das Bild entfernen",
      removed: (name) => `Nicht mehr das Ausgangsbild: ${isolate(name)}.`,
      setAside: (name) =>
        `Nicht mehr das Ausgangsbild, denn hier wurde nur nach Worten gezeichnet: ${isolate(name)}.`,
      bringBack: "Rückgängig",
      unreadable: (name) => `Als Bild nicht zu gebrauchen: ${isolate(name)}.`,
      unreadableHow:
        "Wähle ein Bild, das dieser Browser zeigen kann: ein PNG, JPEG oder WebP in RGB (nicht CMYK), nicht bewegt, mit höchstens 16384 Pixeln je Seite und 134 Millionen insgesamt.",
      notKept:
        "Dieser Browser behält das Ausgangsbild nicht: Wähle es nach dem Neuladen noch einmal.",

      strength: "Stärke",
      strengthHint:
        "Wie viel neu gezeichnet wird: Wenig erhält das Bild, bei 100 % bleibt fast nichts davon.",
      strengthMasked: "Wie viel im angemalten Teil neu gezeichnet wird.",
      edit: "Einen Teil ändern",
      editAgain: "Das Angemalte ändern",
      unmask: "Das Angemalte entfernen",
      masked: (share) => `${percent(share)} des Bildes werden neu gezeichnet.`,

      more: "Optionen des Bildes",
      fit: "Einpassen",
      fitHint: "Was geschieht, wenn das Bild eine andere Form hat als das gezeichnete.",
      fits: {
        cover: "Füllen, und den Rest abschneiden",
        contain: "Ganz zeigen, und den Rand füllen",
        crop: "Die Mitte ausschneiden",
        stretch: "Verzerren",
      },
      usedWhole: (given, size) =>
        given === size
          ? `${isolate(size)} Pixel, unverändert verwendet.`
          : `${isolate(given)} Pixel, auf ${isolate(size)} gebracht.`,
      usedPart: (given, part, size) =>
        `Von ${isolate(given)} Pixeln werden die mittleren ${isolate(part)} verwendet, als ${isolate(size)}. Der Rest ist abgeschnitten.`,
      usedBordered: (given, placed, size) =>
        `${isolate(given)} Pixel, auf ${isolate(placed)} gebracht, mit einem Rand darum: ${isolate(size)}.`,
      usedStretched: (given, size) => `${isolate(given)} Pixel, auf ${isolate(size)} verzerrt.`,
      usedMasked: (given, size) =>
        `${isolate(given)} Pixel. Der Ausschnitt um das Angemalte wird als ${isolate(size)} gezeichnet und wieder eingesetzt.`,
      enlarge: "Das Bild erweitern",
      enlargeHint: "Pixel, die an jeder Seite dazukommen und neu gezeichnet werden.",
      left: "Links",
      right: "Rechts",
      top: "Oben",
      bottom: "Unten",
      blur: "Weicher Rand",
      blurHint: "Pixel, über die das Angemalte in den Rest übergeht.",
      content: "Der angemalte Teil beginnt als",
      contentHint:
        "Rauschen und Farben vergessen, was dort war; beim Bild kommt es auf die Stärke an. Bei einer Stärke von 100 % beginnt er als Rauschen, was auch immer hier gewählt ist.",
      contents: {
        original: "Das Bild",
        noise: "Rauschen",
        fill: "Die Farben ringsum",
      },
      only: "Nur um das Angemalte zeichnen",
      onlyHint: "Es bekommt die volle Größe des Modells und wird dadurch feiner.",
      padding: "Pixel ringsum",
      keep: "Den Rest genau erhalten",
      keepHint:
        "Was nicht angemalt ist, bleibt auf das Pixel genau, wie es war; eine weiche Kante reicht etwas darüber hinaus.",

      before: "Vorher",
      after: "Nachher",
      beforeShare: "Wie viel vom Bild davor zu sehen ist",
    },

    // The dialog in which a mask is painted.
    mask: {
      title: "Male an, was neu gezeichnet werden soll",
      done: "Fertig",
      canvas: "Das Bild; was angemalt ist, ist gestreift",
      tools: "Werkzeuge zum Malen",
      brush: "Pinsel",
      eraser: "Radierer",
      size: "Pinselbreite",
      undo: "Rückgängig",
      redo: "Wiederholen",
      clear: "Leeren",
      invert: "Umkehren",
      whole: "Ganzes Bild",
      zoomIn: "Vergrößern",
      zoomOut: "Verkleinern",
      brushDown: "Der Pinsel ist unten, die Pfeiltasten malen. Die Leertaste hebt ihn.",
      brushSize: (share) => `Der Pinsel ist ${percent(share)} so breit wie das Bild.`,
      nothing: "Noch ist nichts angemalt.",
      share: (share) => `${percent(share)} des Bildes werden neu gezeichnet.`,
      keys: "Tasten: Die Pfeile bewegen den Pinsel, die Leertaste senkt und hebt ihn, B und E nehmen Pinsel und Radierer, [ und ] ändern seine Breite, + − 0 zoomen, Strg Z macht rückgängig. Zwei Finger verschieben und zoomen.",
    },

    // The second pass.
    second: {
      title: "Zweiter Durchgang",
      hint: "Zeichnet das Bild, vergrößert es, und zeichnet seine Einzelheiten neu.",
      none: "Für Bilder dieser Größe hat dieses Modell keine größere derselben Form.",
      notGiven: "Nicht mit einem Ausgangsbild.",
      size: "Vergrößert auf",
      sizeOption: (size, factor) => `${isolate(size)} (${number(factor)}-fach)`,
      strength: "Stärke",
      strengthHint: "Wie viel neu gezeichnet wird. Der schnelle Weg braucht 50 % oder mehr.",
      stepsLine: (count) =>
        plural(count, { one: "Er hat # Schritt.", other: "Er hat # Schritte." }),
      upscale: "Was vergrößert wird",
      upscales: {
        latent: "Die Latents (schnell)",
        picture: "Das Bild (bleibt näher daran)",
      },
    },

    // A variation, and what the safety checker says.
    variation: {
      line: (seed, share) =>
        `Eine Abwandlung: ${percent(share)} des Rauschens vom Startwert ${isolate(seed)}.`,
      none: "Keine Abwandlung",
    },
    safety: {
      flagged: (count) =>
        plural(count, {
          one: "Die Sicherheitsprüfung hält dieses Bild für ungeeignet. Es ist unkenntlich gemacht und wird nicht behalten. Ändere den Prompt oder den Startwert, und zeichne noch einmal.",
          other:
            "Die Sicherheitsprüfung hält # Bilder für ungeeignet. Sie sind unkenntlich gemacht und werden nicht behalten. Ändere den Prompt oder den Startwert, und zeichne noch einmal.",
        }),
      blurred: "Ein Bild, das die Sicherheitsprüfung unkenntlich machen ließ",
    },

    // LoRAs.
    loras: {
      title: "LoRAs",
      none: "Keines ist geladen.",
      allOff: "Keines ist eingeschaltet.",
      hint: "Kleine Dateien, die ändern, was das Modell zeichnet: ein Stil, eine Person, ein Ding. Textual Inversions geben dem Prompt ein neues Wort. Wähle .safetensors-Dateien, die für dieses Modell gemacht sind, oder ziehe sie auf die Seite.",
      choose: "LoRAs hinzufügen",
      address: "Oder eine Adresse auf dieser Website",
      load: "Laden",
      examples: "Für dieses Modell gemacht",
      addExample: (name) => `${isolate(name)} hinzufügen`,
      drop: "Lass das LoRA los, um es hinzuzufügen",
      otherSite: (address) =>
        `${isolate(address)} liegt nicht auf dieser Website, und diese Seite lädt von keiner anderen. Lade die Datei herunter und ziehe sie dann hierher.`,
      tooLarge: (name) => `${isolate(name)} ist zu groß für ein LoRA.`,
      later: (name) => `${isolate(name)} wird gelesen, sobald das Modell bereit ist.`,
      reading: (name) => `${isolate(name)} wird gelesen …`,
      added: (name, layers) =>
        `${isolate(name)} ist eingeschaltet: Es ändert ${plural(layers, { one: "# Schicht", other: "# Schichten" })} des Modells.`,
      inversionAdded: (token) =>
        `Das Wort ${isolate(token)} hat jetzt eine eigene Bedeutung: Schreibe es in den Prompt.`,
      fast: (name, scheduler, steps, guidance) =>
        `${isolate(name)} ist für wenige Schritte gemacht: Das Verfahren ${isolate(scheduler)}, ${plural(steps, { one: "# Schritt", other: "# Schritte" })} und die Prompttreue ${number(guidance)} passen dazu und sind eingestellt.`,
      fastMissing: (wanted, scheduler) =>
        `Am besten wäre ${isolate(wanted)}, das dieses Modell nicht anbietet; ${isolate(scheduler)} kommt ihm am nächsten.`,
      slow: "Die Einstellungen von vorher sind wieder da.",
      already: (name) => `${isolate(name)} steht schon in der Liste und ist jetzt eingeschaltet.`,
      refused: (name) => `${isolate(name)} kann mit diesem Modell nicht benutzt werden.`,
      refusedHow:
        "Wähle die .safetensors-Datei eines LoRAs oder einer Textual Inversion für Modelle dieser Familie.",
      fault: "Es konnte nicht geladen werden und ist ausgeschaltet.",
      full: "Der Browser hat keinen Platz mehr für diese Seite.",
      noStore: "Der Browser bewahrt für diese Seite nichts auf.",
      tooMany: (most) => `Höchstens ${number(most)} LoRAs mit zusammen 8 GB werden aufbewahrt.`,
      notKept: (name) =>
        `${isolate(name)} bleibt, bis du die Seite verlässt: Füge es nach dem Neuladen wieder hinzu.`,
      strength: (name) => `Stärke von ${isolate(name)}`,
      strengthNumber: (name) => `Stärke von ${isolate(name)} als Zahl`,
      remove: (name) => `${isolate(name)} entfernen`,
      removed: (name) => `${isolate(name)} ist entfernt.`,
      facts: (layers, size) =>
        `${plural(layers, { one: "# Schicht", other: "# Schichten" })}, ${bytes(size)}`,
      inversion: (vectors) =>
        `Ein Wort für den Prompt aus ${plural(vectors, { one: "# Vektor", other: "# Vektoren" })}`,
      unused: (count) =>
        plural(count, {
          one: "# seiner Tensoren ist für eine Schicht, die dieses Modell nicht ausführt.",
          other: "# seiner Tensoren sind für Schichten, die dieses Modell nicht ausführt.",
        }),
      words: "Wörter für den Prompt",
      wordsOf: (name) => `Wörter für den Prompt mit ${isolate(name)}`,
      addWord: (word) => `${isolate(word)} zum Prompt hinzufügen`,
      wordAdded: (word) => `${isolate(word)} steht im Prompt.`,
      missing: (names) =>
        `Der Prompt nennt LoRAs, die nicht in der Liste stehen: ${list(names.map(isolate))}. Füge ihre Dateien hinzu oder entferne ihre Angaben aus dem Prompt.`,
      tagParts: (names) =>
        `Diese Seite wendet Teile von LoRA-Angaben im Prompt nicht an: ${list(names.map(isolate))}. Entferne diese Teile oder die Angaben.`,
    },

    // The model.
    aboutModel: "Über dieses Modell",
    precision: "Genauigkeit",
    precisionHint:
      "Wie genau die Gewichte gespeichert sind. Weniger Bits brauchen weniger Speicher.",
    encoder3: "Mit T5, dem dritten Textencoder",
    encoder3Hint:
      "Er folgt langen Prompts genauer. Ohne ihn ist der Download kleiner, und das Modell braucht viel weniger Speicher.",
    forget: "Dieses Modell vergessen",
    facts: (title, size, kept, memory, least) =>
      `${isolate(title)}. ${bytes(size)}` +
      (kept === 0 ? "" : `, davon ${bytes(kept)} in diesem Browser gespeichert`) +
      `. Grafikspeicher: ${bytes(memory)}, oder ${bytes(least)}, wenn die Stufen nacheinander geladen werden.`,
    forgetQuestion: (name) => `${isolate(name)} vergessen?`,
    forgetConsequence: (size) =>
      `${bytes(size)} werden aus diesem Browser entfernt. Beim nächsten Besuch werden sie neu heruntergeladen.`,
    forgetYes: "Vergessen",
    forgetNo: "Behalten",
    forgotten: "Vergessen: Beim nächsten Besuch wird das Modell neu heruntergeladen.",
    unknownModel: (wanted, shown) =>
      `Ein Modell namens „${isolate(wanted)}“ gibt es hier nicht; dies ist ${isolate(shown)}.`,
    inPlaceOf: (taken, refused) => `Statt ${isolate(refused)} wird ${isolate(taken)} verwendet`,

    // The place of the picture, before there is one.
    welcome: "Was möchtest du sehen?",
    welcomeHow: "Schreibe einen Prompt und drücke auf „Zeichnen“, oder wähle ein Beispiel.",
    offerTitle: (name) => `${isolate(name)} kann heruntergeladen werden`,
    offerKeptTitle: (name) => `${isolate(name)} ist in diesem Browser gespeichert`,
    offerSize: (size) => `Einmaliger Download: ${bytes(size)}`,
    offerTime: (milliseconds) => `Dauert mit dieser Verbindung etwa ${time(milliseconds)}`,
    offerTimeUnknown: "Wie lange es dauert, zeigt sich während des Downloads",
    offerMemory: (memory) => `Braucht ${bytes(memory)} Grafikspeicher`,
    offerKept: "Bleibt in diesem Browser und läuft danach auch ohne Netz",
    offerNoRoom: (room) =>
      `Dieser Browser meldet nur ${bytes(room)} freien Platz; vielleicht muss jeder Besuch das Modell neu herunterladen`,
    download: (size) => `${bytes(size)} herunterladen`,
    load: "Modell laden",
    pause: "Pause",
    preparing: "Das Modell wird vorbereitet",
    preparingHow:
      "Du kannst schon einen Prompt schreiben und auf „Zeichnen“ drücken. Es geht los, sobald das Modell bereit ist.",
    unable: "Hier kann kein Bild gezeichnet werden",
    unableHow: "Was fehlt und was du tun kannst, steht oben auf der Seite.",

    // Progress.
    starting: "Wird gestartet …",
    looking: "Das Modell wird geprüft …",
    ready: "Bereit.",
    chooseDownload: "Wähle „Herunterladen“, um zu beginnen.",
    queued: "Dein Bild ist als Nächstes dran und beginnt von selbst.",
    skip: "Jetzt zeichnen",
    stopped: "Abgebrochen.",
    paused: "Pause. Was schon heruntergeladen ist, bleibt gespeichert.",
    gettingReady: "Das Modell wird vorbereitet",
    readingPicture: "Das Bild wird gelesen",
    readingPrompt: "Der Prompt wird gelesen",
    pictureOf: (image, images) => `Bild ${number(image)} von ${number(images)}`,
    step: (step, steps) => `Schritt ${number(step)} von ${number(steps)} wird gezeichnet`,
    decoding: "Das Bild wird dekodiert",
    checking: "Das Bild wird geprüft",
    secondPass: (work) => `Zweiter Durchgang: ${work}`,
    testing: (done, all) => `Stufe ${number(done)} von ${number(all)} wird geprüft`,
    left: (milliseconds) => `noch etwa ${time(milliseconds)}`,
    libraryDetail: (done, all) => `Programm: ${bytes(done)} von ${bytes(all)}`,
    weightsDetail: (done, all) => `Gewichte: ${bytes(done)} von ${bytes(all)}`,
    pipelinesDetail: (done, all) => `GPU-Programme: ${number(done)} von ${number(all)}`,
    done: (milliseconds) => `Fertig in ${seconds(milliseconds)}.`,
    doneTitle: "Fertig",
    progress: "Fortschritt",
    notices: "Hinweise",
    drawingNow: (prompt) => `Vorschau: ${isolate(prompt)}`,

    allSettings: {
      title: "Speicher und alle Einstellungen",
      tiles: "Dekodieren",
      tilesHint: "In Kacheln braucht es weniger Speicher. Das Bild ist dann nicht ganz dasselbe.",
      whole: "Das ganze Bild, wenn es passt",
      tile: (edge: number) => `In Kacheln von ${number(edge)} Pixeln`,
      overlap: "Überlappung der Kacheln, Prozent",
      kept: "Was im Grafikspeicher bleibt",
      keptHint: "Was nicht bleibt, wird für jedes Bild neu geladen: weniger Speicher, mehr Zeit.",
      textEncoders: "Textencoder",
      encoder: "Encoder eines gegebenen Bildes",
      denoiser: "Entrauscher",
      decoder: "Decoder",
      checker: "Inhaltsprüfung",
      ofModel: "vom Modell",
      ofPage: "von der Seite",
      ofCall: "hier gewählt",
      memory: (planned: number) => `Grafikspeicher maximal, wie geplant: ${bytes(planned)}`,
    },

    // Times and memory.
    figures: "Zeiten und Speicher",
    figurePicture: "Bild",
    figureImages: "Bilder",
    figureReady: "Bereit nach",
    figureLoading: "Sekunden: Start · Gewichte · Pipelines",
    figureFiles: "Sekunden der Dateien: holen · lesen · Hash · schreiben · hochladen",
    figureKept: "Dateien, die schon da waren",
    figureEncoding: "Bild lesen",
    figureText: "Text",
    figureDenoising: "Entrauschen",
    figurePreview: "Bis zur ersten Vorschau",
    figureNone: "keine",
    figureDecoding: "Dekodieren",
    figureTotal: "Ganzes Bild",
    figureMemory: "Grafikspeicher jetzt",
    figurePeak: "Grafikspeicher maximal",
    figurePipelines: "GPU-Pipelines",
    figureVariants: "Kernel-Varianten",
    figureGpu: "GPU",
    tune: "Die schnellsten Kernel suchen, solange nichts gezeichnet wird",
    tuned: (gain, complete) =>
      `Auf dieser GPU: ${complete ? "" : "bisher "}${number(gain)}-mal so schnell.`,
    figuresCopy: "Als Markdown kopieren",
    figuresCopied: "Die Zahlen sind kopiert.",
    figuresCopyFailed:
      "Der Browser ließ die Seite nicht kopieren. Markieren Sie die Tabelle und kopieren Sie sie selbst.",

    // The self-test page.
    selfTest: "Selbsttest",
    selfTestHow:
      "Der Selbsttest prüft jede Datei eines Modells, führt dann jede seiner Stufen mit festen Eingaben aus und vergleicht die Ergebnisse mit denen von PyTorch. So zeigt sich, ob der Download fehlerhaft ist oder ob die GPU oder ihr Treiber falsch rechnet. Nichts verlässt diesen Browser, es sei denn, du fügst den Bericht irgendwo ein.",
    selfTestRun: "Selbsttest starten",
    selfTestStages: "Die Stufen des Modells",
    selfTestReport: "Bericht",
    selfTestCopy: "Bericht kopieren",
    selfTestCopied: "Der Bericht ist kopiert.",
    selfTestCopyFailed:
      "Der Browser hat das Kopieren nicht erlaubt. Der Bericht ist markiert, damit du ihn selbst kopieren kannst.",
    selfTestBack: "Zurück zum Zeichnen",
    stageName: "Stufe",
    stageResult: "Ergebnis",
    stageGood: "gut",
    stageBad: "FALSCH",
    stageError: "Fehler",
    stageLimit: "Grenze",
    stageRepeats: "Wiederholbar",
    stageRepeatable: "ja",
    stageUnsteady: "NEIN",
    stageTime: "Zeit",
    stageKernels: "Kernel",
    selfTestDone: "Fertig.",
    verdictDamaged: "Es liegt am Download: Eine Datei ist beschädigt.",
    verdictMissing: "Es liegt am Download: Eine Datei konnte nicht geladen werden.",
    verdictUnsupported: "Diesem Browser oder dieser GPU fehlt, was das Modell braucht.",
    verdictUnfinished: "Der Selbsttest konnte nicht abgeschlossen werden.",
    verdictGood: "Alles in Ordnung: Die GPU rechnet wie PyTorch.",
    verdictGpu: (stages) =>
      `Die Dateien sind richtig, aber die GPU oder ihr Treiber rechnet falsch: ${isolate(stages)}.`,

    // Errors: what happened, in a sentence, and what to do in this browser.
    errorDetails: "Was das Programm meldet",
    errorInsecure: "Diese Adresse ist nicht sicher, darum darf die Seite die GPU nicht nutzen.",
    errorInsecureHow:
      "Öffne die Seite unter einer Adresse, die mit https beginnt, oder über localhost.",
    errorInsecureLink: (address) => `${isolate(address)} öffnen`,
    errorNoWebGpu: "Dieser Browser kann hier nicht zeichnen: Ihm fehlt WebGPU.",
    errorNoAdapter: "Der Browser hat keine Grafikkarte gefunden, die er nutzen darf.",
    errorUnsupported: "Dieser Browser oder seine Grafikkarte kann das Modell nicht ausführen.",
    errorNoRoom: "Die Grafikkarte hat keinen Platz mehr für dieses Modell.",
    errorNoRoomHow:
      "Schließe andere Tabs und Programme, die die GPU nutzen, oder wähle ein kleineres Modell.",
    errorLost: "Der Browser hat beim Zeichnen die Verbindung zur Grafikkarte verloren.",
    errorLostHow:
      "Drücke noch einmal auf „Zeichnen“: Das Modell wird neu geladen. Passiert das öfter, aktualisiere den Grafiktreiber.",
    errorFetch: "Eine Datei des Modells oder der Seite konnte nicht geladen werden.",
    errorOffline:
      "Dieser Rechner ist offline. Verbinde ihn mit dem Netz und versuche es noch einmal.",
    errorDamaged: "Eine Datei ist beschädigt und wurde nicht verwendet.",
    errorVersion: "Die Seite und das Modell in diesem Browser gehören zu zwei Versionen.",
    errorLora: "Ein LoRA kann nicht benutzt werden.",
    errorOption: "Mit diesen Einstellungen kann kein Bild gezeichnet werden.",
    errorNoSelfTest: "Dieses Modell hat keinen Selbsttest.",
    errorUnexpected: "Etwas ist schiefgegangen, womit die Seite nicht gerechnet hat.",
    tryAgain: "Noch einmal versuchen",
    errorReload: "Lade die Seite neu. Passiert es wieder, starte den Selbsttest.",
    useChrome:
      "Aktualisiere Chrome oder Edge: Diese Seite braucht Version 127. Öffne unter Linux chrome://flags/#enable-unsafe-webgpu, wähle „Enabled“ und starte den Browser neu.",
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

    // The gallery, and settings that come from pictures, links and texts.
    gallery: {
      // The gallery.
      title: "Fertige Bilder",
      keptHere:
        "Die Bilder bleiben in diesem Browser auf diesem Computer, solange Platz ist. Speichere als Datei, was nicht verloren gehen darf.",
      savedName: (name) => `Speichern: ${isolate(name)}`,
      save: "Speichern",
      enlarge: (prompt) => `Vergrößern: ${isolate(prompt)}`,
      unnamed: "ein Bild ohne Prompt",
      broken: "Die Datei dieses Bildes ist beschädigt.",
      showOlder: (count) =>
        plural(count, { one: "# älteres Bild zeigen", other: "# ältere Bilder zeigen" }),
      downloadAll: "Alle herunterladen",
      packing: (done, all) => `Bild ${number(done)} von ${number(all)} wird gepackt …`,
      packed: (packed, all) =>
        packed === all
          ? plural(all, { one: "# Bild gepackt.", other: "# Bilder gepackt." })
          : `${number(packed)} von ${number(all)} Bildern gepackt; die anderen sind beschädigt.`,
      packingFailed: "Die Bilder konnten nicht gepackt werden. Speichere sie einzeln.",
      deleteAll: "Alle löschen",
      deleteAllQuestion: (count) =>
        plural(count, { one: "# Bild löschen?", other: "Alle # Bilder löschen?" }),
      deleteAllConsequence: (count) =>
        plural(count, {
          one: "Es wird aus diesem Browser entfernt und ist dann verloren.",
          other: "Sie werden aus diesem Browser entfernt und sind dann verloren.",
        }),
      deleteAllYes: () => "Löschen",
      deleteAllNo: () => "Behalten",
      deletedAll: "Alle Bilder sind gelöscht.",
      deleted: (name) => `${isolate(name)} ist gelöscht.`,
      deletedForGood: (name) => `${isolate(name)} ist gelöscht; die Datei war beschädigt.`,
      undo: "Rückgängig",
      broughtBack: (name) => `${isolate(name)} ist wieder da.`,
      refusedChange: "Der Browser konnte seinen Speicher nicht ändern. Versuche es noch einmal.",

      // What cannot be kept.
      noStore:
        "Dieser Browser bewahrt nichts für diese Seite auf: Die Bilder bleiben nur, bis du die Seite verlässt. Speichere, was du behalten willst.",
      full: (count) =>
        plural(count, {
          one: "# Bild wird nicht aufbewahrt: Der Browser hat keinen Platz mehr für diese Seite. Es bleibt nur, bis du die Seite verlässt.",
          other:
            "# Bilder werden nicht aufbewahrt: Der Browser hat keinen Platz mehr für diese Seite. Sie bleiben nur, bis du die Seite verlässt.",
        }),
      fullHow:
        "Speichere, was du behalten willst, lösche andere Bilder oder vergiss ein Modell, das du nicht mehr brauchst.",
      makeRoom: (count, size) =>
        plural(count, {
          one: `Das älteste Bild löschen (${bytes(size)}), um Platz zu schaffen`,
          other: `Die # ältesten Bilder löschen (${bytes(size)}), um Platz zu schaffen`,
        }),
      madeRoom: "Jetzt ist Platz: Alle Bilder werden aufbewahrt.",
      refused: (count) =>
        plural(count, {
          one: "# Bild wird nicht aufbewahrt: Im Speicher des Browsers ist ein Fehler aufgetreten. Es bleibt nur, bis du die Seite verlässt.",
          other:
            "# Bilder werden nicht aufbewahrt: Im Speicher des Browsers ist ein Fehler aufgetreten. Sie bleiben nur, bis du die Seite verlässt.",
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
      actualSize: "Originalgröße",
      newer: "Neueres",
      older: "Älteres",
      compare: "Vergleichen",
      comparing: (index, other) => `Bild ${number(index)} neben Bild ${number(other)}`,
      comparisonShare: "Wie viel vom ersten Bild zu sehen ist",
      different: "verschieden",
      copy: "Bild kopieren",
      copied:
        "Das Bild ist kopiert. Seine Einstellungen stehen nur in gespeicherten Dateien und Links.",
      copyFailed: "Der Browser hat das Kopieren nicht erlaubt. Speichere das Bild stattdessen.",
      share: "Teilen",
      shareFailed: "Der Browser konnte das Bild nicht teilen. Speichere es stattdessen.",
      copyLink: "Link kopieren",
      linkCopied: "Der Link ist kopiert. Wer ihn öffnet, bekommt diese Einstellungen.",
      linkFailed: (link) =>
        `Der Browser hat das Kopieren nicht erlaubt. Der Link lautet: ${isolate(link)}`,
      useSettings: "Einstellungen übernehmen",
      startFrom: "Damit beginnen",
      startFromHint: "Aus diesem Bild ein anderes zeichnen",
      vary: "Abwandeln",
      varyHint: "Fast dasselbe Bild: sein Rauschen, ein wenig verändert",
      anotherSeed: "Anderer Startwert",
      anotherSeedHint: "Die gleichen Einstellungen mit einem anderen Startwert: ein anderes Bild",
      delete: "Löschen",
      gone: "Dieses Bild wurde in einem anderen Tab gelöscht.",
      model: "Modell",

      // Settings from elsewhere.
      fields: {
        prompt: "Prompt",
        negative: "negativer Prompt",
        promptSyntax: "Gewichte in Klammern",
        clipSkip: "ausgelassene Textschichten",
        prompt2: "zweiter Prompt",
        negative2: "zweiter negativer Prompt",
        prompt3: "dritter Prompt",
        negative3: "dritter negativer Prompt",
        seed: "Startwert",
        steps: "Schritte",
        guidance: "Prompttreue",
        cacheInterval: "Cache-Intervall",
        scheduler: "Verfahren",
        size: "Größe",
        images: "Bilder",
        image: "Bild",
        strength: "Stärke",
        fit: "Einpassen",
        maskBlur: "weicher Rand",
        maskedContent: "Beginn des angemalten Teils",
        onlyMasked: "Pixel um das Angemalte",
        keepUnmasked: "Erhalten des Rests",
        secondPass: "zweiter Durchgang",
        secondStrength: "Stärke des zweiten Durchgangs",
        secondSteps: "Schritte des zweiten Durchgangs",
        upscale: "was vergrößert wird",
        variationSeed: "Abwandlung",
        variationStrength: "Stärke der Abwandlung",
        loras: "LoRAs",
      },
      fromPicture:
        "Es wurde aus einem Bild gezeichnet, das seine Einstellungen nicht enthalten: Wähle jenes Bild, um dasselbe zu zeichnen.",
      fromWords:
        "Es wurde nur nach Worten gezeichnet, und es gibt ein Ausgangsbild: Entferne es, um dasselbe zu zeichnen.",
      importFile: "Einstellungen aus einem Bild laden",
      importHow:
        "Ein PNG, das hier oder mit einem anderen Programm entstand, bringt seine Einstellungen mit. Wähle eine Datei, zieh eine auf die Seite oder füge ein Bild, einen Link oder Einstellungen als Text ein.",
      dropHere: "Bild hier loslassen, um seine Einstellungen zu übernehmen",
      dropToStart: "Bild hier loslassen, um damit zu beginnen",
      settingsFrom: (name) => `Einstellungen aus ${isolate(name)}`,
      thisLink: "dem Link",
      pastedText: "dem eingefügten Text",
      pastedPicture: "dem eingefügten Bild",
      lastVisit: "deinem letzten Besuch",
      drawnWith: (name, program) => `${isolate(name)}, gezeichnet mit ${isolate(program)}`,
      taken: (name, what) => `Einstellungen aus ${isolate(name)} übernommen: ${list(what)}.`,
      nothingTaken: (name) => `Keine Einstellungen aus ${isolate(name)} übernommen.`,
      takenLine: (what) => `Übernommen: ${list(what)}.`,
      changed: (what) => `Geändert: ${what}.`,
      notTaken: (what) => `Nicht übernommen: ${what}.`,
      more: (count) => `und ${number(count)} weitere`,
      change: (name, from, to) => `${name} ${isolate(to)} statt ${isolate(from)}`,
      because: (what, reason) => `${what} (${reason})`,
      noLarger: "eine solche Größe derselben Form hat dieses Modell nicht",
      notCompiled: "keine der Größen dieses Modells",
      range: (least, most) => `möglich sind ${number(least)} bis ${number(most)}`,
      tooLong: (most) => `nach ${number(most)} Zeichen abgeschnitten`,
      empty: "leer",
      notUsed: "dieses Modell verwendet ihn nicht",
      tooMany: (most) => `höchstens ${number(most)} werden auf einmal gezeichnet`,
      otherLevels: "seine Rauschstufen gibt es hier nicht",
      stays: (reason, present) => `${reason}, es bleibt bei ${isolate(present)}`,
      unknown: "unbekannt",
      skipsNone: "andere Programme lassen bei solchen Modellen keine aus",
      neverLast: "bei solchen Modellen wird die letzte Schicht nie gelesen",
      skipsPrompt:
        "Das Programm lässt Textschichten auch beim negativen Prompt aus. Hier werden sie nur beim Prompt ausgelassen.",
      notOffered: "von diesem Modell nicht angeboten",
      sampler: "Sampler",
      schedule: "Rauschstufen",
      numberOf: (picture, of) => `Nummer ${number(picture)} von ${number(of)}`,
      lora: (name) => `LoRA ${isolate(name)}`,
      inversion: (name) => `Embedding ${isolate(name)}`,
      isOff: "in der Liste ausgeschaltet",
      noLora: "nicht in der Liste: füge die Datei hinzu",
      otherLora: "eine andere Datei dieses Namens",
      lorasOff: (names) =>
        `LoRAs, ohne die es gezeichnet wurde, sind ausgeschaltet: ${list(names.map(isolate))}`,
      otherModel: (theirs, ours) =>
        `Gezeichnet wurde mit dem Modell ${isolate(theirs)}; dieses hier ist ${isolate(ours)}.`,
      weights: "Gewichte und Dateinamen im Prompt werden als Wörter gelesen.",
      hide: "Ausblenden",
      noModel: (name) =>
        `Die Einstellungen aus ${isolate(name)} können übernommen werden, sobald ein Modell gewählt ist.`,

      // Why a file brings no settings, and the same for a picture that was pasted, which has no name.
      problems: {
        tooLarge: (name) => `${isolate(name)} ist zu groß für ein Bild.`,
        unreadable: (name) => `${isolate(name)} ist nicht lesbar.`,
        noPng: (name) =>
          `${isolate(name)} ist kein PNG. Einstellungen werden nur aus PNG-Dateien gelesen.`,
        noSettings: (name) => `In ${isolate(name)} stehen keine Einstellungen.`,
      },
      pastedProblems: {
        tooLarge: "Das eingefügte Bild ist zu groß.",
        unreadable: "Das eingefügte Bild ist nicht lesbar.",
        noPng:
          "Das eingefügte Bild ist kein PNG. Einstellungen werden nur aus PNG-Dateien gelesen.",
        noSettings:
          "Im eingefügten Bild stehen keine Einstellungen: Beim Kopieren gehen sie verloren. Öffne die gespeicherte Datei oder füge den Link ein.",
      },
      noSettingsInText: "Im eingefügten Text stehen keine Einstellungen.",
      onlyFirst: (name, count) =>
        `Nur die erste von ${number(count)} Dateien wird gelesen: ${isolate(name)}.`,
      onlyFirstPasted: (count) =>
        `Nur das erste von ${number(count)} eingefügten Bildern wird gelesen.`,
    },
  };
}
