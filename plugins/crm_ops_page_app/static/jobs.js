// The four jobs: how the last run went, when the next one comes, what waits, and the way to run one.

import { link, runPath } from "./airflow.js";
import { trend } from "./charts.js";
import { badge, facts, h, put } from "./dom.js";
import * as run from "./run.js";
import { ago, number, plural, took } from "./words.js";

export const TITLES = {
  precompute_facets: "Facet counts",
  precompute_aggregates: "Report aggregates",
  audit_maintenance: "Audit log maintenance",
  warm_caches: "Cache warming",
};

const KINDS = { success: "good", running: "busy", partial: "warn", failed: "bad" };

// A run that Airflow started is called so in the ledger.
const BY_AIRFLOW = "airflow ";

export function show(section, data, dags) {
  const { overview, jobs } = data;
  put(
    section,
    h("div", { class: "cards" }, Object.entries(jobs).map(([name, job]) => card(name, job))),
  );

  function card(name, job) {
    const last = overview.status.jobs[name];
    const state = last?.state ?? "never ran";
    return h(
      "article",
      { class: "card", "aria-labelledby": `job-${name}`, id: name },
      h(
        "div",
        { class: "head" },
        h("h3", { id: `job-${name}` }, TITLES[name] ?? name),
        badge(state, KINDS[state] ?? "warn"),
      ),
      h("p", { class: "quiet" }, job.summary),
      last ? figures(name, last) : h("p", {}, "It has not run yet."),
      last && (trend(overview.trend[name], TITLES[name]) ?? h("div", { class: "trend" })),
      // Where tenants failed, the list says the same, one by one.
      last?.error && !overview.failed[name] && h("p", { class: "error" }, last.error),
      failed(name, overview.failed[name]),
      foot(name, job, last),
    );
  }

  function figures(name, last) {
    return facts(
      ["Last run", ago(last.started_at)],
      ["Next run", next(dags[jobs[name].dag_id])],
      ["Last success", ago(last.last_success_at)],
      ["Took", took(last.took_ms)],
      ["Seen", number(last.rows_seen)],
      ["Written", number(last.figures_written)],
      ["Tenants", number(last.tenants)],
      waiting(name, overview),
    );
  }

  function foot(name, job, last) {
    const runId = last?.started_by.startsWith(BY_AIRFLOW)
      ? last.started_by.slice(BY_AIRFLOW.length)
      : null;
    return h(
      "div",
      { class: "foot" },
      runId
        ? h(
            "a",
            { ...link(runPath(job.dag_id, runId)), "data-key": `link-${name}` },
            "Open the run",
          )
        : h("a", { ...link(`dags/${job.dag_id}`), "data-key": `link-${name}` }, "Open the DAG"),
      last && !runId && h("span", { class: "quiet" }, `by ${last.started_by}`),
      job.may_run &&
        h(
          "button",
          {
            type: "button",
            "data-key": `run-${name}`,
            onclick: () => run.ask(name, TITLES[name] ?? name, job.dag_id),
          },
          "Run…",
        ),
    );
  }
}

function next(dag) {
  if (!dag) return "–";
  if (dag.is_paused) return badge("paused", "warn");
  return dag.next_dagrun_run_after ? ago(dag.next_dagrun_run_after) : "–";
}

// What a run of this job would have to do now.
function waiting(name, { status, caches }) {
  if (name === "audit_maintenance") {
    return status.audit && ["In DEFAULT", plural(status.audit.default_rows, "row")];
  }
  if (name === "warm_caches") {
    const missing = caches.filled.reduce((sum, each) => sum + each.wanted - each.present, 0);
    return ["Missing", plural(missing, "value")];
  }
  const backlog = status.capture.reduce((sum, each) => sum + each.backlog, 0);
  return ["Backlog", plural(backlog, "change")];
}

function failed(name, found) {
  if (!found) return null;
  const first = Object.entries(found.first);
  const more = found.tenants - first.length;
  return h(
    "details",
    { class: "failed", "data-key": `failed-${name}` },
    h("summary", { "data-key": `failed-summary-${name}` }, `${plural(found.tenants, "tenant")} failed`),
    h("ul", {}, first.map(([tenant, why]) => h("li", {}, h("b", {}, tenant), ` ${why}`))),
    more > 0 && h("p", { class: "quiet" }, `and ${number(more)} more; the ledger has them all`),
  );
}

