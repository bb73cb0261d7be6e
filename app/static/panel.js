// A source comes in; it is opened beside the answer: what, whose, when, and a way to go there.

import { playerFrame, playerOf, webAddress } from "./player.js";
import { clock, kindWords, wayWords } from "./words.js";

/** The one panel, in which one source at a time is open. */
export class Panel {
  #element;
  #origin = null;

  constructor(element) {
    this.#element = element;
    this.#part("close").addEventListener("click", () => this.close());
    this.#part("play").addEventListener("click", () => this.#play());
  }

  /** Whether a source is open, and whether the focus is in it. */
  get isOpen() {
    return !this.#element.hidden;
  }

  get hasFocus() {
    return this.#element.contains(document.activeElement);
  }

  /** Open a source. `origin` finds what the focus goes back to. */
  open(source, origin) {
    this.#origin = origin;
    this.source = source;
    this.#part("number").textContent = source.number;
    this.#part("kind").textContent = kindWords(source);
    this.#part("title").textContent = source.title;
    this.#part("creator").textContent = source.creator.name;
    this.#part("topic").textContent = source.topic ?? "";
    this.#part("snippet").textContent = source.snippet;
    this.#showTime(source);
    this.#showWays(source);
    this.#element.hidden = false;
    this.#element.scrollTop = 0;
    document.documentElement.classList.add("has-panel");
    this.#part("title").focus({ preventScroll: true });
  }

  /** Close it; what plays stops. */
  close() {
    if (!this.isOpen) return;
    const origin = this.hasFocus ? this.#origin?.() : null;
    this.#element.hidden = true;
    this.#part("player").replaceChildren();
    document.documentElement.classList.remove("has-panel");
    origin?.focus({ preventScroll: true });
  }

  #showTime({ start_seconds: start, end_seconds: end }) {
    this.#part("time").hidden = start === null;
    if (start === null) return;
    this.#part("time").textContent = end > start ? `${clock(start)} – ${clock(end)}` : clock(start);
  }

  #showWays(source) {
    const url = webAddress(source.url);
    const link = this.#part("link");
    link.hidden = !url;
    if (url) link.href = url.href;
    else link.removeAttribute("href");
    this.#part("way").textContent = wayWords(source);
    this.#part("host").textContent = url?.host ?? "";
    this.#part("nowhere").hidden = Boolean(url);

    this.player = source.kind === "moment" ? playerOf(source.url, source.start_seconds) : null;
    this.#part("player").replaceChildren();
    this.#part("play").hidden = !this.player;
    this.#part("from").textContent = this.player?.host ?? "";
  }

  #play() {
    const frame = playerFrame(this.player, this.source.title);
    this.#part("player").replaceChildren(frame);
    this.#part("play").hidden = true;
    frame.focus();
  }

  #part(name) {
    return this.#element.querySelector(`[data-part=${name}]`);
  }
}
