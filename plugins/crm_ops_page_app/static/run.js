// Starts a run through Airflow's own REST API, with the parameters of the DAG's form, and follows it.

import * as airflow from "./airflow.js";
import { h } from "./dom.js";
import { number } from "./words.js";

const ENDED = ["success", "failed"];

let changed = () => {};
let notice = () => {};

// `onChange` is called when a run began or ended; `tell` shows a sentence, and a link to the run.
export function start(onChange, tell) {
  changed = onChange;
  notice = tell;
}

export async function ask(name, title, dagId) {
  const dialog = h("dialog", { class: "run", "aria-labelledby": "run-title" });
  dialog.append(h("h2", { id: "run-title" }, title), h("p", { class: "loading line" }));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  try {
    const { params } = await airflow.dagDetails(dagId);
    dialog.replaceChildren(form(dialog, title, dagId, params));
  } catch (error) {
    dialog.replaceChildren(
      h("h2", { id: "run-title" }, title),
      h("p", { class: "error", role: "alert" }, error.message),
      close(dialog),
    );
  }
}

const close = (dialog) =>
  h("button", { type: "button", class: "plain", onclick: () => dialog.close() }, "Cancel");

function form(dialog, title, dagId, params) {
  const fields = Object.entries(params)
    .filter(([name]) => name !== "dry_run")
    .map(([name, param]) => field(name, param));
  const error = h("p", { class: "error", role: "alert", hidden: true });
  const verifies = params.mode?.schema?.enum?.includes("verify");
  const choice = (text, kind, change) =>
    h("button", { type: "button", class: kind, onclick: () => send(change) }, text);
  const made = h(
    "form",
    { method: "dialog", onsubmit: (event) => event.preventDefault() },
    h("h2", { id: "run-title" }, title),
    fields.map((each) => each.element),
    error,
    h(
      "div",
      { class: "actions" },
      close(dialog),
      verifies && choice("Verify", "", { mode: "verify", dry_run: false }),
      choice("Dry run", "", { dry_run: true }),
      choice("Run now", "main", { dry_run: false }),
    ),
    h(
      "p",
      { class: "quiet" },
      "A dry run sees and counts everything and writes nothing.",
    ),
  );
  return made;

  async function send(change) {
    const conf = Object.fromEntries(fields.map((each) => [each.name, each.value()]));
    const buttons = [...made.querySelectorAll("button")];
    for (const each of buttons) each.disabled = true;
    try {
      const run = await airflow.trigger(dagId, { ...conf, ...change });
      dialog.close();
      follow(title, run);
    } catch (refused) {
      error.textContent = refused.message;
      error.hidden = false;
      for (const each of buttons) each.disabled = false;
    }
  }
}

// A field by what the DAG's own parameter says of itself.
function field(name, { value, schema, description }) {
  const label = schema.title ?? name;
  const hint = description ?? schema.description;
  const choices = schema.items?.enum ?? schema.enum?.filter((each) => each !== "verify");
  const many = [schema.type].flat().includes("array");
  if (many && choices) return checkboxes(name, label, hint, choices);
  if (many) return lines(name, label, hint);
  if (choices) return select(name, label, hint, choices, value);
  return { name, element: null, value: () => value };
}

function checkboxes(name, label, hint, choices) {
  const boxes = choices.map((each) => h("input", { type: "checkbox", value: each }));
  return {
    name,
    value: () => boxes.filter((each) => each.checked).map((each) => each.value),
    element: h(
      "fieldset",
      {},
      h("legend", {}, label),
      h("p", { class: "quiet" }, hint),
      h(
        "div",
        { class: "choices" },
        boxes.map((each) => h("label", {}, each, ` ${each.value}`)),
      ),
    ),
  };
}

function lines(name, label, hint) {
  const area = h("textarea", { rows: 2, spellcheck: "false", "aria-describedby": `hint-${name}` });
  return {
    name,
    value: () =>
      area.value
        .split("\n")
        .map((each) => each.trim())
        .filter(Boolean),
    element: h("label", { class: "field" }, h("b", {}, label), quiet(name, hint), area),
  };
}

function select(name, label, hint, choices, value) {
  const list = h(
    "select",
    { "aria-describedby": `hint-${name}` },
    choices.map((each) => h("option", { value: each, selected: each === value }, each)),
  );
  return {
    name,
    value: () => list.value,
    element: h("label", { class: "field" }, h("b", {}, label), quiet(name, hint), list),
  };
}

const quiet = (name, hint) => h("span", { class: "quiet", id: `hint-${name}` }, hint);

async function follow(title, run) {
  const { dag_id: dagId, dag_run_id: runId } = run;
  const path = airflow.runPath(dagId, runId);
  const began = Date.now();
  let state = run.state;
  notice(`${title}: the run is ${state}.`, path);
  changed();
  while (!ENDED.includes(state)) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    try {
      ({ state } = await airflow.dagRun(dagId, runId));
    } catch (error) {
      notice(`${title}: ${error.message}`, path);
      if (error.status === 401) return;
      continue;
    }
    const seconds = Math.round((Date.now() - began) / 1000);
    if (!ENDED.includes(state)) notice(`${title}: ${state} for ${number(seconds)} s.`, path);
  }
  const word = state === "success" ? "has succeeded" : "has failed";
  notice(`${title}: the run ${word}.`, path, state === "failed");
  changed();
}
