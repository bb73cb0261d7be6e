// Renders untrusted Markdown with named citation marks (see marks.js) as safe DOM nodes.
//
// HTML in the text is ignored except for line breaks. Images become their descriptions, links lead
// to the web or become plain text, and the text cannot choose ids, classes or styles.

import { markAt, nextMark, withoutNames } from "./marks.js";
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
const BLOCKS = "p, h3, ul, ol, blockquote, th, td";

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

/** Parse a text into blocks `{blank, length, nodes}`; `length` is that of the Markdown. */
export function blocksOf(named, button) {
  try {
    return markdown.lexer(named).map((token) => ({
      blank: token.type === "space",
      length: withoutNames(token.raw).length,
      nodes: nodesOf(withoutNames(markdown.parser([token])), button),
    }));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    // Nested too deeply for the stack.
    const text = withoutNames(named);
    const paragraph = document.createElement("p");
    paragraph.textContent = text;
    return [{ blank: false, length: text.length, nodes: [paragraph] }];
  }
}

function nodesOf(html, button) {
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
  for (const link of fragment.querySelectorAll("a")) secureLink(link);
  for (const block of fragment.querySelectorAll(BLOCKS)) block.dir = "auto";
  for (const wide of fragment.querySelectorAll("pre, table")) makeScrollable(wide);
  return Array.from(fragment.childNodes).filter((node) => node.nodeType === Node.ELEMENT_NODE);
}

function secureLink(link) {
  const url = webAddress(link.href);
  if (!url) {
    link.replaceWith(...link.childNodes);
    return;
  }
  link.target = "_blank";
  link.rel = "noopener noreferrer nofollow";
  // The text of a link is untrusted, so show where it leads.
  if (!beginsWithHost(link.textContent, url.host)) {
    const where = document.createElement("bdi");
    where.className = "host";
    where.dir = "ltr";
    where.textContent = `(${url.host})`;
    link.append(" ", where);
  }
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
