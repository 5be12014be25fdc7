// Freshness and proof of each tenant: searched, sorted and paged by the database.

import * as airflow from "./airflow.js";
import { h, put, table } from "./dom.js";
import { ago, number, plural } from "./words.js";

const SIZE = 20;
const SORTS = {
  as_of: "Oldest figures first",
  proved_at: "Oldest proof first",
  counted: "Most rows first",
  tenant: "By tenant",
};

const query = { search: "", sort: "as_of", offset: 0, limit: SIZE };
let controls;
let list;
let shown = "";
let latest = 0;

export function start(section) {
  const search = h("input", {
    type: "search",
    placeholder: "Tenant",
    "aria-label": "Search tenants by key",
    maxlength: 200,
    oninput: later(() => go({ search: search.value, offset: 0 })),
  });
  const sort = h(
    "select",
    { "aria-label": "Order of the tenants", onchange: () => go({ sort: sort.value, offset: 0 }) },
    Object.entries(SORTS).map(([value, text]) => h("option", { value }, text)),
  );
  controls = h("div", { class: "controls" }, search, sort);
  list = h("div", { class: "list" }, h("div", { class: "body" }));
  put(section, controls, list);
}

function go(change) {
  Object.assign(query, change);
  return load();
}

// The newest answer wins, whatever order they come in.
export async function load() {
  latest += 1;
  const asked = latest;
  try {
    const page = await airflow.tenants(query);
    if (asked === latest) show(page);
  } catch (error) {
    if (asked !== latest) return;
    shown = "";
    put(list, h("p", { class: "empty", role: "alert" }, error.message));
  }
}

function show(page) {
  const { read_at: _moment, ...figures } = page;
  const key = JSON.stringify([figures, query]);
  if (key === shown) return;
  shown = key;
  if (page.tenants.length === 0) {
    const none = query.search
      ? `No tenant's key holds “${query.search}”.`
      : "No tenant has figures yet.";
    put(list, h("p", { class: "empty" }, none), query.offset > 0 && pager(page));
    return;
  }
  put(
    list,
    table(
      "Freshness of each tenant",
      [["Tenant"], ["Exact as of"], ["Oldest proof"], ["Rows", "number"], ["Figures"]],
      page.tenants.map((each) => [
        h("b", { class: "key" }, each.tenant),
        ago(each.as_of),
        ago(each.proved_at),
        number(each.counted),
        parts(each),
      ]),
    ),
    pager(page),
  );
}

function parts(tenant) {
  return h(
    "details",
    { "data-key": `tenant-${tenant.tenant}` },
    h(
      "summary",
      { "data-key": `summary-${tenant.tenant}` },
      plural(tenant.figures.length, "kind"),
    ),
    h(
      "ul",
      { class: "parts" },
      tenant.figures.map((each) =>
        h(
          "li",
          {},
          h("b", {}, each.entity),
          ` ${each.kind}: exact `,
          ago(each.as_of),
          each.proved_at ? [", proved ", ago(each.proved_at)] : ", not proved",
          `, ${plural(each.counted, "row")}`,
        ),
      ),
    ),
  );
}

function pager({ total, tenants }) {
  const from = query.offset;
  const move = (by) => go({ offset: Math.max(0, from + by) });
  return h(
    "div",
    { class: "pager" },
    h(
      "span",
      { role: "status" },
      tenants.length ? `${number(from + 1)} to ${number(from + tenants.length)} of ` : "of ",
      plural(total, "tenant"),
    ),
    h(
      "span",
      { class: "actions" },
      h(
        "button",
        {
          type: "button",
          "data-key": "previous",
          disabled: from === 0,
          onclick: () => move(-SIZE),
        },
        "Previous",
      ),
      h(
        "button",
        {
          type: "button",
          "data-key": "next",
          disabled: from + SIZE >= total,
          onclick: () => move(SIZE),
        },
        "Next",
      ),
    ),
  );
}

function later(action) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, 250);
  };
}
