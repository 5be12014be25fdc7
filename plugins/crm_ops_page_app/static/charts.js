// Small charts as SVG, each with its meaning in words for who does not see it.

import { svg } from "./dom.js";
import { took, utc } from "./words.js";

const WIDTH = 560;
const HEIGHT = 44;
const EDGE = 4;

// How long the last runs took, as a line; a run that failed is a mark on it.
export function trend(points, name) {
  const done = points.filter((point) => point.took_ms != null);
  if (done.length < 2) return null;
  const most = Math.max(...done.map((point) => point.took_ms), 1);
  const x = (at) => EDGE + (at * (WIDTH - 2 * EDGE)) / (done.length - 1);
  const y = (value) => HEIGHT - EDGE - (value * (HEIGHT - 2 * EDGE)) / most;
  const spots = done.map((point, at) => `${x(at).toFixed(1)},${y(point.took_ms).toFixed(1)}`);
  const wrong = done.filter((point) => point.state !== "success").length;
  const last = done.at(-1).took_ms;
  const label =
    `${name}: the last ${done.length} runs took up to ${took(most)}, the last one ${took(last)}; ` +
    `${wrong} of them did not succeed`;
  return svg(
    "svg",
    { class: "trend", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
    svg("polygon", {
      class: "area",
      points: `${x(0)},${HEIGHT - EDGE} ${spots.join(" ")} ${x(done.length - 1)},${HEIGHT - EDGE}`,
    }),
    svg("polyline", { class: "line", points: spots.join(" ") }),
    done.map((point, at) =>
      svg(
        "circle",
        {
          class: point.state === "success" ? "spot" : "spot wrong",
          cx: x(at),
          cy: y(point.took_ms),
          r: point.state === "success" ? 3 : 3.5,
        },
        svg("title", {}, `${utc(point.started_at)}: ${point.state}, ${took(point.took_ms)}`),
      ),
    ),
  );
}

// A share as a bar.
export function bar(share, label) {
  return svg(
    "svg",
    { class: "share", viewBox: "0 0 100 6", preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("rect", { class: "track", width: 100, height: 6 }),
    svg("rect", { class: share < 1 ? "part wrong" : "part", width: 100 * share, height: 6 }),
  );
}
