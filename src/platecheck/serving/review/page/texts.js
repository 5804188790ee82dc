/**
 * Every text of the review page, by language; language.js and labels.js are the main page's.
 *
 * A text that depends on a count has its plural forms, by the names of Intl.PluralRules.
 * {name} is replaced by a value.
 */

export const TEXTS = {
  en: {
    languageName: "English",
    language: "Language",
    skip: "Skip to the content",
    viewPhotos: "Review",
    viewAgreement: "Agreement",
    changeName: "Change name",
    nameTitle: "Who reviews?",
    nameText:
      "Your decisions are kept under this name. Nobody sees them while they still have to decide themselves.",
    nameLabel: "Your name",
    nameUse: "Begin",

    clean: "Clean",
    dirty: "Dirty",
    unsure: "Unsure",
    notADish: "Not a dish",
    over: "over {percent}",
    under: "under {percent}",

    title: "What is right?",
    progress: "{done} of {count}",
    progressLabel: "Photos decided",
    photoAlt: "The photo to decide on",
    fullSize: "Open the photo in a tab of its own",
    serviceSaid: "The service said",
    usersSaid: "Who sent it said",
    skipPhoto: "Skip",
    undo: "Undo",
    keysOption: "Single keys decide",
    keysNote: "Switch them off if they get in the way of a screen reader or voice control.",
    decided: "{label}.",
    skipped: "Skipped.",
    undone: "Undone.",
    next: "Photo {number} of {count}. The service said: {answer}. Who sent it said: {said}.",
    notLoaded: "The photo cannot be shown. Skip it.",
    deleted: "The photo was deleted in the meantime.",
    failed: "That did not work: {why}",
    noService: "platecheck review does not run any more.",

    allDone: "Every photo is decided.",
    allDoneText: "Thank you. The Agreement page shows how far reviewers agree.",
    skippedLeft: {
      one: "{count} photo was skipped.",
      other: "{count} photos were skipped.",
    },
    skippedLeftText: "All the others are decided.",
    goThroughSkipped: "Go through the skipped photos",
    nothing: "There is no feedback to review.",
    nothingText: "platecheck serve --feedback collects it.",

    agreementTitle: "How far reviewers agree",
    agreementEmpty: "No two reviewers have decided the same photo yet.",
    reviewers: "Reviewers",
    pair: "{one} and {other}",
    both: "Photos of both",
    alike: "Decided alike",
    kappa: "Cohen’s kappa",
    kappaNote:
      "Kappa is the agreement beyond chance: 1 is complete, 0 is what chance would give. It has no value where both always gave one and the same answer.",
    disputedTitle: "Photos they disagree on",
    disputedNote: "Only photos that you have decided are shown here.",
    disputedNone: "None of the photos that you have decided.",
    reviewerSaid: "{reviewer}: {label}",
  },

  uk: {
    languageName: "Українська",
    language: "Мова",
    skip: "Перейти до вмісту",
    viewPhotos: "Перегляд",
    viewAgreement: "Згода",
    changeName: "Змінити ім’я",
    nameTitle: "Хто переглядає?",
    nameText:
      "Ваші рішення зберігаються під цим іменем. Ніхто не бачить їх, доки сам не вирішив.",
    nameLabel: "Ваше ім’я",
    nameUse: "Почати",

    clean: "Чисто",
    dirty: "Брудно",
    unsure: "Непевно",
    notADish: "Не посуд",
    over: "понад {percent}",
    under: "до {percent}",

    title: "Що правильно?",
    progress: "{done} з {count}",
    progressLabel: "Знімки з рішенням",
    photoAlt: "Знімок, про який треба вирішити",
    fullSize: "Відкрити знімок в окремій вкладці",
    serviceSaid: "Сервіс відповів",
    usersSaid: "Хто надіслав, каже",
    skipPhoto: "Пропустити",
    undo: "Скасувати",
    keysOption: "Рішення однією клавішею",
    keysNote: "Вимкніть, якщо це заважає програмі читання з екрана чи голосовому керуванню.",
    decided: "{label}.",
    skipped: "Пропущено.",
    undone: "Скасовано.",
    next: "Знімок {number} з {count}. Сервіс відповів: {answer}. Хто надіслав, каже: {said}.",
    notLoaded: "Знімок неможливо показати. Пропустіть його.",
    deleted: "Тим часом знімок видалено.",
    failed: "Не вдалося: {why}",
    noService: "platecheck review більше не працює.",

    allDone: "Рішення є для всіх знімків.",
    allDoneText: "Дякуємо. На сторінці «Згода» видно, наскільки рішення збігаються.",
    skippedLeft: {
      one: "Пропущено {count} знімок.",
      few: "Пропущено {count} знімки.",
      many: "Пропущено {count} знімків.",
      other: "Пропущено {count} знімка.",
    },
    skippedLeftText: "Для решти рішення вже є.",
    goThroughSkipped: "Переглянути пропущені",
    nothing: "Немає відгуків для перегляду.",
    nothingText: "Їх збирає platecheck serve --feedback.",

    agreementTitle: "Наскільки рішення збігаються",
    agreementEmpty: "Ще немає знімка, про який вирішили двоє.",
    reviewers: "Хто переглядав",
    pair: "{one} і {other}",
    both: "Спільні знімки",
    alike: "Однакові рішення",
    kappa: "Каппа Коена",
    kappaNote:
      "Каппа — це згода понад випадкову: 1 — цілковита, 0 — така, яку дав би випадок. Вона не має значення, якщо обоє завжди відповідали однаково й те саме.",
    disputedTitle: "Знімки, про які думки різні",
    disputedNote: "Тут лише знімки, про які ви вже вирішили.",
    disputedNone: "Серед знімків, про які ви вирішили, таких немає.",
    reviewerSaid: "{reviewer}: {label}",
  },
};

/** Words of the service that have texts of their own: none on this page. */
export const REASONS = {};
