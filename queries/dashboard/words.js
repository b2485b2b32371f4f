// How figures are written: short, with their unit, and in the same width as long as they are of the same size.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const NOTHING = "–";

const trimmed = (value, digits) => Number(value.toPrecision(digits)).toString();

export const count = (value) => (value == null ? NOTHING : whole.format(value));

export function rate(value) {
  if (value == null) return NOTHING;
  return `${value >= 10 ? whole.format(value) : trimmed(value, 2)}/s`;
}

export function seconds(value) {
  if (value == null) return NOTHING;
  if (value === 0) return "0 s";
  if (value < 1) return `${Math.max(1, Math.round(value * 1000))} ms`;
  if (value < 60) return `${value < 10 ? value.toFixed(1) : Math.round(value)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min ${Math.floor(value % 60)} s`;
  if (value < 86400) return `${Math.floor(value / 3600)} h ${Math.floor((value % 3600) / 60)} min`;
  return `${Math.floor(value / 86400)} d ${Math.floor((value % 86400) / 3600)} h`;
}

export const milliseconds = (value) => (value == null ? NOTHING : seconds(value / 1000));

export function bytes(value) {
  if (value == null) return NOTHING;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export const clock = (moment) => moment.toLocaleTimeString("en-GB");

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** A figure that a hop tells of itself: its unit is in its name. */
export function figure(name, value) {
  const [, label, unit] = /^(.*?)(?:_(bytes|seconds|s|ms))?$/.exec(name);
  const units = { bytes, seconds, s: seconds, ms: milliseconds };
  const text = value == null ? NOTHING : typeof value === "number" ? (units[unit] ?? count)(value) : String(value);
  return [label.replaceAll("_", " "), text];
}

/** How old what is shown is; never negative where clocks disagree. */
export const age = (iso, now) => (iso == null ? null : Math.max(0, (now - new Date(iso)) / 1000));
