// The health card on Airflow's home, for the React that Airflow itself brings; no build step.

const { React } = globalThis;
const e = React.createElement;
const BASE = document.baseURI;

function told({ overview }) {
  const jobs = Object.values(overview.status.jobs);
  const well = jobs.filter((each) => each && ["success", "running"].includes(each.state)).length;
  const oldest = overview.status.freshness.map((each) => each.as_of).sort()[0];
  const minutes = oldest && (new Date(overview.read_at) - new Date(oldest)) / 60_000;
  const open = overview.incidents.filter((each) => !each.recovered_at).length;
  const { audit } = overview.status;
  return {
    well: overview.healthy && open === 0,
    facts: [
      ["Jobs", `${well} of ${jobs.length} well`],
      ["Oldest figures", minutes == null ? "none yet" : `${Math.floor(minutes)} min`],
      ["Audit log runway", audit ? `${audit.runway_days} days` : "none"],
      ["Open alerts", String(open)],
    ],
  };
}

function useOverview() {
  const [state, set] = React.useState({ loading: true });
  React.useEffect(() => {
    let there = true;
    const read = () =>
      fetch(new URL("crm-ops/data/overview", BASE), { credentials: "same-origin" })
        .then((answer) => answer.json().then((told) => (answer.ok ? told : Promise.reject(told))))
        .then((data) => there && set({ data }))
        .catch((error) => there && set({ error: error.message ?? "It cannot be read." }));
    read();
    const timer = setInterval(() => document.visibilityState === "visible" && read(), 30_000);
    return () => {
      there = false;
      clearInterval(timer);
    };
  }, []);
  return state;
}

function Fact({ name, value }) {
  return e(
    "div",
    { style: { minWidth: "8rem" } },
    e("dt", { style: { fontSize: "0.75rem", opacity: 0.75 } }, name),
    e("dd", { style: { margin: 0, fontWeight: 600 } }, value),
  );
}

function Health() {
  const { loading, error, data } = useOverview();
  const health = data && told(data);
  const verdict = loading ? "Reading…" : error ? error : health.well ? "All is well" : "Needs attention";
  const color = loading ? "#71717a" : health?.well ? "#15803d" : "#b45309";
  return e(
    "section",
    {
      "aria-label": "CRM Ops health",
      style: {
        border: "1px solid color-mix(in srgb, currentColor 18%, transparent)",
        borderRadius: "0.5rem",
        padding: "0.75rem 1rem",
        display: "flex",
        flexWrap: "wrap",
        alignItems: "center",
        gap: "0.75rem 2rem",
      },
    },
    e("span", { "aria-hidden": true, style: { width: 10, height: 10, borderRadius: 5, background: color } }),
    e(
      "div",
      { style: { minWidth: "9rem" } },
      e("div", { style: { fontWeight: 700 } }, "CRM Ops"),
      e("div", { role: "status", style: { fontSize: "0.85rem" } }, verdict),
    ),
    health &&
      e(
        "dl",
        { style: { display: "flex", flexWrap: "wrap", gap: "0.5rem 1.5rem", margin: 0, flex: 1 } },
        health.facts.map(([name, value]) => e(Fact, { key: name, name, value })),
      ),
    e(
      "a",
      { href: new URL("plugin/crm-ops", BASE).href, style: { textDecoration: "underline" } },
      "Open CRM Ops",
    ),
  );
}

globalThis["CRM Ops health"] = Health;
export default Health;
