// Asks a question with @microsoft/fetch-event-source, which reconnects by itself. Arguments: URL,
// question. Prints a line of JSON for each event of the answer, and one when the stream has ended.

// The client is written for browsers and uses these globals.
globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
const { fetchEventSource } = await import("@microsoft/fetch-event-source");

const [url, query] = process.argv.slice(2);
const print = (line) => console.log(JSON.stringify(line));
let end;

await fetchEventSource(url, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ query }),
  onmessage({ id, event, data }) {
    // The client reports a heartbeat, which is a comment, as an empty message.
    if (!data) return;
    print({ id, event, data: JSON.parse(data) });
    if (event === "done" || event === "error") end = event;
  },
  onclose() {
    // The client treats a closed connection as the end of the stream unless this throws.
    if (!end) throw new Error("the stream was cut off");
  },
});
print({ end });
