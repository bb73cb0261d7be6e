// The source panel: title, creator, time, snippet and link of one source.

import { playerFrame, playerOf, webAddress } from "./player.js";
import { clock, kindText, linkText } from "./messages.js";

/** The panel shows one source at a time. */
export class Panel {
  #element;
  #origin = null;

  constructor(element) {
    this.#element = element;
    this.#part("close").addEventListener("click", () => this.close());
    this.#part("play").addEventListener("click", () => this.#play());
  }

  /** Whether a source is open. */
  get isOpen() {
    return !this.#element.hidden;
  }

  get hasFocus() {
    return this.#element.contains(document.activeElement);
  }

  /** Open a source. `origin()` returns the element that gets the focus back. */
  open(source, origin) {
    this.#origin = origin;
    this.source = source;
    this.#part("number").textContent = source.number;
    this.#part("kind").textContent = kindText(source);
    this.#part("title").textContent = source.title;
    this.#part("creator").textContent = source.creator.name;
    this.#part("topic").textContent = source.topic ?? "";
    this.#part("snippet").textContent = source.snippet;
    this.#showTime(source);
    this.#showLinks(source);
    this.#element.hidden = false;
    this.#element.scrollTop = 0;
    document.documentElement.classList.add("has-panel");
    this.#part("title").focus({ preventScroll: true });
  }

  /** Close the panel and stop the player. */
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

  #showLinks(source) {
    const url = webAddress(source.url);
    const link = this.#part("link");
    link.hidden = !url;
    if (url) link.href = url.href;
    else link.removeAttribute("href");
    this.#part("link-text").textContent = linkText(source);
    this.#part("host").textContent = url?.host ?? "";
    this.#part("no-link").hidden = Boolean(url);

    this.player = source.kind === "moment" ? playerOf(source.url, source.start_seconds) : null;
    this.#part("player").replaceChildren();
    this.#part("play").hidden = !this.player;
    this.#part("player-host").textContent = this.player?.host ?? "";
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
