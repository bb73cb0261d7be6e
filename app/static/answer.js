// Renders an answer while it streams, at most once per frame.
//
// Blocks before the last two cannot change any more; they are not parsed or touched again until the
// answer is complete, so a long answer costs no more per frame than a short one.

import { blocksOf } from "./markdown.js";
import { guessedMarks, inUnits, withNames } from "./marks.js";
import { patchChildren } from "./patch.js";

const OPEN_BLOCKS = 2;
// Idle time after a render, as a multiple of the time it took, so that the page stays responsive.
const IDLE_RATIO = 3;

/** One answer, rendered into `element`. `button(number)` creates the button of a citation mark. */
export class Answer {
  text = "";
  #element;
  #button;
  #sources = new Set();
  #settled = { length: 0, nodes: 0 };
  #frame = 0;
  #idleUntil = 0;

  constructor(element, button) {
    this.#element = element;
    this.#button = button;
  }

  /** Clear the answer. Marks may cite these sources. */
  begin(sources) {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#sources = new Set(sources.map(({ number }) => number));
    this.#settled = { length: 0, nodes: 0 };
    this.text = "";
    this.#element.replaceChildren();
  }

  /** Append a piece; it is rendered with the next frame. */
  add(piece) {
    this.text += piece;
    this.#frame ||= requestAnimationFrame((now) => this.#tick(now));
  }

  #tick(now) {
    if (now < this.#idleUntil) {
      this.#frame = requestAnimationFrame((later) => this.#tick(later));
      return;
    }
    this.#frame = 0;
    this.#draw();
    this.#idleUntil = now + IDLE_RATIO * (performance.now() - now);
  }

  /**
   * Render the complete answer. `citations` are the service's marks, `{number, start, end}` in code
   * points; null if they are unknown, then every `[n]` that names a source is a mark.
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

  /** The text for screen readers, without citation marks. */
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
    // If the parser normalised the text (line endings), offsets into it are not valid.
    if (total !== length || full.length <= OPEN_BLOCKS) return;
    for (const block of blocks.slice(0, full.at(-OPEN_BLOCKS))) {
      this.#settled.length += block.length;
      this.#settled.nodes += block.nodes.length;
    }
  }
}
