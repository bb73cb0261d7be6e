// The pieces of an answer come in; they are shown as they come, at most once a frame.
//
// What lies more than a block behind the end of the text will not change any more, and is neither
// parsed nor touched again until the answer is complete: a long answer costs no more a frame than
// a short one.

import { blocksOf } from "./markdown.js";
import { guessedMarks, inUnits, withNames } from "./marks.js";
import { patchChildren } from "./patch.js";

const OPEN_BLOCKS = 2;
// After a drawing the page has so many times as long for everything else, however long a paragraph.
const REST = 3;

/** One answer, shown in `element`. `button` makes the button of a citation mark's number. */
export class Answer {
  text = "";
  #element;
  #button;
  #sources = new Set();
  #settled = { length: 0, nodes: 0 };
  #frame = 0;
  #rest = 0;

  constructor(element, button) {
    this.#element = element;
    this.#button = button;
  }

  /** Begin with nothing; marks may name these sources. */
  begin(sources) {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#sources = new Set(sources.map(({ number }) => number));
    this.#settled = { length: 0, nodes: 0 };
    this.text = "";
    this.#element.replaceChildren();
  }

  /** Show the next piece with the next frame. */
  add(piece) {
    this.text += piece;
    this.#frame ||= requestAnimationFrame((now) => this.#tick(now));
  }

  #tick(now) {
    if (now < this.#rest) {
      this.#frame = requestAnimationFrame((later) => this.#tick(later));
      return;
    }
    this.#frame = 0;
    this.#draw();
    this.#rest = now + REST * (performance.now() - now);
  }

  /**
   * Show all of it now, with its marks: those that the service says, `{number, start, end}` in code
   * points; without them, all that name a source.
   */
  finish(citations) {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const marks = citations
      ? inUnits(this.text, citations).filter(({ number }) => this.#sources.has(number))
      : guessedMarks(this.text, this.#sources);
    const nodes = this.#blocks(this.text, marks).flatMap((block) => block.nodes);
    patchChildren(this.#element, 0, nodes);
  }

  /** What it says, for those who listen: without its marks. */
  get spoken() {
    const copy = this.#element.cloneNode(true);
    for (const mark of copy.querySelectorAll(".mark")) mark.remove();
    return Array.from(copy.children, (block) => block.textContent.trim()).join("\n");
  }

  #draw() {
    const open = this.text.slice(this.#settled.length);
    const blocks = this.#blocks(open, guessedMarks(open, this.#sources));
    const nodes = blocks.flatMap((block) => block.nodes);
    patchChildren(this.#element, this.#settled.nodes, nodes);
    this.#settle(blocks, open.length);
  }

  #blocks(text, marks) {
    return blocksOf(withNames(text, marks), this.#button);
  }

  #settle(blocks, length) {
    const total = blocks.reduce((sum, block) => sum + block.length, 0);
    const full = blocks.flatMap((block, index) => (block.blank ? [] : [index]));
    // The parser may have changed a text, such as its line ends: then places in it mean nothing.
    if (total !== length || full.length <= OPEN_BLOCKS) return;
    for (const block of blocks.slice(0, full.at(-OPEN_BLOCKS))) {
      this.#settled.length += block.length;
      this.#settled.nodes += block.nodes.length;
    }
  }
}
