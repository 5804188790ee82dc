// @ts-check
/**
 * Texts of the review page by language, with the same keys in each. language.js and labels.js are
 * those of the main page.
 *
 * Texts with a count list their plural forms by the names of Intl.PluralRules. {name} is a
 * placeholder.
 */

export const TEXTS = {
  en: {
    languageName: "English",
    language: "Language",
    skip: "Skip to content",
    viewPhotos: "Review",
    viewAgreement: "Agreement",
    changeName: "Change name",
    nameTitle: "Who is reviewing?",
    nameText:
      "Your decisions are stored under this name. Others cannot see them until they have decided themselves.",
    nameLabel: "Your name",
    nameUse: "Start",

    clean: "Clean",
    dirty: "Dirty",
    unsure: "Unsure",
    notADish: "Not a dish",
    over: "over {percent}",
    under: "under {percent}",

    title: "What is the correct label?",
    progress: "{done} of {count}",
    progressLabel: "Photos reviewed",
    photoAlt: "Photo to review",
    fullSize: "Open the photo in a new tab",
    serviceSaid: "The service said",
    usersSaid: "Users said",
    skipPhoto: "Skip",
    undo: "Undo",
    keysOption: "Single-key shortcuts",
    keysNote: "Switch them off if they interfere with a screen reader or voice control.",
    decided: "{label}.",
    skipped: "Skipped.",
    undone: "Undone.",
    next: "Photo {number} of {count}. The service said: {answer}. Users said: {said}.",
    notLoaded: "The photo cannot be displayed. Skip it.",
    deleted: "The photo was deleted in the meantime.",
    failed: "Failed: {why}",
    noService: "platecheck review is no longer running.",

    allDone: "All photos are reviewed.",
    allDoneText: "Thank you. The Agreement page shows how far reviewers agree.",
    skippedLeft: {
      one: "{count} photo was skipped.",
      other: "{count} photos were skipped.",
    },
    skippedLeftText: "All others are reviewed.",
    goThroughSkipped: "Review the skipped photos",
    nothing: "No feedback to review.",
    nothingText: "Collect it with platecheck serve --feedback.",

    agreementTitle: "Agreement between reviewers",
    agreementEmpty: "No photo has been reviewed by two people yet.",
    reviewers: "Reviewers",
    pair: "{one} and {other}",
    both: "Photos in common",
    alike: "Same label",
    kappa: "Cohen’s kappa",
    kappaNote:
      "Kappa is the agreement beyond chance: 1 is complete, 0 is what chance would give. It is undefined if both always chose the same label.",
    disputedTitle: "Disagreements",
    disputedNote: "Only photos that you have reviewed are shown.",
    disputedNone: "None of the photos that you have reviewed.",
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
    nameText: "Ваші рішення зберігаються під цим іменем. Ніхто не бачить їх, доки сам не вирішив.",
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

/** Translated error messages of the service: none on this page. */
export const REASONS = {};
