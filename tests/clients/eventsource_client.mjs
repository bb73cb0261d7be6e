// Asks a question with eventsource-client, which reconnects by itself. Arguments: URL, question.
// Prints a line of JSON for each event of the answer, and one when the stream has ended.
import { createEventSource } from "eventsource-client";

const [url, query] = process.argv.slice(2);
const print = (line) => console.log(JSON.stringify(line));

const source = createEventSource({
  url,
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ query }),
  onMessage({ id, event, data }) {
    print({ id, event, data: JSON.parse(data) });
    if (event === "done" || event === "error") {
      source.close();
      print({ end: event });
    }
  },
});
