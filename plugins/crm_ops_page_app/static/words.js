// Numbers, sizes and moments as people read them. Moments are in UTC, as everywhere in CRM Ops.

import { h } from "./dom.js";

const NUMBER = new Intl.NumberFormat("en");

export function number(value) {
  return value == null ? "–" : NUMBER.format(value);
}

export function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

export function bytes(value) {
  if (value == null) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  let size = value;
  while (size >= 1000 && at < units.length - 1) {
    size /= 1000;
    at += 1;
  }
  return `${size >= 100 || at === 0 ? Math.round(size) : size.toFixed(1)} ${units[at]}`;
}

export function took(milliseconds) {
  if (milliseconds == null) return "–";
  if (milliseconds < 1000) return `${milliseconds} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  const minutes = Math.floor(milliseconds / 60_000);
  return `${minutes} min ${Math.round((milliseconds % 60_000) / 1000)} s`;
}

export function utc(moment) {
  return `${new Date(moment).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

export function clock(moment) {
  return `${new Date(moment).toISOString().slice(11, 19)} UTC`;
}

export function span(seconds) {
  const steps = [
    [60, 1, "s"],
    [3600, 60, "min"],
    [86_400, 3600, "h"],
    [Infinity, 86_400, "d"],
  ];
  const [, unit, name] = steps.find(([limit]) => seconds < limit);
  return `${Math.floor(seconds / unit)} ${name}`;
}

// The browser's clock may be wrong; ages are told by the server's.
let ahead = 0;

export function setClock(serverMoment) {
  ahead = Date.now() - new Date(serverMoment).getTime();
}

function relative(moment) {
  const seconds = (Date.now() - ahead - new Date(moment).getTime()) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  return seconds < 0 ? `in ${span(-seconds)}` : `${span(seconds)} ago`;
}

// A moment as an age, which `tick` keeps true; the moment itself is its title and its machine form.
export function ago(moment) {
  if (!moment) return "–";
  return h("time", { datetime: moment, title: utc(moment) }, relative(moment));
}

export function tick() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const text = relative(time.dateTime);
    if (time.textContent !== text) time.textContent = text;
  }
}
