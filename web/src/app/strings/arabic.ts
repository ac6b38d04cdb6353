/** The page's sentences in Arabic, which is written from right to left. */

import type { Strings } from "./english";
import type { Writer } from "./writer";

/** The plural forms of "picture": one and two have forms of their own, and need no number. */
const PICTURES = {
  zero: "لا صور",
  one: "صورة واحدة",
  two: "صورتان",
  few: "# صور",
  many: "# صورة",
  other: "# صورة",
};

export function arabic({
  number,
  percent,
  bytes,
  time,
  seconds,
  plural,
  list,
  isolate,
}: Writer): Strings {
  const pictures = (count: number): string => plural(count, PICTURES);
  return {
    // The head and the foot of the page.
    tagline: "صور من الكلمات ترسمها بطاقة الرسوميات في جهازك.",
    language: "اللغة",
    model: "النموذج",
    privacy: "لا شيء مما تكتبه أو ترسمه يغادر هذا المتصفح.",
    wrongPictures: "هل تبدو الصورة خاطئة؟ شغّل الفحص الذاتي.",
    licences: "التراخيص",

    // The prompt.
    prompt: "الوصف",
    promptPlaceholder: "صِف الصورة التي تريد رؤيتها",
    draw: "ارسم",
    stop: "أوقف",
    examples: "أو جرّب أحد هذه الأمثلة",
    drawFirst: "نزّل النموذج أولًا: الزر في مكان الصورة.",

    // Weights, second prompts, and how long the prompts are.
    prompts: {
      weights: "أوزان بين الأقواس",
      weightsHint:
        "تُقرأ (word:1.3) و(word) و[word] وBREAK كما تقرؤها واجهة AUTOMATIC1111، ويُقرأ من الوصف الطويل أكثر من 75 رمزًا.",
      clipSkip: "طبقات النص المتروكة",
      clipSkipHint:
        "عدد الطبقات الأخيرة المتروكة من مُرمِّز النص: قيمة Clip skip في AUTOMATIC1111 ناقص 1.",
      second: "الوصف الثاني",
      secondHint: "ما يقرؤه مرمّز النص الثاني في النموذج؛ وإن كان فارغًا قُرئ الوصف نفسه.",
      secondNegative: "الوصف السلبي الثاني",
      tokens: (count, limit) => `الرموز: ${number(count)} من ${number(limit)}`,
      cut: (count, limit, words) =>
        `الرموز: ${number(count)} من ${number(limit)}. لا يقرأ النموذج: ${isolate(words)}`,
      clip: (read, count) => `يقرأ CLIP من الرموز ${number(read)} من ${number(count)}`,
      wider: (limit) => `خيار «أوزان بين الأقواس» في الإعدادات يقرأ حتى ${number(limit)}`,
    },

    // The settings.
    settings: "الإعدادات",
    negative: "الوصف السلبي",
    negativeHint: "ما يجب ألّا يظهر في الصورة.",
    negativeUnused: "هذا النموذج لا يستخدمه.",
    steps: "الخطوات",
    stepsHint: "خطوات أكثر تعطي صورة أدق وتستغرق وقتًا أطول.",
    guidance: "التوجيه",
    guidanceHint: "مدى التزام الصورة بالوصف.",
    seed: "البذرة",
    seedHint: "البذرة نفسها مع الإعدادات نفسها ترسم الصورة نفسها.",
    seedTitle: "عدد صحيح كما تقبله torch.manual_seed",
    random: "جديدة لكل صورة",
    size: "المقاس",
    sizeHint: "العرض والارتفاع بالبكسل.",
    scheduler: "المجدول",
    schedulerHint: "الطريقة التي تحوّل الضجيج إلى صورة.",
    images: "عدد الصور",
    imagesHint: "عدد الصور التي تُرسم بضغطة واحدة.",
    onlyImage: (image, images) => `تُرسم الصورة ${number(image)} من ${number(images)} فقط.`,
    allImages: "كلها",
    settingsLine: (steps, guidance, seed, images) =>
      [
        plural(steps, {
          one: "خطوة واحدة",
          two: "خطوتان",
          few: "# خطوات",
          many: "# خطوة",
          other: "# خطوة",
        }),
        `التوجيه ${number(guidance)}`,
        seed === undefined ? "بذرة جديدة كل مرة" : `البذرة ${isolate(seed)}`,
        ...(images === 1 ? [] : [pictures(images)]),
      ].join(" · "),

    // The picture that drawing begins with.
    given: {
      choose: "ابدأ من صورة",
      chooseHow: "يمكنك أيضًا إفلات صورة هنا أو لصقها.",
      noEncoder: "هذا النموذج يرسم من الكلمات وحدها، ولا يمكنه البدء من صورة.",
      needsPicture: "هذا النموذج يغيّر جزءًا من صورة: اختر صورة أولًا.",
      needsMask: "هذا النموذج يغيّر جزءًا من صورة: لوّن ذلك الجزء أولًا.",
      notThisLarge: (size) =>
        `لا تستطيع بطاقة الرسوميات هذه أن تبدأ بصورة حجمها ${isolate(size)}: اختر حجمًا آخر أو أزل الصورة.`,
      title: "صورة البداية",
      alt: (name) => `صورة البداية: ${isolate(name)}`,
      pasted: "الصورة الملصقة",
      taken: (name) => `صورة البداية الآن: ${isolate(name)}.`,
      offer: (name) => `أُخذت الإعدادات، ويمكنك أيضًا البدء من الصورة نفسها: ${isolate(name)}.`,
      use: "ابدأ منها",
      notNow: "ليس الآن",
      remove: "أزل الصورة",
      removed: (name) => `لم تعد صورة البداية: ${isolate(name)}.`,
      setAside: (name) =>
        `لم تعد صورة البداية، لأن هذه الصورة رُسمت من الكلمات وحدها: ${isolate(name)}.`,
      bringBack: "تراجع",
      unreadable: (name) => `لا يمكن استخدام هذا الملف كصورة: ${isolate(name)}.`,
      unreadableHow:
        "اختر صورة يستطيع هذا المتصفح عرضها: PNG أو JPEG أو WebP بألوان RGB (لا CMYK)، غير متحركة، لا يزيد ضلعها عن 16384 بكسل ومجموعها عن 134 مليون.",
      notKept: "هذا المتصفح لا يحفظ صورة البداية: اخترها مرة أخرى بعد إعادة التحميل.",

      strength: "القوة",
      strengthHint: "مقدار ما يُرسم من جديد: القليل يُبقي الصورة، و100% لا تكاد تُبقي منها شيئًا.",
      strengthMasked: "مقدار ما يُرسم من جديد في الجزء الملوّن.",
      edit: "غيّر جزءًا",
      editAgain: "غيّر التلوين",
      unmask: "أزل التلوين",
      masked: (share) => `يُرسم ${percent(share)} من الصورة من جديد.`,

      more: "خيارات الصورة",
      fit: "الملاءمة",
      fitHint: "ما يحدث حين يختلف شكل الصورة عن شكل ما يُرسم.",
      fits: {
        cover: "املأ المساحة واقطع الباقي",
        contain: "أظهرها كلها واملأ الحافة",
        crop: "اقطع الوسط",
        stretch: "مدّدها",
      },
      usedWhole: (given, size) =>
        given === size
          ? `${isolate(size)} بكسل، تُستخدم كما هي.`
          : `${isolate(given)} بكسل، بمقياس جديد: ${isolate(size)}.`,
      usedPart: (given, part, size) =>
        `من ${isolate(given)} بكسل يُستخدم الوسط ${isolate(part)} بمقاس ${isolate(size)}، ويُقطع الباقي.`,
      usedBordered: (given, placed, size) =>
        `${isolate(given)} بكسل، بمقياس ${isolate(placed)} وحولها حافة: ${isolate(size)}.`,
      usedStretched: (given, size) => `${isolate(given)} بكسل، مُدّدت إلى ${isolate(size)}.`,
      usedMasked: (given, size) =>
        `${isolate(given)} بكسل. يُرسم ما حول الجزء الملوّن بمقاس ${isolate(size)} ثم يُعاد إلى مكانه.`,
      enlarge: "وسّع الصورة",
      enlargeHint: "عدد البكسلات التي تُضاف في كل جهة وتُرسم من جديد.",
      left: "يسار",
      right: "يمين",
      top: "أعلى",
      bottom: "أسفل",
      blur: "حافة ناعمة",
      blurHint: "عدد البكسلات التي يندمج عبرها الجزء الملوّن في الباقي.",
      content: "يبدأ الجزء الملوّن من",
      contentHint: `الضجيج والألوان ينسيان ما كان هناك؛ ومع الصورة تُحدّد القوةُ المقدار. وعند قوة ${percent(1)} يبدأ ضجيجًا أيًّا كان المختار هنا.`,
      contents: {
        original: "الصورة",
        noise: "الضجيج",
        fill: "الألوان المحيطة",
      },
      only: "ارسم حول الجزء الملوّن فقط",
      onlyHint: "يحصل على المقاس الكامل للنموذج، فتكون تفاصيله أدق.",
      padding: "البكسلات حوله",
      keep: "أبقِ الباقي كما هو تمامًا",
      keepHint: "ما لم يُلوّن يبقى كما كان بكل بكسل؛ والحافة الناعمة تمتد قليلًا خارج ما لُوّن.",

      before: "قبل",
      after: "بعد",
      beforeShare: "مقدار ما يظهر من الصورة السابقة",
    },

    // The dialog in which a mask is painted.
    mask: {
      title: "لوّن ما تريد رسمه من جديد",
      done: "تم",
      canvas: "الصورة؛ الجزء الملوّن مخطّط",
      tools: "أدوات التلوين",
      brush: "فرشاة",
      eraser: "ممحاة",
      size: "عرض الفرشاة",
      undo: "تراجع",
      redo: "أعد",
      clear: "امسح",
      invert: "اعكس",
      whole: "الصورة كلها",
      zoomIn: "كبّر",
      zoomOut: "صغّر",
      brushDown: "الفرشاة على الصورة ومفاتيح الأسهم تلوّن. مفتاح المسافة يرفعها.",
      brushSize: (share) => `عرض الفرشاة ${percent(share)} من عرض الصورة.`,
      nothing: "لم يُلوّن شيء بعد.",
      share: (share) => `يُرسم ${percent(share)} من الصورة من جديد.`,
      keys: "المفاتيح: الأسهم تحرّك الفرشاة، والمسافة تضعها وترفعها، وB وE للفرشاة والممحاة، و[ و] لعرضها، و+ − 0 للتكبير، وCtrl Z للتراجع. إصبعان يحرّكان الصورة ويكبّرانها.",
    },

    // The second pass.
    second: {
      title: "مرحلة ثانية",
      hint: "ترسم الصورة ثم تكبّرها ثم ترسم تفاصيلها من جديد.",
      none: "لا يملك هذا النموذج مقاسًا أكبر بالشكل نفسه للصور بهذا المقاس.",
      notGiven: "لا تُستخدم مع صورة بداية.",
      size: "تُكبّر إلى",
      sizeOption: (size, factor) => `${isolate(size)} (×${number(factor)})`,
      strength: "القوة",
      strengthHint: "مقدار ما يُرسم من جديد. الطريقة السريعة تحتاج إلى 50% أو أكثر.",
      stepsLine: (count) =>
        plural(count, {
          one: "لها خطوة واحدة.",
          two: "لها خطوتان.",
          few: "لها # خطوات.",
          other: "لها # خطوة.",
        }),
      upscale: "ما الذي يُكبّر",
      upscales: {
        latent: "القيم الكامنة (سريع)",
        picture: "الصورة (أقرب إليها)",
      },
    },

    // A variation, and what the safety checker says.
    variation: {
      line: (seed, share) => `تنويع: ${percent(share)} من ضجيج البذرة ${isolate(seed)}.`,
      none: "بلا تنويع",
    },
    safety: {
      flagged: (count) =>
        plural(count, {
          one: "يرى فاحص الأمان أن هذه الصورة غير ملائمة، فهي مموّهة ولا تُحفظ. غيّر الوصف أو البذرة ثم ارسم مرة أخرى.",
          two: "يرى فاحص الأمان أن صورتين غير ملائمتين، فهما مموّهتان ولا تُحفظان. غيّر الوصف أو البذرة ثم ارسم مرة أخرى.",
          few: "يرى فاحص الأمان أن # صور غير ملائمة، فهي مموّهة ولا تُحفظ. غيّر الوصف أو البذرة ثم ارسم مرة أخرى.",
          other:
            "يرى فاحص الأمان أن # صورة غير ملائمة، فهي مموّهة ولا تُحفظ. غيّر الوصف أو البذرة ثم ارسم مرة أخرى.",
        }),
      blurred: "صورة موّهها فاحص الأمان",
    },

    // LoRAs.
    loras: {
      title: "ملفات LoRA",
      none: "لم يُحمَّل أي ملف.",
      allOff: "لا ملف مفعّل.",
      hint: `ملفات صغيرة تغيّر ما يرسمه النموذج: أسلوب أو شخص أو شيء. وتضيف ملفات Textual Inversion كلمة جديدة إلى الوصف. اختر ملفات ${isolate(".safetensors")} صُنعت لهذا النموذج، أو أفلتها على الصفحة.`,
      choose: "إضافة ملفات LoRA",
      address: "أو عنوان على هذا الموقع",
      load: "تحميل",
      examples: "صُنعت لهذا النموذج",
      addExample: (name) => `إضافة ${isolate(name)}`,
      drop: "أفلت ملف LoRA لإضافته",
      otherSite: (address) =>
        `العنوان ${isolate(address)} ليس على هذا الموقع، وهذه الصفحة لا تحمّل من موقع آخر. نزّل الملف ثم أفلته هنا.`,
      tooLarge: (name) => `الملف ${isolate(name)} أكبر من أن يكون LoRA.`,
      later: (name) => `يُقرأ ${isolate(name)} حالما يصبح النموذج جاهزًا.`,
      reading: (name) => `تجري قراءة ${isolate(name)} …`,
      added: (name, layers) =>
        `مُفعّل الآن: ${isolate(name)}. يغيّر من النموذج ${plural(layers, { one: "طبقة واحدة", two: "طبقتين", few: "# طبقات", many: "# طبقة", other: "# طبقة" })}.`,
      inversionAdded: (token) => `للكلمة ${isolate(token)} معنى خاص بها الآن: اكتبها في الوصف.`,
      fast: (name, scheduler, steps, guidance) =>
        `صُنع ${isolate(name)} لعدد قليل من الخطوات، فضُبط ما يناسبه. المُجدول: ${isolate(scheduler)}، الخطوات: ${number(steps)}، التوجيه: ${number(guidance)}.`,
      fastMissing: (wanted, scheduler) =>
        `الأنسب هو ${isolate(wanted)}، ولا يوفّره هذا النموذج؛ وأقرب ما فيه إليه ${isolate(scheduler)}.`,
      slow: "عادت الإعدادات السابقة.",
      already: (name) => `موجود في القائمة، وهو مفعّل الآن: ${isolate(name)}.`,
      refused: (name) => `لا يمكن استعمال ${isolate(name)} مع هذا النموذج.`,
      refusedHow: `اختر ملف ${isolate(".safetensors")} صُنع لنماذج من هذه العائلة.`,
      fault: "تعذّر تحميله، فهو غير مفعّل.",
      full: "لم تبقَ في المتصفح مساحة لهذه الصفحة.",
      noStore: "لا يحتفظ المتصفح بشيء لهذه الصفحة.",
      tooMany: (most) =>
        `لا يُحتفظ بأكثر من ${number(most)} من ملفات LoRA، ولا بأكثر من 8 غيغابايت منها.`,
      notKept: (name) => `يبقى ${isolate(name)} حتى تغادر الصفحة: أضِفه من جديد بعد إعادة التحميل.`,
      strength: (name) => `قوة ${isolate(name)}`,
      strengthNumber: (name) => `قوة ${isolate(name)} رقمًا`,
      remove: (name) => `إزالة ${isolate(name)}`,
      removed: (name) => `أُزيل ${isolate(name)}.`,
      facts: (layers, size) => `الطبقات: ${number(layers)}، الحجم: ${bytes(size)}`,
      inversion: (vectors) => `كلمة للوصف، عدد متجهاتها: ${number(vectors)}`,
      unused: (count) => `موتراته لطبقات لا يشغّلها هذا النموذج: ${number(count)}.`,
      words: "كلمات للوصف",
      wordsOf: (name) => `كلمات للوصف مع ${isolate(name)}`,
      addWord: (word) => `إضافة ${isolate(word)} إلى الوصف`,
      wordAdded: (word) => `أُضيفت إلى الوصف: ${isolate(word)}.`,
      missing: (names) =>
        `يذكر الوصف ملفات LoRA ليست في القائمة: ${list(names.map(isolate))}. أضِف ملفاتها، أو أزل وسومها من الوصف.`,
      tagParts: (names) =>
        `لا تطبّق هذه الصفحة أجزاء من وسوم LoRA في الوصف: ${list(names.map(isolate))}. أزل هذه الأجزاء أو الوسوم.`,
    },

    // The model.
    aboutModel: "عن هذا النموذج",
    precision: "الدقة",
    precisionHint: "مدى دقة تخزين الأوزان. كلما قلّت البتات قلّت الذاكرة اللازمة.",
    forget: "احذف هذا النموذج",
    facts: (title, size, kept, memory, least) =>
      `${isolate(title)}. ${bytes(size)}` +
      (kept === 0 ? "" : `، منها ${bytes(kept)} محفوظة في هذا المتصفح`) +
      `. ذاكرة الرسوميات: ${bytes(memory)}، أو ${bytes(least)} عند تحميل المراحل واحدة بعد أخرى.`,
    forgetQuestion: (name) => `هل تريد حذف ${isolate(name)}؟`,
    forgetConsequence: (size) =>
      `ستُحذف ${bytes(size)} من هذا المتصفح، وسيُعاد تنزيلها في الزيارة القادمة.`,
    forgetYes: "احذفه",
    forgetNo: "أبقِه",
    forgotten: "حُذف النموذج: سيُعاد تنزيله في الزيارة القادمة.",
    unknownModel: (wanted, shown) =>
      `لا يوجد هنا نموذج باسم «${isolate(wanted)}»؛ هذا هو ${isolate(shown)}.`,
    inPlaceOf: (taken, refused) => `يُستخدم ${isolate(taken)} بدلًا من ${isolate(refused)}`,

    // The place of the picture, before there is one.
    welcome: "ماذا تريد أن ترى؟",
    welcomeHow: "اكتب وصفًا ثم اضغط «ارسم»، أو اختر مثالًا.",
    offerTitle: (name) => `يمكن تنزيل ${isolate(name)}`,
    offerKeptTitle: (name) => `${isolate(name)} محفوظ في هذا المتصفح`,
    offerSize: (size) => `تنزيل لمرة واحدة: ${bytes(size)}`,
    offerTime: (milliseconds) => `نحو ${time(milliseconds)} بسرعة هذا الاتصال`,
    offerTimeUnknown: "تظهر المدة أثناء التنزيل",
    offerMemory: (memory) => `يحتاج إلى ${bytes(memory)} من ذاكرة الرسوميات`,
    offerKept: "يبقى في هذا المتصفح ثم يعمل دون اتصال",
    offerNoRoom: (room) =>
      `يقول هذا المتصفح إن المتسع لديه ${bytes(room)} فقط، فقد يُعاد تنزيل النموذج في كل زيارة`,
    download: (size) => `نزّل ${bytes(size)}`,
    load: "حمّل النموذج",
    pause: "إيقاف مؤقت",
    preparing: "يجري تجهيز النموذج",
    preparingHow: "يمكنك كتابة الوصف والضغط على «ارسم» الآن، وسيبدأ الرسم حالما يجهز النموذج.",
    unable: "لا يمكن رسم صورة هنا",
    unableHow: "ما ينقص وما يمكنك فعله مكتوب في أعلى الصفحة.",

    // Progress.
    starting: "جارٍ البدء …",
    looking: "يجري فحص النموذج …",
    ready: "جاهز.",
    chooseDownload: "اختر التنزيل للبدء.",
    queued: "صورتك هي التالية، ويبدأ رسمها تلقائيًا.",
    skip: "ارسمها الآن",
    stopped: "تم الإيقاف.",
    paused: "إيقاف مؤقت. ما نُزّل حتى الآن محفوظ.",
    gettingReady: "يجري تجهيز النموذج",
    readingPicture: "تجري قراءة الصورة",
    readingPrompt: "تجري قراءة الوصف",
    pictureOf: (image, images) => `الصورة ${number(image)} من ${number(images)}`,
    step: (step, steps) => `جارٍ الرسم، الخطوة ${number(step)} من ${number(steps)}`,
    decoding: "يجري فك ترميز الصورة",
    checking: "يجري فحص الصورة",
    secondPass: (work) => `المرحلة الثانية: ${work}`,
    testing: (done, all) => `فحص المرحلة ${number(done)} من ${number(all)}`,
    left: (milliseconds) => `بقي نحو ${time(milliseconds)}`,
    libraryDetail: (done, all) => `البرنامج: ${bytes(done)} من ${bytes(all)}`,
    weightsDetail: (done, all) => `الأوزان: ${bytes(done)} من ${bytes(all)}`,
    pipelinesDetail: (done, all) => `برامج وحدة الرسوميات: ${number(done)} من ${number(all)}`,
    done: (milliseconds) => `انتهى الرسم في ${seconds(milliseconds)}.`,
    doneTitle: "انتهى",
    progress: "التقدم",
    notices: "ملاحظات",
    drawingNow: (prompt) => `معاينة: ${isolate(prompt)}`,

    allSettings: {
      title: "الذاكرة وكل الإعدادات",
      tiles: "فك الترميز",
      tilesHint: "على شكل مربعات يحتاج إلى ذاكرة أقل، ولا تكون الصورة هي نفسها تمامًا.",
      whole: "الصورة كاملة إن اتسعت الذاكرة",
      tile: (edge: number) => `في مربعات من ${number(edge)} بكسل`,
      overlap: "تداخل المربعات بالمئة",
      kept: "ما يبقى في ذاكرة الرسوميات",
      keptHint: "ما لا يبقى يُحمَّل من جديد لكل صورة: ذاكرة أقل ووقت أطول.",
      stages: {
        text_encoder: "مرمّزات النص",
        vae_encoder: "مرمّز الصورة المعطاة",
        denoiser: "مزيل الضجيج",
        vae_decoder: "فاك الترميز",
        safety_checker: "فاحص المحتوى",
      },
      layers: { manifest: "من النموذج", page: "من الصفحة", call: "اختير هنا" },
      memory: (planned: number) => `أقصى ذاكرة رسوميات حسب التخطيط: ${bytes(planned)}`,
    },

    // Times and memory.
    figures: "الأوقات والذاكرة",
    figureLoading: "التحميل",
    figureEncoding: "قراءة الصورة",
    figureText: "النص",
    figureDenoising: "إزالة الضجيج",
    figurePreview: "حتى أول معاينة",
    figureNone: "لا توجد",
    figureDecoding: "فك الترميز",
    figureTotal: "الصورة كاملة",
    figureMemory: "ذاكرة الرسوميات الآن",
    figurePeak: "أقصى ذاكرة رسوميات",
    figurePipelines: "برامج وحدة الرسوميات",
    figureVariants: "أنواع النوى",
    figureGpu: "وحدة الرسوميات",

    // The self-test page.
    selfTest: "الفحص الذاتي",
    selfTestHow:
      "يفحص كل ملفات النموذج، ثم يشغّل كل مرحلة منه على مدخلات ثابتة ويقارن النتائج بنتائج PyTorch. هكذا يظهر هل التنزيل تالف أم أن وحدة الرسوميات أو برنامج تشغيلها يحسب خطأً. لا شيء يغادر هذا المتصفح ما لم تلصق التقرير في مكان ما.",
    selfTestRun: "شغّل الفحص الذاتي",
    selfTestStages: "مراحل النموذج",
    selfTestReport: "التقرير",
    selfTestCopy: "انسخ التقرير",
    selfTestCopied: "نُسخ التقرير.",
    selfTestCopyFailed: "لم يسمح المتصفح للصفحة بالنسخ. التقرير محدَّد لتنسخه بنفسك.",
    selfTestBack: "عودة إلى الرسم",
    stageName: "المرحلة",
    stageResult: "النتيجة",
    stageGood: "سليمة",
    stageBad: "خاطئة",
    stageError: "الخطأ",
    stageLimit: "الحد",
    stageRepeats: "تتكرر كما هي",
    stageRepeatable: "نعم",
    stageUnsteady: "لا",
    stageTime: "الوقت",
    stageKernels: "النوى",
    selfTestDone: "انتهى.",
    verdictDamaged: "الخلل في التنزيل: أحد الملفات تالف.",
    verdictMissing: "الخلل في التنزيل: تعذّر جلب أحد الملفات.",
    verdictUnsupported: "ينقص هذا المتصفح أو وحدة الرسوميات ما يحتاج إليه النموذج.",
    verdictUnfinished: "لم يكتمل الفحص الذاتي.",
    verdictGood: "كل شيء سليم: وحدة الرسوميات تحسب كما يحسب PyTorch.",
    verdictGpu: (stages) =>
      `الملفات سليمة لكن وحدة الرسوميات أو برنامج تشغيلها يحسب خطأً: ${isolate(stages)}.`,

    // Errors: what happened, in a sentence, and what to do in this browser.
    errorDetails: "ما يقوله البرنامج",
    errorInsecure: "هذا العنوان غير آمن، لذلك لا يسمح المتصفح للصفحة باستخدام وحدة الرسوميات.",
    errorInsecureHow: "افتح الصفحة من عنوان يبدأ بـ https أو من localhost.",
    errorInsecureLink: (address) => `افتح ${isolate(address)}`,
    errorNoWebGpu: "لا يستطيع هذا المتصفح الرسم هنا: ليس فيه WebGPU.",
    errorNoAdapter: "لم يجد المتصفح بطاقة رسوميات يمكنه استخدامها.",
    errorUnsupported: "لا يستطيع هذا المتصفح أو بطاقة الرسوميات فيه تشغيل النموذج.",
    errorNoRoom: "لم يبق في بطاقة الرسوميات متسع لهذا النموذج.",
    errorNoRoomHow: "أغلق علامات التبويب والبرامج التي تستخدم البطاقة أو اختر نموذجًا أصغر.",
    errorLost: "فقد المتصفح الاتصال ببطاقة الرسوميات أثناء الرسم.",
    errorLostHow:
      "اضغط «ارسم» مرة أخرى: سيُحمَّل النموذج من جديد. إن تكرر ذلك فحدّث برنامج تشغيل البطاقة.",
    errorFetch: "تعذّر جلب ملف من ملفات النموذج أو الصفحة.",
    errorOffline: "هذا الجهاز غير متصل بالشبكة. صِله بها ثم حاول مرة أخرى.",
    errorDamaged: "أحد الملفات تالف ولم يُستخدم.",
    errorVersion: "الصفحة والنموذج المحفوظ في هذا المتصفح من إصدارين مختلفين.",
    errorLora: "لا يمكن استعمال ملف LoRA.",
    errorOption: "لا يمكن رسم صورة بهذه الإعدادات.",
    errorNoSelfTest: "ليس لهذا النموذج فحص ذاتي.",
    errorUnexpected: "حدث خطأ لم تتوقعه الصفحة.",
    tryAgain: "حاول مرة أخرى",
    errorReload: "أعد تحميل الصفحة. إن تكرر ذلك فشغّل الفحص الذاتي.",
    useChrome:
      "حدّث Chrome أو Edge: تحتاج هذه الصفحة إلى الإصدار 127. على لينكس افتح chrome://flags/#enable-unsafe-webgpu واختر Enabled وأعد التشغيل.",
    useFirefox:
      "حدّث Firefox: يحتاج WebGPU إلى الإصدار 141 على ويندوز و145 على ماك. على لينكس وأندرويد استخدم Chrome حاليًا.",
    useSafari:
      "حدّث إلى Safari 26 الذي يأتي مع macOS 26 وiOS 26 وiPadOS 26. على جهاز ماك أقدم استخدم Chrome.",
    useOther: "افتح الصفحة في إصدار حديث من Chrome أو Edge أو Firefox أو Safari.",
    accelerateChrome: "افتح chrome://settings/system وشغّل تسريع الرسوميات ثم أعد تشغيل المتصفح.",
    accelerateFirefox: "في الإعدادات، عام، الأداء، شغّل تسريع العتاد ثم أعد تشغيل المتصفح.",
    accelerateSafari: "أعد تشغيل المتصفح وثبّت تحديثات نظام التشغيل.",
    accelerateOther: "شغّل تسريع العتاد في إعدادات المتصفح ثم أعد تشغيله.",
    updateDriver: "إن لم يفد ذلك فحدّث برنامج تشغيل البطاقة أو استخدم جهازًا آخر.",

    // The gallery, and settings that come from pictures, links and texts.
    gallery: {
      // The gallery.
      title: "الصور المكتملة",
      keptHere:
        "محفوظة في هذا المتصفح على هذا الجهاز ما دام هناك مكان: احفظ في ملفات ما لا تريد فقدانه.",
      savedName: (name) => `حفظ ${isolate(name)}`,
      save: "حفظ",
      enlarge: (prompt) => `تكبير: ${isolate(prompt)}`,
      unnamed: "صورة بلا وصف",
      broken: "ملف هذه الصورة تالف.",
      showOlder: (count) => `عرض صور أقدم: ${number(count)}`,
      downloadAll: "تنزيل الكل",
      packing: (done, all) => `تُحزم الصورة ${number(done)} من ${number(all)} …`,
      packed: (packed, all) =>
        packed === all
          ? `اكتملت الحزمة: ${pictures(all)}.`
          : `حُزمت ${number(packed)} من ${number(all)}، والبقية تالفة.`,
      packingFailed: "تعذّر حزم الصور في ملف واحد. احفظها واحدة تلو الأخرى.",
      deleteAll: "حذف الكل",
      deleteAllQuestion: (count) => `حذف كل الصور؟ العدد: ${number(count)}`,
      // The same words are for one picture and for several.
      deleteAllConsequence: () => "ستُزال من هذا المتصفح ولا يمكن استعادتها.",
      deleteAllYes: () => "احذفها",
      deleteAllNo: () => "أبقِها",
      deletedAll: "حُذفت كل الصور.",
      deleted: (name) => `حُذفت ${isolate(name)}.`,
      deletedForGood: (name) => `حُذفت ${isolate(name)}، وكان ملفها تالفًا.`,
      undo: "تراجع",
      broughtBack: (name) => `عادت ${isolate(name)}.`,
      refusedChange: "لم يتمكن المتصفح من تغيير ما يحفظه. حاول مرة أخرى.",

      // What cannot be kept.
      noStore:
        "لا يحفظ هذا المتصفح شيئًا لهذه الصفحة: تبقى الصور حتى تغادر الصفحة. احفظ ما تريد الاحتفاظ به.",
      full: (count) =>
        `لم يُحفظ: ${pictures(count)}. لم يعد لدى المتصفح مكان لهذه الصفحة. تبقى هنا حتى تغادر الصفحة.`,
      fullHow:
        "احفظ في ملفات ما تريد الاحتفاظ به، أو احذف بعض الصور، أو احذف نموذجًا لم تعد تستخدمه.",
      makeRoom: (count, size) => `حذف الأقدم لإفساح المكان: ${pictures(count)} (${bytes(size)})`,
      madeRoom: "صار هناك مكان: كل الصور محفوظة.",
      refused: (count) =>
        `لم يُحفظ: ${pictures(count)}. حدث خطأ في مخزن المتصفح. تبقى هنا حتى تغادر الصفحة.`,
      unlisted: "تعذّرت قراءة مخزن المتصفح. صور الزيارات السابقة غير معروضة.",
      tryAgain: "حاول مرة أخرى",
      damaged: (count) => `صور محفوظة تالفة لا يمكن عرضها: ${number(count)}.`,

      // One picture.
      position: (index, count) => `الصورة ${number(index)} من ${number(count)}`,
      close: "إغلاق",
      actualSize: "الحجم الأصلي",
      newer: "الأحدث",
      older: "الأقدم",
      compare: "مقارنة",
      comparing: (index, other) => `الصورة ${number(index)} إلى جانب الصورة ${number(other)}`,
      comparisonShare: "مقدار ما يظهر من الصورة الأولى",
      different: "مختلف",
      copy: "نسخ الصورة",
      copied: "نُسخت الصورة. إعداداتها موجودة في الملفات المحفوظة والروابط فقط.",
      copyFailed: "لم يسمح المتصفح للصفحة بنسخ الصورة. احفظها بدلًا من ذلك.",
      share: "مشاركة",
      shareFailed: "تعذّرت مشاركة الصورة. احفظها بدلًا من ذلك.",
      copyLink: "نسخ الرابط",
      linkCopied: "نُسخ الرابط. من يفتحه يحصل على هذه الإعدادات.",
      linkFailed: (link) => `لم يسمح المتصفح للصفحة بالنسخ. الرابط هو: ${isolate(link)}`,
      useSettings: "استخدام إعداداتها",
      startFrom: "ابدأ منها",
      startFromHint: "ارسم صورة أخرى من هذه",
      vary: "تنويع",
      varyHint: "الصورة نفسها تقريبًا: ضجيجها مع تغيير قليل",
      anotherSeed: "بذرة أخرى",
      anotherSeedHint: "الإعدادات نفسها ببذرة أخرى: صورة أخرى",
      delete: "حذف",
      gone: "حُذفت هذه الصورة في علامة تبويب أخرى.",
      model: "النموذج",

      // Settings from elsewhere.
      fields: {
        prompt: "الوصف",
        negative: "الوصف السلبي",
        promptSyntax: "أوزان بين الأقواس",
        clipSkip: "طبقات النص المتروكة",
        prompt2: "الوصف الثاني",
        negative2: "الوصف السلبي الثاني",
        seed: "البذرة",
        steps: "الخطوات",
        guidance: "التوجيه",
        scheduler: "المجدول",
        size: "المقاس",
        images: "عدد الصور",
        image: "الصورة",
        strength: "القوة",
        fit: "الملاءمة",
        maskBlur: "الحافة الناعمة",
        maskedContent: "بداية الجزء الملوّن",
        onlyMasked: "البكسلات حول الجزء الملوّن",
        keepUnmasked: "إبقاء الباقي",
        secondPass: "المرحلة الثانية",
        secondStrength: "قوة المرحلة الثانية",
        secondSteps: "خطوات المرحلة الثانية",
        upscale: "ما الذي يُكبّر",
        variationSeed: "التنويع",
        variationStrength: "قوة التنويع",
        loras: "ملفات LoRA",
      },
      fromPicture:
        "رُسمت هذه الصورة من صورة أخرى لا تحملها إعداداتها: اختر تلك الصورة لرسمها كما هي.",
      fromWords: "رُسمت من الكلمات وحدها، وهناك صورة بداية: أزلها لرسم الصورة نفسها.",
      importFile: "فتح إعدادات صورة",
      importHow:
        "ملف PNG من هنا أو من برنامج آخر يعيد إعداداته. اختر ملفًا، أو أفلته على الصفحة، أو الصق صورة أو رابطًا أو إعدادات نصية.",
      dropHere: "أفلت الصورة لاستخدام إعداداتها",
      dropToStart: "أفلت الصورة للبدء منها",
      settingsFrom: (name) => `إعدادات من ${isolate(name)}`,
      thisLink: "الرابط",
      pastedText: "النص الملصق",
      pastedPicture: "الصورة الملصقة",
      lastVisit: "زيارتك السابقة",
      drawnWith: (name, program) => `${isolate(name)} (ببرنامج ${isolate(program)})`,
      taken: (name, what) => `أُخذت إعدادات من ${isolate(name)}: ${list(what)}.`,
      nothingTaken: (name) => `لم تؤخذ إعدادات من ${isolate(name)}.`,
      takenLine: (what) => `أُخذ: ${list(what)}.`,
      changed: (what) => `تغيّر: ${what}.`,
      notTaken: (what) => `لم يؤخذ: ${what}.`,
      more: (count) => `و${number(count)} غيرها`,
      change: (name, from, to) => `${name} من ${isolate(from)} إلى ${isolate(to)}`,
      because: (what, reason) => `${what} (${reason})`,
      noLarger: "لا يملك هذا النموذج مقاسًا أكبر كهذا بالشكل نفسه",
      notCompiled: "ليس من مقاسات هذا النموذج",
      range: (least, most) => `الممكن من ${number(least)} إلى ${number(most)}`,
      tooLong: (most) => `قُصّ بعد عدد من الأحرف: ${number(most)}`,
      empty: "فارغ",
      notUsed: "هذا النموذج لا يستخدمه",
      tooMany: (most) => `أقصى ما يُرسم معًا: ${number(most)}`,
      otherLevels: "مستويات ضجيجه غير متاحة",
      stays: (reason, present) => `${reason}، يبقى ${isolate(present)}`,
      unknown: "غير معروف",
      skipsNone: "لا تترك البرامج الأخرى أي طبقة في هذا النوع من النماذج",
      neverLast: "لا تُقرأ الطبقة الأخيرة أبدًا في هذا النوع من النماذج",
      skipsPrompt: "يترك ذلك البرنامج طبقات النص للوصف السلبي أيضًا. هنا تُترك للوصف وحده.",
      notOffered: "لا يتيحه هذا النموذج",
      sampler: "المُعايِن (sampler)",
      schedule: "مستويات الضجيج",
      numberOf: (picture, of) => `رقم ${number(picture)} من ${number(of)}`,
      lora: (name) => `LoRA ${isolate(name)}`,
      inversion: (name) => `التضمين ${isolate(name)}`,
      isOff: "موقوف في القائمة",
      noLora: "ليس في القائمة: أضِف ملفه",
      otherLora: "ملف آخر بهذا الاسم",
      lorasOff: (names) => `أُوقفت ملفات LoRA لم تُستعمل في رسمها: ${list(names.map(isolate))}`,
      otherModel: (theirs, ours) =>
        `كان نموذجها ${isolate(theirs)}، والنموذج هنا ${isolate(ours)}.`,
      weights: "تُقرأ الأوزان وأسماء الملفات في الوصف على أنها كلمات.",
      hide: "إخفاء",
      noModel: (name) => `يمكن أخذ إعدادات ${isolate(name)} عندما يُختار نموذج.`,

      // Why a file brings no settings, and the same for a picture that was pasted, which has no name.
      problems: {
        tooLarge: (name) => `${isolate(name)} أكبر من أن يكون صورة.`,
        unreadable: (name) => `تعذّرت قراءة ${isolate(name)}.`,
        noPng: (name) => `${isolate(name)} ليس ملف PNG؛ لا تُقرأ الإعدادات إلا من ملفات PNG.`,
        noSettings: (name) => `لا إعدادات في ${isolate(name)}.`,
      },
      pastedProblems: {
        tooLarge: "الصورة الملصقة أكبر من اللازم.",
        unreadable: "تعذّرت قراءة الصورة الملصقة.",
        noPng: "الصورة الملصقة ليست ملف PNG؛ لا تُقرأ الإعدادات إلا من ملفات PNG.",
        noSettings:
          "لا إعدادات في الصورة الملصقة لأن النسخ يُسقطها. افتح الملف المحفوظ أو الصق رابطه.",
      },
      noSettingsInText: "لا إعدادات في النص الملصق.",
      onlyFirst: (name, count) => `يُقرأ ملف واحد فقط من ${number(count)}: ${isolate(name)}.`,
      onlyFirstPasted: (count) => `تُقرأ صورة ملصقة واحدة فقط من ${number(count)}.`,
    },
  };
}
