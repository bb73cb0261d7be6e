// Citation marks in Markdown.
//
// A mark is identified by its position, never by how it looks. Before parsing, each mark is replaced
// by a name that contains a secret, which the author of the text cannot know. Where the parser does
// not take it for a mark (in code, in an address), the original text is restored.

const SECRET = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) =>
  byte.toString(16).padStart(2, "0"),
).join("");
const NAMED = new RegExp(`^\\[mark${SECRET}n(\\d+)\\]`);
const ANYWHERE = new RegExp(`(?:\\[|%5B)mark${SECRET}n(\\d+)(?:\\]|%5D)`, "g");

/** Index of the first named mark in a text, or -1. */
export const nextMark = (text) => text.indexOf(`[mark${SECRET}n`);

/** The mark at the start of a text, `{number, length}`, or null. */
export function markAt(text) {
  const found = NAMED.exec(text);
  return found && { number: Number(found[1]), length: found[0].length };
}

/** Replace the marks `{number, start, end}` of a text, in UTF-16 units, by their names. */
export function withNames(text, marks) {
  let named = "";
  let at = 0;
  for (const { number, start, end } of marks) {
    if (start < at || text.slice(start, end) !== `[${number}]`) continue;
    named += `${text.slice(at, start)}[mark${SECRET}n${number}]`;
    at = end;
  }
  return named + text.slice(at);
}

/** Restore the original text of all marks. */
export const withoutNames = (text) => text.replace(ANYWHERE, "[$1]");

/** Marks of a text that is still streaming: every `[n]` that names a source. */
export function guessedMarks(text, sources) {
  return Array.from(text.matchAll(/\[(\d{1,3})\]/g), (found) => ({
    number: Number(found[1]),
    start: found.index,
    end: found.index + found[0].length,
  })).filter(({ number }) => sources.has(number));
}

/** Convert marks, in order, from code points to UTF-16 units. */
export function inUnits(text, marks) {
  let points = 0;
  let units = 0;
  const unitsAt = (point) => {
    for (; points < point && units < text.length; points += 1) {
      units += text.codePointAt(units) > 0xffff ? 2 : 1;
    }
    return units;
  };
  return marks.map(({ number, start, end }) => ({
    number,
    start: unitsAt(start),
    end: unitsAt(end),
  }));
}
