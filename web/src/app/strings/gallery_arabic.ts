/** Sentences of the gallery, and of settings from elsewhere, in Arabic. */

import type { GalleryStrings } from "./gallery_english";
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

export function galleryArabic({ number, plural, list, bytes }: Writer): GalleryStrings {
  const pictures = (count: number): string => plural(count, PICTURES);
  return {
    // The gallery.
    title: "الصور المكتملة",
    keptHere:
      "محفوظة في هذا المتصفح على هذا الجهاز ما دام هناك مكان: احفظ في ملفات ما لا تريد فقدانه.",
    savedName: (name) => `حفظ ${name}`,
    save: "حفظ",
    enlarge: (prompt) => `تكبير: ${prompt}`,
    unnamed: "صورة بلا وصف",
    broken: "ملف هذه الصورة تالف.",
    showOlder: (count) => `عرض صور أقدم: ${number(count)}`,
    downloadAll: "تنزيل الكل",
    packing: (done, all) => `تُجمع الصورة ${number(done)} من ${number(all)} …`,
    packed: (packed, all) =>
      packed === all
        ? `اكتمل الجمع: ${pictures(all)}.`
        : `جُمعت ${number(packed)} من ${number(all)}، والبقية تالفة.`,
    packingFailed: "تعذّر جمع الصور في ملف واحد. احفظها واحدة تلو الأخرى.",
    deleteAll: "حذف الكل",
    deleteAllQuestion: (count) => `حذف كل الصور؟ العدد: ${number(count)}`,
    deleteAllConsequence: "ستُزال من هذا المتصفح ولا يمكن استعادتها.",
    deleteAllYes: "احذفها",
    deleteAllNo: "أبقِها",
    deletedAll: "حُذفت كل الصور.",
    deleted: (name) => `حُذفت ${name}.`,
    deletedForGood: (name) => `حُذفت ${name}، وكان ملفها تالفًا.`,
    undo: "تراجع",
    broughtBack: (name) => `عادت ${name}.`,
    refusedChange: "لم يغيّر المتصفح مخزنه. حاول مرة أخرى.",

    // What cannot be kept.
    noStore:
      "لا يحفظ هذا المتصفح شيئًا لهذه الصفحة: تبقى الصور حتى تغادرها. احفظ ما تريد الاحتفاظ به.",
    full: (count) =>
      `لم يُحفظ: ${pictures(count)}. لا مكان لدى المتصفح لهذه الصفحة بعد الآن. يبقى ذلك حتى تغادر الصفحة.`,
    fullHow: "احفظها في ملفات، أو احذف بعض الصور، أو انسَ نموذجًا لم تعد تستخدمه.",
    makeRoom: (count, size) => `حذف الأقدم لإفساح المكان: ${pictures(count)} (${bytes(size)})`,
    madeRoom: "صار هناك مكان: كل الصور محفوظة.",
    refused: (count) =>
      `لم يُحفظ: ${pictures(count)}. تعطّل مخزن المتصفح. يبقى ذلك حتى تغادر الصفحة.`,
    unlisted: "تعذّرت قراءة مخزن المتصفح. صور الزيارات السابقة غير معروضة.",
    tryAgain: "حاول مرة أخرى",
    damaged: (count) => `صور محفوظة تالفة لا يمكن عرضها: ${number(count)}.`,

    // One picture.
    position: (index, count) => `الصورة ${number(index)} من ${number(count)}`,
    close: "إغلاق",
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
    linkFailed: (link) => `لم يسمح المتصفح للصفحة بالنسخ. الرابط هو: ${link}`,
    useSettings: "استخدام إعداداتها",
    vary: "تنويع",
    varyHint: "الإعدادات نفسها ببذرة أخرى",
    delete: "حذف",
    gone: "حُذفت هذه الصورة في لسان آخر.",
    model: "النموذج",

    // Settings from elsewhere.
    fields: {
      prompt: "الوصف",
      negative: "الوصف السلبي",
      seed: "البذرة",
      steps: "الخطوات",
      guidance: "التوجيه",
      scheduler: "المجدول",
      size: "المقاس",
      images: "عدد الصور",
      image: "الصورة",
    },
    importFile: "فتح إعدادات صورة",
    importHow:
      "ملف PNG من هنا أو من برنامج آخر يعيد إعداداته. اختر ملفًا، أو أفلته على الصفحة، أو الصق صورة أو رابطًا أو إعدادات نصية.",
    dropHere: "أفلت الصورة لأخذ إعداداتها",
    settingsFrom: (name) => `إعدادات من ${name}`,
    thisLink: "الرابط",
    pastedText: "النص الملصق",
    pastedPicture: "الصورة الملصقة",
    lastVisit: "زيارتك السابقة",
    drawnWith: (name, program) => `${name} (رُسمت ببرنامج ${program})`,
    taken: (name, what) => `أُخذت إعدادات من ${name}: ${list(what)}.`,
    nothingTaken: (name) => `لم تؤخذ إعدادات من ${name}.`,
    takenLine: (what) => `أُخذ: ${list(what)}.`,
    changed: (what) => `تغيّر: ${what}.`,
    notTaken: (what) => `لم يؤخذ: ${what}.`,
    more: (count) => `و${number(count)} غيرها`,
    change: (name, from, to) => `${name} من ${from} إلى ${to}`,
    because: (what, reason) => `${what} (${reason})`,
    notCompiled: "ليس من مقاسات هذا النموذج",
    range: (least, most) => `الممكن من ${number(least)} إلى ${number(most)}`,
    tooLong: (most) => `قُصّ بعد عدد من الأحرف: ${number(most)}`,
    empty: "فارغ",
    notUsed: "هذا النموذج لا يستخدمه",
    tooMany: (most) => `أقصى ما يُرسم معًا: ${number(most)}`,
    otherLevels: "مستويات ضجيجه غير متاحة",
    stays: (reason, present) => `${reason}، يبقى ${present}`,
    unknown: "غير معروف",
    notOffered: "لا يتيحه هذا النموذج",
    sampler: "طريقة السحب",
    schedule: "مستويات الضجيج",
    numberOf: (picture, of) => `رقم ${number(picture)} من ${number(of)}`,
    otherModel: (theirs, ours) => `كان نموذجها ${theirs}، وهذا ${ours}.`,
    weights: "تُقرأ الأوزان وأسماء الملفات في الوصف على أنها كلمات.",
    hide: "إخفاء",
    tooLarge: (name) => `${name} أكبر من أي صورة.`,
    noPng: (name) => `${name} ليس ملف PNG؛ لا تُقرأ الإعدادات إلا من ملفات PNG.`,
    noSettings: (name) => `لا إعدادات في ${name}.`,
    noSettingsPasted:
      "لا إعدادات في الصورة الملصقة لأن النسخ يُسقطها. افتح الملف المحفوظ أو الصق رابطه.",
    unreadable: (name) => `تعذّرت قراءة ${name}.`,
    oneOf: (name, count) => `يُقرأ ${name} وحده من الملفات، وعددها ${number(count)}.`,
    noModel: (name) => `يمكن أخذ إعدادات ${name} عندما يُختار نموذج.`,
  };
}
