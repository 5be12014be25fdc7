// Airflow around us: its theme, its pages, its REST API, and our own backend, all of the same origin.

// Wherever Airflow is mounted, we are at <base>crm-ops/.
const OURS = new URL("./", document.baseURI);
export const BASE = new URL("../", OURS);

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(url, options = {}) {
  let answer;
  try {
    answer = await fetch(url, { credentials: "same-origin", redirect: "error", ...options });
  } catch {
    throw new Refused(0, "Airflow's web server does not answer.");
  }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, sentence(answer.status, told));
  return told;
}

function sentence(status, told) {
  if (status === 401) return "You are not logged in any more. Reload Airflow to log in again.";
  if (status === 403 && !told.message) return "Your role in Airflow may not do this.";
  if (told.message) return told.message;
  return typeof told.detail === "string" ? told.detail : `Airflow answered ${status}.`;
}

export const overview = () => ask(new URL("data/overview", OURS));

export const tenants = (query) =>
  ask(new URL(`data/tenants?${new URLSearchParams(query)}`, OURS));

const dagPath = (dagId) => `api/v2/dags/${encodeURIComponent(dagId)}`;

export const dag = (dagId) => ask(new URL(dagPath(dagId), BASE));

export const dagDetails = (dagId) => ask(new URL(`${dagPath(dagId)}/details`, BASE));

export const dagRun = (dagId, runId) =>
  ask(new URL(`${dagPath(dagId)}/dagRuns/${encodeURIComponent(runId)}`, BASE));

export const trigger = (dagId, conf) =>
  ask(new URL(`${dagPath(dagId)}/dagRuns`, BASE), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ logical_date: null, conf }),
  });

// Inside Airflow we are a frame that may not replace its page; Airflow's own router can.
const framed = () => {
  try {
    return window.parent !== window && Boolean(window.parent.document);
  } catch {
    return false;
  }
};

export function link(path) {
  return {
    href: new URL(path, BASE).href,
    onclick(event) {
      if (!framed() || event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      window.parent.history.pushState({}, "", new URL(path, BASE).pathname);
      window.parent.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
    },
  };
}

export const runPath = (dagId, runId) =>
  `dags/${encodeURIComponent(dagId)}/runs/${encodeURIComponent(runId)}`;

function ground() {
  const { body, documentElement } = window.parent.document;
  return [body, documentElement]
    .map((each) => window.parent.getComputedStyle(each).backgroundColor)
    .find((color) => !/^(transparent|rgba\(.*, 0\))$/.test(color));
}

// Light and dark as Airflow has it, with its own ground, at once when it changes; elsewhere as the
// system has it.
export function followTheme() {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const classes = framed() ? window.parent.document.documentElement.classList : null;
    const dark = classes?.contains("dark") || (!classes?.contains("light") && system.matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    if (framed()) document.documentElement.style.setProperty("--ground", ground() ?? "");
  };
  apply();
  system.addEventListener("change", apply);
  if (framed()) {
    new MutationObserver(apply).observe(window.parent.document.documentElement, {
      attributes: true,
      attributeFilter: ["class"],
    });
  }
}
