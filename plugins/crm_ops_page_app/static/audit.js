// The audit log: its months on a line, how far the partitions reach, what left and what is held.

import { facts, h, put, svg, table } from "./dom.js";
import { bytes, number, plural, utc } from "./words.js";

const WIDTH = 900;
const TOP = 22;
const HEIGHT = 96;
const LEAST = 10;

const WORDS = {
  attached: "live",
  restored: "live, restored",
  detached: "detached",
  exported: "detached, exported",
  verified: "detached, verified",
  archived: "archived",
  dropped: "dropped",
};
const LEGEND = [
  ["live", "live"],
  ["left", "detached"],
  ["archived", "archived"],
  ["dropped", "dropped"],
  ["held", "legal hold"],
];

export function show(section, overview) {
  const { status, timeline, minimum_runway_days: least, read_at: now } = overview;
  const { audit } = status;
  if (!audit) {
    put(section, h("p", { class: "empty" }, "The catalog declares no audit log."));
    return;
  }
  const short = audit.runway_days < least;
  const archived = timeline.filter((each) => each.state === "archived");
  put(
    section,
    facts(
      ["Table", h("code", {}, audit.table)],
      [
        "Runway",
        [plural(audit.runway_days, "day"), ` (at least ${number(least)})`],
        short ? "bad" : null,
      ],
      ["Partitions", number(audit.partitions)],
      ["Size", bytes(audit.bytes)],
      ["Rows", `about ${number(audit.rows)}`],
      ["In DEFAULT", plural(audit.default_rows, "row"), audit.default_rows ? "warn" : null],
      ["Detached", `${number(audit.detached)}, ${bytes(audit.detached_bytes)}`],
      [
        "Archived",
        `${number(archived.length)}, ${bytes(archived.reduce((sum, each) => sum + each.bytes, 0))}`,
      ],
    ),
    timeline.length > 0 && line(timeline, new Date(now)),
    timeline.length > 0 && legend(timeline),
    timeline.length > 0 && asTable(timeline),
  );
}

function kind(stage) {
  if (stage.state === "attached" || stage.state === "restored") return "live";
  return stage.state === "archived" || stage.state === "dropped" ? stage.state : "left";
}

// Partitions without a bound reach to the years 1 and 9999; the line shows what people look at.
function scale(timeline, now) {
  const bounds = timeline
    .flatMap((each) => [new Date(each.lower), new Date(each.upper)])
    .filter((each) => each.getUTCFullYear() > 1900 && each.getUTCFullYear() < 9000);
  const from = Math.min(...bounds, now);
  const to = Math.max(...bounds, now);
  return {
    from,
    to,
    x: (moment) =>
      (WIDTH * (Math.min(Math.max(new Date(moment), from), to) - from)) / Math.max(to - from, 1),
  };
}

function line(timeline, now) {
  const { from, to, x } = scale(timeline, now);
  const most = Math.max(...timeline.map((each) => each.bytes), 1);
  const bars = timeline.map((each) => {
    // By the square root: a small month beside a large one is still seen.
    const height = LEAST + (HEIGHT - LEAST) * Math.sqrt(each.bytes / most);
    const left = x(each.lower);
    const width = Math.max(x(each.upper) - left - 2, 2);
    return svg(
      "g",
      {},
      svg("title", {}, told(each)),
      svg("rect", {
        class: `stage ${kind(each)}`,
        x: left + 1,
        y: TOP + HEIGHT - height,
        width,
        height,
        rx: 2,
      }),
      each.holds.length > 0 &&
        svg("rect", { class: "stage held", x: left + 1, y: TOP + HEIGHT + 4, width, height: 4 }),
    );
  });
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Partitions through time" },
    svg(
      "svg",
      {
        class: "timeline",
        viewBox: `-10 0 ${WIDTH + 20} ${TOP + HEIGHT + 32}`,
        role: "img",
        "aria-label": `${timeline.length} months; the table below tells of each`,
      },
      svg("line", { class: "axis", x1: 0, x2: WIDTH, y1: TOP + HEIGHT, y2: TOP + HEIGHT }),
      bars,
      months(from, to).map((each) => label(x(each), each)),
      svg("line", { class: "now", x1: x(now), x2: x(now), y1: TOP - 6, y2: TOP + HEIGHT + 8 }),
      svg("text", { class: "now", x: x(now), y: TOP - 10, "text-anchor": anchor(x(now)) }, "now"),
    ),
  );
}

const anchor = (at) => (at < 30 ? "start" : at > WIDTH - 30 ? "end" : "middle");

// Not more labels than there is room for.
function months(from, to) {
  const first = new Date(from);
  const count = (to - from) / (30.44 * 86_400_000);
  const step = [1, 2, 3, 6, 12, 24, 60, 120].find((each) => count / each <= 12) ?? 240;
  const found = [];
  // A label begins at its month and needs some room.
  const last = to - (to - from) / 20;
  let month = new Date(Date.UTC(first.getUTCFullYear(), 0, 1));
  while (month <= to) {
    if (month >= from && month <= last) found.push(month);
    month = new Date(Date.UTC(month.getUTCFullYear(), month.getUTCMonth() + step, 1));
  }
  return found;
}

function label(at, month) {
  const text = month.toISOString().slice(0, 7);
  return svg("text", { x: at, y: TOP + HEIGHT + 24, "text-anchor": "start" }, text);
}

function told(stage) {
  const held = stage.holds.length ? `, legal hold ${stage.holds.join(", ")}` : "";
  const rows = stage.rows == null ? "" : `, ${plural(stage.rows, "row")}`;
  return `${stage.name}: ${WORDS[stage.state]}, ${bytes(stage.bytes)}${rows}${held}`;
}

function legend(timeline) {
  const there = new Set(timeline.map(kind));
  if (timeline.some((each) => each.holds.length)) there.add("held");
  return h(
    "ul",
    { class: "legend" },
    LEGEND.filter(([each]) => there.has(each)).map(([each, text]) =>
      h("li", {}, h("i", { class: `swatch ${each}`, "aria-hidden": "true" }), text),
    ),
  );
}

function asTable(timeline) {
  return h(
    "details",
    { "data-key": "audit-table" },
    h("summary", { "data-key": "audit-summary" }, "The same as a table"),
    table(
      "Partitions of the audit log",
      [["Table"], ["From"], ["To"], ["State"], ["Rows", "number"], ["Size", "number"], ["Held"]],
      timeline.map((each) => [
        h("span", { class: "key" }, each.name),
        utc(each.lower).slice(0, 10),
        utc(each.upper).slice(0, 10),
        WORDS[each.state],
        number(each.rows),
        bytes(each.bytes),
        each.holds.length ? `hold ${each.holds.join(", ")}` : "–",
      ]),
    ),
  );
}
