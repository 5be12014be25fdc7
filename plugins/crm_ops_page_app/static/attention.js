// What a person should look at first: only what is wrong now, each with the part that tells more.

import { h, put } from "./dom.js";
import { TITLES } from "./jobs.js";
import { plural } from "./words.js";

export function found({ status, failed, caches, incidents, minimum_runway_days: least }) {
  const all = [];
  for (const [name, last] of Object.entries(status.jobs)) {
    const title = TITLES[name] ?? name;
    if (!last) all.push([`#${name}`, `${title} has never run`]);
    else if (last.state === "failed") all.push([`#${name}`, `${title} failed`]);
    else if (last.state === "partial") {
      const tenants = failed[name]?.tenants;
      all.push([`#${name}`, `${title}: ${plural(tenants ?? 0, "tenant")} failed`]);
    }
  }
  const blind = status.capture.filter((each) => each.problem).map((each) => each.entity);
  if (blind.length) all.push(["#freshness", `Changes are not folded of ${blind.join(", ")}`]);
  if (status.audit && status.audit.runway_days < least) {
    all.push(["#audit", `The audit log has partitions for ${plural(status.audit.runway_days, "day")}`]);
  }
  if (caches.filled.some((each) => each.present < each.wanted)) {
    all.push(["#caches", "Redis did not hold everything after it was filled"]);
  }
  const open = incidents.filter((each) => !each.recovered_at).length;
  if (open) all.push(["#alerts", `${plural(open, "alert")} ${open === 1 ? "is" : "are"} open`]);
  return all;
}

export function show(section, overview) {
  const all = found(overview);
  section.hidden = all.length === 0;
  put(
    section,
    h(
      "ul",
      {},
      all.map(([where, what]) => h("li", {}, h("a", { href: where, "data-key": what }, what))),
    ),
  );
  return all.length;
}
