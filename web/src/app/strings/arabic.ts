/** The page's sentences in Arabic, which is written from right to left. */

import type { Strings } from "./english";
import type { Writer } from "./writer";

export function arabic({ number, bytes, time, seconds, plural }: Writer): Strings {
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
    examples: "أو جرّب واحدًا من هذه",
    drawFirst: "نزّل النموذج أولًا: الزر في مكان الصورة.",

    // The settings.
    settings: "الإعدادات",
    negative: "الوصف السلبي",
    negativeHint: "ما لا يجب أن تُظهره الصورة.",
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
    imagesHint: "كم صورة تُرسم بضغطة واحدة.",
    onlyImage: (image, images) => `تُرسم الصورة رقم ${number(image)} من ${number(images)} فقط.`,
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
        seed === undefined ? "بذرة جديدة كل مرة" : `البذرة ${seed}`,
        ...(images === 1
          ? []
          : [plural(images, { two: "صورتان", few: "# صور", many: "# صورة", other: "# صورة" })]),
      ].join(" · "),

    // The model.
    aboutModel: "عن هذا النموذج",
    precision: "الدقة",
    precisionHint: "مدى دقة تخزين الأوزان. بتات أقل تحتاج ذاكرة أقل.",
    forget: "احذف هذا النموذج",
    facts: (title, size, kept, memory, least) =>
      `${title}. ${bytes(size)}` +
      (kept === 0 ? "" : `، منها ${bytes(kept)} محفوظة في هذا المتصفح`) +
      `. ذاكرة الرسوميات: ${bytes(memory)}، أو ${bytes(least)} مرحلةً بعد مرحلة.`,
    forgetQuestion: (name) => `هل تريد حذف ${name}؟`,
    forgetConsequence: (size) =>
      `ستُحذف ${bytes(size)} من هذا المتصفح، وستنزّلها الزيارة القادمة من جديد.`,
    forgetYes: "احذفه",
    forgetNo: "أبقِه",
    forgotten: "حُذف النموذج: ستنزّله الزيارة القادمة من جديد.",
    unknownModel: (wanted, shown) => `لا يوجد هنا نموذج باسم «${wanted}»؛ هذا هو ${shown}.`,
    inPlaceOf: (taken, refused) => `${taken} بدلًا من ${refused}`,

    // The place of the picture, before there is one.
    welcome: "ماذا تريد أن ترى؟",
    welcomeHow: "اكتب وصفًا أو اختر مثالًا ثم اضغط «ارسم».",
    offerTitle: (name) => `يمكن تنزيل ${name}`,
    offerKeptTitle: (name) => `${name} محفوظ في هذا المتصفح`,
    offerSize: (size) => `تنزيل لمرة واحدة: ${bytes(size)}`,
    offerTime: (milliseconds) => `نحو ${time(milliseconds)} بسرعة هذا الاتصال`,
    offerTimeUnknown: "تظهر المدة عندما يبدأ التنزيل",
    offerMemory: (memory) => `يحتاج إلى ${bytes(memory)} من ذاكرة الرسوميات`,
    offerKept: "يبقى في هذا المتصفح ثم يعمل بلا شبكة",
    offerNoRoom: (room) => `في هذا المتصفح متسع لـ ${bytes(room)} فقط، فستنزّله كل زيارة من جديد`,
    download: (size) => `نزّل ${bytes(size)}`,
    load: "حمّل النموذج",
    pause: "إيقاف مؤقت",
    preparing: "يجري تجهيز النموذج",
    preparingHow: "يمكنك كتابة الوصف والضغط على «ارسم» الآن، وسيبدأ الرسم حالما يجهز النموذج.",
    unable: "لا يمكن رسم صورة هنا",
    unableHow: "ما ينقص وما يمكنك فعله مكتوب في أعلى الصفحة.",

    // Progress.
    starting: "يبدأ …",
    looking: "يجري فحص النموذج …",
    ready: "جاهز.",
    chooseDownload: "اختر التنزيل للبدء.",
    queued: "صورتك هي التالية: تبدأ حالما يمكن ذلك.",
    stopped: "توقّف.",
    paused: "إيقاف مؤقت. ما وصل محفوظ.",
    gettingReady: "يجري تجهيز النموذج",
    readingPrompt: "تجري قراءة الوصف",
    pictureOf: (image, images) => `الصورة ${number(image)} من ${number(images)}`,
    step: (step, steps) => `يرسم، الخطوة ${number(step)} من ${number(steps)}`,
    decoding: "يجري فك ترميز الصورة",
    testing: (done, all) => `فحص المرحلة ${number(done)} من ${number(all)}`,
    left: (milliseconds) => `بقي نحو ${time(milliseconds)}`,
    libraryDetail: (done, all) => `البرنامج: ${bytes(done)} من ${bytes(all)}`,
    weightsDetail: (done, all) => `الأوزان: ${bytes(done)} من ${bytes(all)}`,
    pipelinesDetail: (done, all) => `برامج وحدة الرسوميات: ${number(done)} من ${number(all)}`,
    done: (milliseconds) => `انتهى في ${seconds(milliseconds)}.`,
    doneTitle: "انتهى",
    progress: "التقدم",
    notices: "ملاحظات",
    drawingNow: (prompt) => `معاينة: ${prompt}`,

    // Times and memory.
    figures: "الأوقات والذاكرة",
    figureLoading: "التحميل",
    figureText: "النص",
    figureDenoising: "إزالة الضجيج",
    figurePreview: "حتى أول معاينة",
    figureNone: "لا شيء",
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
      "يفحص كل ملفات النموذج، ثم يشغّل كل مرحلة منه على مدخلات ثابتة ويقارن النتائج بنتائج PyTorch. هكذا يميّز بين تنزيل تالف ووحدة رسوميات تحسب خطأً. لا شيء يغادر هذا المتصفح ما لم تلصق التقرير في مكان ما.",
    selfTestRun: "شغّل الفحص الذاتي",
    selfTestStages: "مراحل النموذج",
    selfTestReport: "التقرير",
    selfTestCopy: "انسخ التقرير",
    selfTestBack: "عودة إلى الرسم",
    selfTestDone: "انتهى.",
    verdictDamaged: "الخلل في التنزيل: أحد الملفات تالف.",
    verdictMissing: "الخلل في التنزيل: تعذّر الحصول على ملف.",
    verdictUnsupported: "ينقص هذا المتصفح أو وحدة الرسوميات ما يحتاجه النموذج.",
    verdictUnfinished: "لم يكتمل الفحص الذاتي.",
    verdictGood: "كل شيء سليم: وحدة الرسوميات تحسب كما يحسب PyTorch.",
    verdictGpu: (stages) =>
      `الملفات سليمة لكن وحدة الرسوميات أو برنامج تشغيلها يحسب خطأً: ${stages}.`,

    // Errors: what happened, in a sentence, and what to do in this browser.
    errorDetails: "ما يقوله البرنامج",
    errorInsecure: "هذا العنوان غير آمن، لذلك لا يسمح المتصفح للصفحة باستخدام وحدة الرسوميات.",
    errorInsecureHow: "افتح الصفحة من عنوان يبدأ بـ https أو من localhost.",
    errorInsecureLink: (address) => `افتح ${address}`,
    errorNoWebGpu: "لا يستطيع هذا المتصفح الرسم هنا: ليس فيه WebGPU.",
    errorNoAdapter: "لم يجد المتصفح بطاقة رسوميات يمكنه استخدامها.",
    errorUnsupported: "لا يستطيع هذا المتصفح أو بطاقة الرسوميات فيه تشغيل النموذج.",
    errorNoRoom: "لم يبق في بطاقة الرسوميات متسع لهذا النموذج.",
    errorNoRoomHow: "أغلق علامات التبويب والبرامج التي تستخدم البطاقة أو اختر نموذجًا أصغر.",
    errorLost: "فقد المتصفح بطاقة الرسوميات أثناء الرسم.",
    errorLostHow:
      "اضغط «ارسم» مرة أخرى: سيُحمَّل النموذج من جديد. إن تكرر ذلك فحدّث برنامج تشغيل البطاقة.",
    errorFetch: "تعذّر جلب ملف من ملفات النموذج أو الصفحة.",
    errorOffline: "هذا الجهاز غير متصل. اتصل بالشبكة ثم حاول مرة أخرى.",
    errorDamaged: "أحد الملفات تالف ولم يُستخدم.",
    errorOption: "لا يمكن الرسم بهذه الإعدادات.",
    errorUnexpected: "حدث خطأ لم تتوقعه الصفحة.",
    errorReload: "أعد تحميل الصفحة. إن تكرر ذلك فشغّل الفحص الذاتي.",
    useChrome:
      "حدّث Chrome أو Edge: يحتاج WebGPU إلى الإصدار 113، أو 121 على أندرويد. على لينكس افتح chrome://flags/#enable-unsafe-webgpu واختر Enabled وأعد التشغيل.",
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
  };
}
