// As of when the figures of each entity are exact, when that was last proved, and what waits.

import { h, put, table } from "./dom.js";
import { ago, number } from "./words.js";

export function show(section, { status }) {
  if (status.freshness.length === 0) {
    put(section, h("p", { class: "empty" }, "Nothing has been counted yet: run a job above."));
    return;
  }
  const capture = Object.fromEntries(status.capture.map((each) => [each.entity, each]));
  const order = status.capture.map((each) => each.entity);
  const place = (each) => order.indexOf(each.entity);
  const sorted = [...status.freshness].sort((one, other) => place(one) - place(other));
  const rows = sorted.map((each) => [
    h("b", {}, each.entity),
    each.kind,
    ago(each.as_of),
    each.proved_at ? ago(each.proved_at) : h("span", { class: "quiet" }, "not of all yet"),
    number(capture[each.entity]?.backlog),
    capture[each.entity]?.oldest_change ? ago(capture[each.entity].oldest_change) : "–",
    number(each.tenants),
    number(each.counted),
  ]);
  const problems = status.capture.filter((each) => each.problem);
  put(
    section,
    table(
      "Freshness of each entity",
      [
        ["Entity"],
        ["Figures"],
        ["Exact as of"],
        ["Oldest proof"],
        ["Waiting", "number"],
        ["Oldest waiting"],
        ["Tenants", "number"],
        ["Rows", "number"],
      ],
      rows,
    ),
    problems.length > 0 &&
      h(
        "ul",
        { class: "problems" },
        problems.map((each) => h("li", {}, h("b", {}, each.entity), ` ${each.problem}`)),
      ),
  );
}
