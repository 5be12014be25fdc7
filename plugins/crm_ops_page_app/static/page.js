// The page: reads every few seconds, shows each part anew only where its figures changed.

import * as airflow from "./airflow.js";
import * as alerts from "./alerts.js";
import * as attention from "./attention.js";
import * as audit from "./audit.js";
import * as caches from "./caches.js";
import { h } from "./dom.js";
import * as freshness from "./freshness.js";
import * as jobs from "./jobs.js";
import * as run from "./run.js";
import * as tenants from "./tenants.js";
import { clock, plural, setClock, tick } from "./words.js";

const EVERY_MS = 10_000;
const BUSY_MS = 2_000;

const by = (id) => document.getElementById(id);
const main = by("main");
const seen = new Map();
let timer;
let reading = false;

async function load() {
  clearTimeout(timer);
  if (reading) return;
  reading = true;
  let busy = false;
  try {
    const data = await airflow.overview();
    show(data, await dagsOf(data.jobs));
    tenants.load();
    busy = Object.values(data.overview.status.jobs).some((each) => each?.state === "running");
    trouble(null);
  } catch (error) {
    trouble(error);
  } finally {
    reading = false;
    main.setAttribute("aria-busy", "false");
    timer = setTimeout(whenSeen, busy ? BUSY_MS : EVERY_MS);
  }
}

// Nobody looks: nobody is asked.
function whenSeen() {
  if (document.visibilityState === "visible") load();
}

// Without Airflow's own answer the rest is shown all the same.
async function dagsOf(known) {
  const found = await Promise.all(
    Object.values(known).map((job) => airflow.dag(job.dag_id).catch(() => null)),
  );
  return Object.fromEntries(
    found
      .filter(Boolean)
      .map(({ dag_id, is_paused, next_dagrun_run_after }) => [
        dag_id,
        { is_paused, next_dagrun_run_after },
      ]),
  );
}

function show(data, dags) {
  const { overview } = data;
  setClock(overview.read_at);
  by("moment").replaceChildren(
    "As of ",
    h("b", {}, clock(overview.read_at)),
    ", read again every 10 seconds",
  );
  part("jobs", [overview.status, overview.trend, overview.failed, overview.caches, data.jobs, dags], () =>
    jobs.show(by("jobs"), data, dags),
  );
  part("freshness", [overview.status], () => freshness.show(by("freshness"), overview));
  part("audit", [overview.status.audit, overview.timeline], () => audit.show(by("audit"), overview));
  part("caches", [overview.caches], () => caches.show(by("caches"), overview));
  part("alerts", [overview.incidents], () => alerts.show(by("alerts"), overview));
  const wrong = attention.found(overview).length;
  part("attention", [wrong, attention.found(overview)], () =>
    attention.show(by("attention"), overview),
  );
  verdict(wrong);
  main.hidden = false;
  tick();
}

function part(name, figures, draw) {
  const key = JSON.stringify(figures);
  if (seen.get(name) === key) return;
  draw();
  seen.set(name, key);
}

function verdict(wrong) {
  const text = wrong ? `${plural(wrong, "thing needs", "things need")} attention` : "All is well";
  const place = by("verdict");
  if (place.textContent !== text) place.textContent = text;
  place.className = `badge ${wrong ? "warn" : "good"}`;
}

// What was read before stays, and says how old it is; without anything there is only the sentence.
function trouble(error) {
  const place = by("trouble");
  place.hidden = error === null;
  main.classList.toggle("old", error !== null);
  if (error === null) return;
  place.textContent = error.message;
  by("verdict").textContent = "";
  by("verdict").className = "";
  if (seen.size === 0) {
    main.hidden = true;
    by("moment").textContent = "Nothing could be read yet";
  }
}

function tell(text, path, bad = false) {
  const place = by("notice");
  place.hidden = false;
  place.classList.toggle("bad", bad);
  place.replaceChildren(text, " ", h("a", airflow.link(path), "Open the run"));
}

airflow.followTheme();
tenants.start(by("tenants"));
run.start(load, tell);
by("reload").addEventListener("click", load);
document.addEventListener("visibilitychange", whenSeen);
setInterval(tick, 1000);
load();
