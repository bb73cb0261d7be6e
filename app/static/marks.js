// Markdown and the places of its citation marks come in; what stands at such a place goes out.
//
// A mark is known by its place, never by its looks. So before the text is parsed each mark is given
// a name that nobody who writes the text can know, and whatever is not taken for a mark in the end
// (in code, in an address) gets its own looks back.

const SECRET = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) =>
  byte.toString(16).padStart(2, "0"),
).join("");
const NAMED = new RegExp(`^\\[mark${SECRET}n(\\d+)\\]`);
const ANYWHERE = new RegExp(`(?:\\[|%5B)mark${SECRET}n(\\d+)(?:\\]|%5D)`, "g");

/** Where a named mark begins in a text; -1 where none does. */
export const nextMark = (text) => text.indexOf(`[mark${SECRET}n`);

/** Return the number of the mark with which a text begins, and the length of its name. */
export function markAt(text) {
  const found = NAMED.exec(text);
  return found && { number: Number(found[1]), length: found[0].length };
}

/** Give names to the marks `{number, start, end}` of a text, whose places are in UTF-16 units. */
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

/** Give marks their looks back. */
export const withoutNames = (text) => text.replace(ANYWHERE, "[$1]");

/** Guess the marks of a text whose end has not come: all that name one of the sources. */
export function guessedMarks(text, sources) {
  return Array.from(text.matchAll(/\[(\d{1,3})\]/g), (found) => ({
    number: Number(found[1]),
    start: found.index,
    end: found.index + found[0].length,
  })).filter(({ number }) => sources.has(number));
}

/** Turn places counted in code points, in order, into such that are counted in UTF-16 units. */
export function inUnits(text, marks) {
  let points = 0;
  let units = 0;
  const unitsAt = (place) => {
    for (; points < place && units < text.length; points += 1) {
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
