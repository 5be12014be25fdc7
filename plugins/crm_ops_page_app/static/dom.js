// Makes elements; text is always text, never markup, so that no name of a tenant can become any.

const SVG = "http://www.w3.org/2000/svg";

export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

// Puts a section's new content in place. Focus, and what was unfolded, stay where they were: both are
// known by the attribute data-key.
export function put(section, ...content) {
  const body = section.querySelector(".body");
  const focused = body.contains(document.activeElement) && document.activeElement.dataset.key;
  const open = new Set([...body.querySelectorAll("details[open]")].map((each) => each.dataset.key));
  body.replaceChildren(...content.filter(Boolean));
  for (const each of body.querySelectorAll("details")) each.open = open.has(each.dataset.key);
  if (focused) body.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

// A table that scrolls by itself where the window is narrow. `heads` are [text, "number"?].
export function table(label, heads, rows) {
  const head = heads.map(([text, kind]) => h("th", { scope: "col", class: kind }, text));
  const lines = rows.map((row) =>
    h("tr", {}, row.map((cell, at) => h("td", { class: heads[at][1] }, cell ?? "–"))),
  );
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
    h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, lines)),
  );
}

export function facts(...pairs) {
  return h(
    "dl",
    { class: "facts" },
    pairs
      .filter(Boolean)
      .map(([name, value, kind]) =>
        h("div", { class: kind }, h("dt", {}, name), h("dd", {}, value ?? "–")),
      ),
  );
}

export function badge(text, kind) {
  return h("span", { class: `badge ${kind}` }, text);
}
