// How the page hears of the pipeline: the event stream, and /health every few seconds where that does not come through.
// It is read with fetch, as an EventSource can send no token.

const KEY = "readside-token";
const SILENT_MS = 40_000; // twice the server's heartbeat and more
const FIRST_MS = 6_000; // something between us holds the stream back when nothing has come by then
const POLL_MS = 5_000;
const PAUSES_MS = [500, 1_000, 2_000, 4_000, 8_000, 15_000];

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (text) => sessionStorage.setItem(KEY, text),
  forget: () => sessionStorage.removeItem(KEY),
};

/** What the server refuses, with the problem's words. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `The server answered ${status}.`);
    this.status = status;
    this.problem = problem;
  }
}

/** fetch with the token, if there is one. Throws Refused, and TypeError when nobody answers. */
export async function ask(path, { headers = {}, ...options } = {}) {
  const given = token.get();
  const answer = await fetch(path, {
    cache: "no-store",
    ...options,
    headers: { ...headers, ...(given ? { Authorization: `Bearer ${given}` } : {}) },
  });
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

/**
 * Follow the pipeline for as long as the page lives. `told`: history(columns), look(look), link(state, since) and
 * refused(error), which returns when there is another token to try.
 */
export async function follow(told) {
  let failures = 0;
  let heard = Date.now();
  for (;;) {
    try {
      await stream((name, data) => {
        failures = 0;
        heard = Date.now();
        told.link("live", heard);
        told[name]?.(data);
      });
      await pause(PAUSES_MS[0]); // it ended in order: the server stops, or wants to see the token again
    } catch (error) {
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) {
        await told.refused(error);
        continue;
      }
      failures += 1;
      const until = Date.now() + PAUSES_MS[Math.min(failures, PAUSES_MS.length) - 1];
      do {
        const polled = failures > 1 && (await poll(told));
        if (polled) heard = Date.now();
        told.link(polled ? "polled" : "lost", heard);
        await pause(Math.min(POLL_MS, Math.max(100, until - Date.now())));
      } while (Date.now() < until);
    }
  }
}

async function poll(told) {
  try {
    told.look(await (await ask("health", { signal: AbortSignal.timeout(POLL_MS) })).json());
    return true;
  } catch {
    return false;
  }
}

async function stream(hear) {
  const gone = new AbortController();
  let watchdog = setTimeout(() => gone.abort(), FIRST_MS);
  try {
    const answer = await ask("events", { signal: gone.signal, headers: { Accept: "text/event-stream" } });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(watchdog);
      watchdog = setTimeout(() => gone.abort(), SILENT_MS);
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const { event: name, data } = fields(event);
        if (name && data) hear(name, JSON.parse(data));
      }
    }
  } finally {
    clearTimeout(watchdog);
    gone.abort();
  }
}

function fields(event) {
  const found = {};
  for (const line of event.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) found[line.slice(0, colon)] = line.slice(colon + 1).trimStart();
  }
  return found;
}
