// Requests to the server of the page. All addresses are relative, so that a proxy may put the page anywhere.

const BEAT_MS = 25_000; // without a sign of life for so long, the connection is broken
const MOST_RETRY_MS = 10_000;

// A token in the fragment of the address, `#token=...`, which no browser sends to a server: it opens the page inside a
// frame of another site, where browsers keep cookies back.
const token = new URLSearchParams(location.hash.slice(1)).get("token");

/** An answer that is an error; `status` is that of HTTP. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Answer of a GET, from JSON. */
export const ask = (path, parameters = {}) => answer(`${path}${query(parameters)}`, {});

/** Answer of a POST of JSON. */
export const post = (path, body) =>
  answer(path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });

/** The bytes of a file, as an address for an audio element. */
export async function blobUrl(path) {
  return URL.createObjectURL(await (await request(path, {})).blob());
}

/** Follow the live messages for ever: `take(kind, data)` for each, `state(text)` for the connection. */
export async function follow(take, state) {
  for (let retry = 500; ; retry = Math.min(2 * retry, MOST_RETRY_MS)) {
    try {
      await read(take, () => {
        retry = 500;
        state("live");
      });
    } catch (error) {
      if (error instanceof Refused && error.status === 401) throw error;
      state(error instanceof Refused ? error.message : "lost");
    }
    await new Promise((done) => setTimeout(done, retry));
  }
}

async function read(take, opened) {
  const stop = new AbortController();
  let timer = setTimeout(() => stop.abort(), BEAT_MS);
  try {
    const response = await request("api/live", { signal: stop.signal });
    opened();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new Error("the server has ended");
      clearTimeout(timer);
      timer = setTimeout(() => stop.abort(), BEAT_MS);
      const messages = (text + value).split("\n\n");
      text = messages.pop();
      for (const message of messages) {
        const [, kind, data] = /^event: (.*)\ndata: (.*)$/.exec(message) ?? [];
        if (kind) take(kind, JSON.parse(data));
      }
    }
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
}

async function answer(path, options) {
  return (await request(path, options)).json();
}

async function request(path, options) {
  const headers = token ? { ...options.headers, authorization: `Bearer ${token}` } : options.headers;
  const response = await fetch(path, { ...options, headers });
  if (!response.ok) {
    const { error } = await response.json().catch(() => ({ error: response.statusText }));
    throw new Refused(response.status, error);
  }
  return response;
}

function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}
