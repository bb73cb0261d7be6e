// Parser for server-sent events.

/** Parses the stream of one connection. Lines end with LF, CRLF or CR, and with nothing else. */
export class EventParser {
  #rest = "";
  #afterCR = false;
  #id = "";
  #name = "";
  #data = [];

  /** Feed a piece of text, split anywhere; returns the events `{id, name, data}` it completes. */
  feed(text) {
    if (!text) return [];
    // A CRLF split across two pieces is one line ending.
    const piece = this.#afterCR && text.startsWith("\n") ? text.slice(1) : text;
    this.#afterCR = text.endsWith("\r");
    const lines = (this.#rest + piece).split(/\r\n|\n|\r/);
    this.#rest = lines.pop();
    return lines.map((line) => this.#parseLine(line)).filter(Boolean);
  }

  #parseLine(line) {
    if (!line) return this.#dispatch();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#name = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    return null;
  }

  #dispatch() {
    const event = { id: this.#id, name: this.#name || "message", data: this.#data.join("\n") };
    const empty = this.#data.length === 0;
    this.#name = "";
    this.#data = [];
    return empty ? null : event;
  }
}

/** The connection failed. */
export class Lost extends Error {}

/** Yield a response's events; `onData` is called for each piece received, comments included. */
export async function* eventsOf(response, onData) {
  const parser = new EventParser();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch(lost);
      if (done) return;
      onData();
      yield* parser.feed(value);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Throw `Lost` instead of a network TypeError, which bugs in the page would raise as well. */
export function lost(cause) {
  throw new Lost("the connection was lost", { cause });
}
