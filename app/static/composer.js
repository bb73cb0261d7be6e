// The question form.

import { getCreators, isUnauthenticated } from "./api.js";
import { Picker } from "./picker.js";
import { holdings } from "./messages.js";

const QUERY_LIMIT = 1_000;
const MAX_SUGGESTIONS = 6;

const $ = (id) => document.getElementById(id);

/** `ask` receives `{query, creator, name}`; `stop` stops the running answer. */
export class Composer {
  #picker;
  #ask;
  #say;
  #busy = false;

  constructor({ ask, stop, say }) {
    this.#ask = ask;
    this.#say = say;
    this.#picker = new Picker({
      input: $("creator"),
      list: $("creators"),
      clear: $("clear-creator"),
      say,
    });
    $("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    $("question").addEventListener("keydown", (event) => {
      // 229: Safari ends IME composition before it reports the Enter key.
      if (event.key !== "Enter" || event.shiftKey) return;
      if (event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.#submit();
    });
    $("question").addEventListener("input", () => this.#showLength());
    // Any key hides the hint, before the key is handled.
    document.addEventListener("keydown", () => ($("writing").hidden = true), { capture: true });
    $("stop").addEventListener("click", () => {
      stop();
      this.settle();
    });
    // The browser may have restored the text.
    this.#showLength();
  }

  /** Whether an answer is running. No other question is sent meanwhile. */
  set busy(is) {
    const [hidden, shown] = is ? [$("send"), $("stop")] : [$("stop"), $("send")];
    const focused = document.activeElement === hidden;
    this.#busy = is;
    $("writing").hidden = true;
    shown.hidden = false;
    if (focused) shown.focus();
    hidden.hidden = true;
  }

  /** Explain that a question is sent only after the running answer has ended. */
  decline() {
    $("writing").hidden = false;
    this.#say($("writing").textContent);
  }

  /** The creator of the next question; null for all creators. */
  set creator(creator) {
    this.#picker.set(creator);
  }

  /** Put a question back into the form. */
  edit({ query, creator, name }) {
    this.creator = creator ? { slug: creator, name } : null;
    $("question").value = query;
    this.#showLength();
    this.focus();
  }

  /** Focus the question field. */
  focus() {
    $("question").focus();
  }

  /** Focus the question field unless an on-screen keyboard would cover the answer. */
  settle() {
    if (matchMedia("(hover: none)").matches) $("question").blur();
    else this.focus();
  }

  /** Suggest a few creators; throws Refused if the user is not admitted. */
  async suggest() {
    const creators = await getCreators("").catch((error) => {
      if (isUnauthenticated(error)) throw error;
      return [];
    });
    const suggestions = creators.slice(0, MAX_SUGGESTIONS).map((creator) => {
      const item = $("suggestion").content.firstElementChild.cloneNode(true);
      item.querySelector(".name").textContent = creator.name;
      item.querySelector(".holdings").textContent = holdings(creator);
      item.querySelector("button").addEventListener("click", () => {
        this.#picker.choose(creator);
        this.focus();
      });
      return item;
    });
    $("suggested-creators").replaceChildren(...suggestions);
    $("suggestions").hidden = suggestions.length === 0;
    $("more-creators").hidden = creators.length <= MAX_SUGGESTIONS;
  }

  #submit() {
    const query = $("question").value.trim();
    if (this.#busy) {
      this.decline();
    } else if (query) {
      const creator = this.#picker.creator;
      $("question").value = "";
      this.#showLength();
      this.#ask({ query, creator: creator?.slug, name: creator?.name });
      this.settle();
    } else {
      this.focus();
    }
  }

  /** Show the length once it nears the limit. Only the service enforces the limit. */
  #showLength() {
    const length = Array.from($("question").value.trim()).length;
    $("length").hidden = length <= QUERY_LIMIT * 0.9;
    $("length").textContent = `${length} of ${QUERY_LIMIT} characters`;
    $("length").classList.toggle("over", length > QUERY_LIMIT);
  }
}
