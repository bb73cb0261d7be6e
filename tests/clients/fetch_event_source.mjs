// A URL and a question come in; a line of JSON for each event of the answer, and one for its end,
// goes out. Asked with npm's @microsoft/fetch-event-source, which comes back by itself.

// It is made for browsers, and looks for these two.
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
    // A heartbeat, which is a comment, comes out as a message with nothing in it.
    if (!data) return;
    print({ id, event, data: JSON.parse(data) });
    if (event === "done" || event === "error") end = event;
  },
  onclose() {
    // It takes any end of a connection for the end of the stream, unless it is told otherwise.
    if (!end) throw new Error("cut off");
  },
});
print({ end });
