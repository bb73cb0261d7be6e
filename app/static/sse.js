// The text of an event stream comes in, cut anywhere; its events go out.

/** A parser for one connection. Lines end with LF, CRLF or CR, and with nothing else. */
export class EventParser {
  #rest = "";
  #afterCR = false;
  #id = "";
  #name = "";
  #data = [];

  /** Take the next piece; return the events `{id, name, data}` that are complete with it. */
  feed(text) {
    if (!text) return [];
    // A CRLF that was cut in two is one line's end.
    const piece = this.#afterCR && text.startsWith("\n") ? text.slice(1) : text;
    this.#afterCR = text.endsWith("\r");
    const lines = (this.#rest + piece).split(/\r\n|\n|\r/);
    this.#rest = lines.pop();
    return lines.map((line) => this.#take(line)).filter(Boolean);
  }

  #take(line) {
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

/** The connection broke, or never came about. */
export class Lost extends Error {}

/** Yield a response's events as they come; `heard` is called for each piece, comments too. */
export async function* eventsOf(response, heard) {
  const parser = new EventParser();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch(lost);
      if (done) return;
      heard();
      yield* parser.feed(value);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Throw `Lost` in place of what the network throws, which a fault of the page's own throws as well. */
export function lost(cause) {
  throw new Lost("the connection was lost", { cause });
}
