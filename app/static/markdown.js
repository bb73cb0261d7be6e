// Renders untrusted Markdown with named citation marks (see marks.js) as safe DOM nodes.
//
// HTML in the text is ignored except for line breaks. Images become their descriptions. Links lead to
// the hosts of the answer's sources, all others become plain text. The text cannot choose ids, classes
// or styles. What would take the parser too long is shown as it is.

import { chunksOf } from "./chunks.js";
import { markAt, nextMark, withNames, withoutNames } from "./marks.js";
import { webAddress } from "./player.js";
import DOMPurify from "./vendor/dompurify.js";
import { Marked, Tokenizer } from "./vendor/marked.js";

const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const WEB = /^https?:\/\/[^\s]/i;
const ALLOWED = {
  ALLOWED_TAGS: (
    "a blockquote br cite code del em h3 hr li ol p pre strong table tbody td th thead tr ul"
  ).split(" "),
  ALLOWED_ATTR: ["href", "start"],
  ALLOWED_URI_REGEXP: WEB,
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};
// A few kilobytes of text can make a table of millions of cells, as each row is padded to the first.
const MAX_COLUMNS = 30;
// Each has its own direction: one for the whole answer would be computed again with each new block.
const BLOCKS = "p, h3, ul, ol, blockquote, table, th, td";
// The parser's time grows with the square of these: delimiters, words without a space, and nesting.
const MAX_DELIMITERS = 400;
const DELIMITERS = /[*_~]+|\[/g;
const LONG_WORD = /[!-~]{2000}/;
const NESTED = /^(?:[ \t]*(?:[-*+>]|\d{1,9}[.)])){20}/m;
// Milliseconds after which the rest of a text is shown as it is.
const MAX_TIME = 400;

// A tokenizer returns `undefined` for no match.
const markdown = new Marked({
  tokenizer: {
    html: () => undefined,
    def: () => undefined,
    table(source) {
      const columns = source.slice(0, source.indexOf("\n")).split("|").length;
      return columns > MAX_COLUMNS ? undefined : Tokenizer.prototype.table.call(this, source);
    },
    tag(source) {
      const found = /^<br\s*\/?>/i.exec(source);
      return found ? { type: "br", raw: found[0] } : undefined;
    },
    url(source) {
      // A mark right after an address is not part of it.
      const mark = nextMark(source);
      return Tokenizer.prototype.url.call(this, mark < 0 ? source : source.slice(0, mark));
    },
  },
  renderer: {
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    heading({ tokens }) {
      return `<h3>${this.parser.parseInline(tokens)}</h3>`;
    },
    html: ({ text }) => escaped(text),
    image: ({ text }) => escaped(text),
    link({ href, tokens }) {
      const inner = this.parser.parseInline(tokens);
      return WEB.test(href) ? `<a href="${escaped(href)}">${inner}</a>` : inner;
    },
  },
  extensions: [
    {
      name: "mark",
      level: "inline",
      start: (source) => {
        const at = nextMark(source);
        return at < 0 ? undefined : at;
      },
      tokenizer(source) {
        const mark = markAt(source);
        return mark
          ? { type: "mark", raw: source.slice(0, mark.length), number: mark.number }
          : undefined;
      },
      renderer: ({ number }) => `<cite>${number}</cite>`,
    },
  ],
});

/**
 * Render a text as chunks `{length, nodes}`; see `chunksOf`. `marks` are `{number, start, end}` in
 * UTF-16 units, `button(number)` creates the button of one, and links lead to `hosts` only.
 */
export function chunksOfNodes(text, marks, button, hosts) {
  const ends = performance.now() + MAX_TIME;
  let start = 0;
  let first = 0;
  const render = (part) => {
    const end = start + part.length;
    const own = [];
    for (; first < marks.length && marks[first].start < end; first += 1) {
      const { number, start: from, end: to } = marks[first];
      own.push({ number, start: from - start, end: to - start });
    }
    start = end;
    if (isCostly(part) || performance.now() > ends) return [unparsed(part)];
    return parsed(part, own, button, hosts);
  };
  return Array.from(chunksOf(text), (chunk) => {
    // Only the costly blocks of a chunk are shown as they are.
    const parts = isCostly(chunk) ? Array.from(chunksOf(chunk, 1)) : [chunk];
    return { length: chunk.length, nodes: parts.flatMap(render) };
  });
}

function isCostly(text) {
  const delimiters = text.match(DELIMITERS)?.length ?? 0;
  return delimiters > MAX_DELIMITERS || LONG_WORD.test(text) || NESTED.test(text);
}

function unparsed(text) {
  const paragraph = document.createElement("p");
  paragraph.className = "plain";
  paragraph.dir = "auto";
  paragraph.textContent = text.trimEnd();
  return paragraph;
}

function parsed(text, marks, button, hosts) {
  const html = withoutNames(markdown.parse(withNames(text, marks)));
  return nodesOf(html, button, hosts);
}

function nodesOf(html, button, hosts) {
  const fragment = DOMPurify.sanitize(html, ALLOWED);
  for (const cite of fragment.querySelectorAll("cite")) {
    // A button must not be inside a link: put it after the link.
    const link = cite.closest("a");
    const mark = button(Number(cite.textContent));
    if (link) {
      cite.remove();
      link.after(mark);
    } else {
      cite.replaceWith(mark);
    }
  }
  for (const link of fragment.querySelectorAll("a")) secureLink(link, hosts);
  for (const block of fragment.querySelectorAll(BLOCKS)) block.dir = "auto";
  for (const wide of fragment.querySelectorAll("pre, table")) makeScrollable(wide);
  return Array.from(fragment.childNodes).filter((node) => node.nodeType === Node.ELEMENT_NODE);
}

function secureLink(link, hosts) {
  const url = webAddress(link.href);
  if (!url || !hosts.has(url.host)) {
    const text = document.createElement("bdi");
    text.append(...link.childNodes);
    const shown = !url || bare(text.textContent) === bare(url.href);
    link.replaceWith(text, ...(shown ? [] : [" ", place(url.href)]));
    return;
  }
  link.target = "_blank";
  link.rel = "noopener noreferrer nofollow";
  // The text of a link is untrusted, so show where it leads.
  if (!beginsWithHost(link.textContent, url.host)) link.append(" ", place(url.host));
}

function place(address) {
  const where = document.createElement("bdi");
  where.className = "host";
  where.dir = "ltr";
  where.textContent = `(${address})`;
  return where;
}

function bare(address) {
  return address.toLowerCase().replace(/^https?:\/\//, "").replace(/\/$/, "");
}

function beginsWithHost(text, host) {
  const words = text.toLowerCase().replace(/^https?:\/\//, "");
  return words.startsWith(host) && /^(?:[/?#]|$)/.test(words.slice(host.length));
}

function makeScrollable(wide) {
  const frame = document.createElement("div");
  frame.className = "wide";
  frame.tabIndex = 0;
  frame.role = "group";
  frame.ariaLabel = wide.localName === "pre" ? "Code" : "Table";
  wide.replaceWith(frame);
  frame.append(wide);
}

function escaped(text) {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]);
}
