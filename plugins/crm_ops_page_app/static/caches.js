// How full Redis was after the last warming, the epochs of sharing, and what had to be repaired.

import { bar } from "./charts.js";
import { facts, h, put } from "./dom.js";
import { ago, number, plural } from "./words.js";

export function show(section, { caches }) {
  put(
    section,
    caches.warmed_at
      ? h("div", { class: "shares" }, caches.filled.map(share))
      : h("p", { class: "empty" }, "The caches have not been warmed yet."),
    facts(
      ["Warmed", ago(caches.warmed_at)],
      [
        "Epochs",
        caches.epochs_kept ? `kept, ${plural(caches.epochs, "scope")} moved` : "not kept",
        caches.epochs_kept ? null : "warn",
      ],
      caches.warmed_at && [
        "Broken rules",
        number(caches.rules_broken),
        caches.rules_broken ? "warn" : null,
      ],
      caches.runs && ["Proved", `${plural(caches.proved_tenants, "tenant")} in ${plural(caches.runs, "warming")}`],
      caches.runs && [
        "Drift",
        plural(caches.differing_figures, "figure"),
        caches.differing_figures ? "bad" : null,
      ],
      caches.runs && [
        "Repaired",
        `figures of ${plural(caches.repaired_tenants, "tenant")}, sharing of ${plural(caches.sharing_repaired, "tenant")}`,
      ],
    ),
    !caches.epochs_kept &&
      h(
        "p",
        { class: "quiet" },
        "Without epochs nobody's permissions are remembered between requests: `crm-ops catalog apply` keeps them.",
      ),
  );
}

function share({ kind, present, wanted }) {
  const part = wanted ? present / wanted : 1;
  const percent = `${(Math.floor(part * 1000) / 10).toFixed(part === 1 ? 0 : 1)} %`;
  return h(
    "div",
    { class: "share-row" },
    h("b", {}, kind),
    bar(part, `${kind}: ${percent} of what is wanted is in Redis`),
    h("span", { class: "number" }, `${percent}, ${number(present)} of ${number(wanted)}`),
  );
}
