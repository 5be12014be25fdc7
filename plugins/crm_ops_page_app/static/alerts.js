// What people were told of, who, and whether it reached them.

import { badge, h, put, table } from "./dom.js";
import { ago } from "./words.js";

const KINDS = { delivered: "good", pending: "busy", failed: "bad" };

export function show(section, { incidents }) {
  if (incidents.length === 0) {
    put(section, h("p", { class: "empty" }, "Nobody had to be told of anything."));
    return;
  }
  put(
    section,
    table(
      "Alerts",
      [["State"], ["About"], ["What"], ["Since"], ["Until"], ["Told"]],
      incidents.map((each) => [
        each.recovered_at ? badge("over", "good") : badge("open", "bad"),
        [h("b", {}, each.subject), ` ${each.kind}`],
        h("span", { class: "message" }, each.message),
        ago(each.opened_at),
        ago(each.recovered_at),
        told(each.deliveries),
      ]),
    ),
  );
}

function told(deliveries) {
  if (deliveries.length === 0) return h("span", { class: "quiet" }, "nobody: no channel is set");
  return h(
    "ul",
    { class: "parts" },
    deliveries.map((each) =>
      h(
        "li",
        {},
        badge(each.state, KINDS[each.state]),
        ` ${each.channel} ${each.recipient}`,
        each.phase === "recovered" ? ", that it is over" : "",
        each.delivered_at ? [", ", ago(each.delivered_at)] : "",
        each.state === "delivered" ? "" : `, ${each.attempts} tries`,
      ),
    ),
  );
}
