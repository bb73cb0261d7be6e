// Renders an answer while it streams, at most once per frame.
//
// Chunks before the last two cannot change any more; they are not parsed or touched again until the
// answer is complete, so a long answer costs no more per frame than a short one.

import { chunksOfNodes } from "./markdown.js";
import { guessedMarks, inUnits } from "./marks.js";
import { patchChildren } from "./patch.js";
import { webAddress } from "./player.js";

const OPEN_CHUNKS = 2;
// Idle time after a render, as a multiple of the time it took, so that the page stays responsive.
const IDLE_RATIO = 3;

/** One answer, rendered into `element`. `button(number)` creates the button of a citation mark. */
export class Answer {
  text = "";
  #element;
  #button;
  #sources = new Set();
  #hosts = new Set();
  #settled = { length: 0, nodes: 0 };
  #frame = 0;
  #idleUntil = 0;

  constructor(element, button) {
    this.#element = element;
    this.#button = button;
  }

  /** Clear the answer. Marks may cite these sources, and links may lead to their hosts. */
  begin(sources) {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#sources = new Set(sources.map(({ number }) => number));
    this.#hosts = new Set(sources.map(({ url }) => webAddress(url)?.host).filter(Boolean));
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
    const nodes = this.#chunks(this.text, marks).flatMap((chunk) => chunk.nodes);
    patchChildren(this.#element, 0, nodes);
  }

  /** The text for screen readers, without citation marks. */
  get spoken() {
    const blocks = Array.from(this.#element.children, (block) => {
      const copy = block.cloneNode(true);
      for (const mark of copy.querySelectorAll(".mark")) mark.remove();
      return copy.textContent.trim();
    });
    return blocks.join("\n");
  }

  #draw() {
    const open = this.text.slice(this.#settled.length);
    const chunks = this.#chunks(open, guessedMarks(open, this.#sources));
    const nodes = chunks.flatMap((chunk) => chunk.nodes);
    patchChildren(this.#element, this.#settled.nodes, nodes);
    for (const chunk of chunks.slice(0, -OPEN_CHUNKS)) {
      this.#settled.length += chunk.length;
      this.#settled.nodes += chunk.nodes.length;
    }
  }

  #chunks(text, marks) {
    return chunksOfNodes(text, marks, this.#button, this.#hosts);
  }
}
