// Splits Markdown into chunks of limited length that can be rendered one by one.

// A chunk ends where a block begins, once it has this many characters.
const MIN_LENGTH = 2_000;
// Longer ones are cut, code blocks later.
const MAX_LENGTH = 8_000;
const MAX_CODE_LENGTH = 16_000;
// How much of a line is looked at.
const LINE_START = 200;

const FENCE = /^ {0,3}(`{3,}(?=[^`]*$)|~{3,})/;
// After a blank line, these may continue a list.
const CONTINUES = /^(?:\s|[-*+](?:\s|$)|\d{1,9}(?:[.)]\s|[.)]?$))/;

/**
 * Yield the chunks of a text; each has at least `least` characters before the next one begins. If
 * text is appended, all chunks but the last two stay the same.
 */
export function* chunksOf(text, least = MIN_LENGTH) {
  let start = 0;
  let fence = "";
  let afterBlank = false;
  for (let at = 0, end; at < text.length; at = end) {
    end = text.indexOf("\n", at) + 1 || text.length;
    const line = text.slice(at, Math.min(end, at + LINE_START)).trimEnd();
    const begins = afterBlank && line !== "" && !fence && !CONTINUES.test(line);
    const longest = fence ? MAX_CODE_LENGTH : MAX_LENGTH;
    if (at > start && ((begins && at - start >= least) || end - start > longest)) {
      yield text.slice(start, at);
      start = at;
    }
    while (end - start > longest) {
      const cut = cutBefore(text, start + longest);
      yield text.slice(start, cut);
      start = cut;
    }
    afterBlank = line === "";
    const [, found] = FENCE.exec(line) ?? [];
    if (!fence) fence = found ?? "";
    else if (found?.startsWith(fence) && line.trim() === found) fence = "";
  }
  if (start < text.length) yield text.slice(start);
}

/** Where to cut a long line: after a space if one is near, and never within a character. */
function cutBefore(text, limit) {
  const space = text.slice(limit - LINE_START, limit).lastIndexOf(" ");
  if (space >= 0) return limit - LINE_START + space + 1;
  const unit = text.charCodeAt(limit);
  return unit >= 0xdc00 && unit <= 0xdfff ? limit - 1 : limit;
}
