// @ts-check
/** Show the agreement between reviewers and the photos they disagree on. */

import { notify } from "./announce.js";
import { byId, icon, make } from "./elements.js";
import { kindOf, labelName } from "./labels.js";
import { currentLanguage, onLanguageChange, t } from "./language.js";
import { fetchAgreement, photoUrl } from "./review-service.js";

const SMALL = 512;
const LARGE = 2048;

export class AgreementView {
  #agreement = { pairs: [], disputed: [] };

  constructor() {
    onLanguageChange(() => this.#show());
  }

  /** Fetch and show the current agreement. */
  async open(reviewer) {
    try {
      this.#agreement = await fetchAgreement(reviewer);
      this.#show();
    } catch (error) {
      notify("review", () =>
        error.status === 0 ? t("noService") : t("failed", { why: error.message }),
      );
    }
  }

  #show() {
    const { pairs, disputed } = this.#agreement;
    byId("agreement-empty").hidden = pairs.length > 0;
    byId("pairs").hidden = pairs.length === 0;
    byId("kappa-note").hidden = pairs.length === 0;
    byId("pairs-rows").replaceChildren(...pairs.map(pairRow));
    byId("disputed-note").textContent = t(disputed.length ? "disputedNote" : "disputedNone");
    byId("disputed").replaceChildren(...disputed.map(disputedPhoto));
  }
}

function pairRow({ reviewers: [one, other], photos, agreed, kappa }) {
  const share = new Intl.NumberFormat(currentLanguage(), { style: "percent" });
  const two = new Intl.NumberFormat(currentLanguage(), {
    minimumFractionDigits: 2,
    maximumFractionDigits: 2,
  });
  const number = (text) => make("td", { class: "number", textContent: text });
  return make(
    "tr",
    {},
    make("th", { scope: "row", textContent: t("pair", { one, other }) }),
    number(String(photos)),
    number(`${agreed} (${share.format(agreed / photos)})`),
    number(kappa === null ? "–" : two.format(kappa)),
  );
}

function disputedPhoto({ photo, decisions }) {
  const labels = Object.entries(decisions).map(([reviewer, label]) => ({
    text: t("reviewerSaid", { reviewer, label: labelName(label) }),
    kind: kindOf(label),
  }));
  return make(
    "li",
    { class: "card" },
    make(
      "a",
      { href: photoUrl(photo, LARGE), target: "_blank", rel: "noopener", title: t("fullSize") },
      make("img", {
        src: photoUrl(photo, SMALL),
        loading: "lazy",
        alt: labels.map(({ text }) => text).join("; "),
      }),
    ),
    ...labels.map(({ text, kind }) =>
      make(
        "span",
        { class: "badge", data: { kind } },
        icon(kind),
        make("span", { textContent: text }),
      ),
    ),
  );
}
