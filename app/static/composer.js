// What is typed, and whom it is for, come in; a question goes out.

import { getCreators } from "./api.js";
import { Picker } from "./picker.js";
import { holdings } from "./words.js";

const QUERY_LIMIT = 1_000;
const MOST_OFFERS = 6;

const $ = (id) => document.getElementById(id);

/** The form. `ask` takes `{query, creator, name}`; `stop` ends the answer that is being given. */
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
      clear: $("everyone"),
      say,
    });
    $("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    $("question").addEventListener("keydown", (event) => {
      // 229: Safari ends the composing of a word before it tells of its Enter.
      if (event.key !== "Enter" || event.shiftKey) return;
      if (event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.#submit();
    });
    $("question").addEventListener("input", () => this.#measure());
    // Any key, wherever it is pressed, and before it does what it is pressed for.
    document.addEventListener("keydown", () => ($("writing").hidden = true), { capture: true });
    $("stop").addEventListener("click", () => {
      stop();
      this.rest();
    });
    // The browser may have kept what was typed.
    this.#measure();
  }

  /** Whether an answer is being given: then nothing else is asked. */
  set busy(is) {
    const [going, coming] = is ? [$("send"), $("stop")] : [$("stop"), $("send")];
    const focused = document.activeElement === going;
    this.#busy = is;
    $("writing").hidden = true;
    coming.hidden = false;
    if (focused) coming.focus();
    going.hidden = true;
  }

  /** Say that nothing else is asked while an answer is being given. */
  decline() {
    $("writing").hidden = false;
    this.#say($("writing").textContent);
  }

  /** Have the next question asked of this creator, null for everyone. */
  set creator(creator) {
    this.#picker.set(creator);
  }

  /** Put a question into the form. */
  edit({ query, creator, name }) {
    this.creator = creator ? { slug: creator, name } : null;
    $("question").value = query;
    this.#measure();
    this.focus();
  }

  /** Be ready for the next question. */
  focus() {
    $("question").focus();
  }

  /** The same while an answer is read: a keyboard on the screen would cover it. */
  rest() {
    if (matchMedia("(hover: none)").matches) $("question").blur();
    else this.focus();
  }

  /** Offer a few creators to begin with. */
  async offer() {
    const creators = await getCreators("").catch(() => []);
    const offers = creators.slice(0, MOST_OFFERS).map((creator) => {
      const item = $("offer").content.firstElementChild.cloneNode(true);
      item.querySelector(".name").textContent = creator.name;
      item.querySelector(".has").textContent = holdings(creator);
      item.querySelector("button").addEventListener("click", () => {
        this.#picker.choose(creator);
        this.focus();
      });
      return item;
    });
    $("offers").replaceChildren(...offers);
    $("offered").hidden = offers.length === 0;
    $("unoffered").hidden = creators.length <= MOST_OFFERS;
  }

  #submit() {
    const query = $("question").value.trim();
    if (this.#busy) {
      this.decline();
    } else if (query) {
      const creator = this.#picker.creator;
      $("question").value = "";
      this.#measure();
      this.#ask({ query, creator: creator?.slug, name: creator?.name });
      this.rest();
    } else {
      this.focus();
    }
  }

  /** Say how long a question has become, where that matters; the service alone refuses it. */
  #measure() {
    const length = Array.from($("question").value.trim()).length;
    $("length").hidden = length <= QUERY_LIMIT * 0.9;
    $("length").textContent = `${length} of ${QUERY_LIMIT} characters`;
    $("length").classList.toggle("over", length > QUERY_LIMIT);
  }
}
