// What is typed comes in; creators whose name begins so are offered, and the one chosen goes out.
//
// A combobox as the ARIA Authoring Practices describe it: the focus stays in the field, and
// `aria-activedescendant` names the option that the arrow keys have reached.

import { getCreators } from "./api.js";
import { counted, holdings } from "./words.js";

const PAUSE = 150;

/** The field, its list, and the button that empties it. */
export class Picker {
  #input;
  #list;
  #clear;
  #say;
  #chosen = null;
  #options = [];
  #active = -1;
  #timer = 0;
  #asking = new AbortController();

  constructor({ input, list, clear, say }) {
    this.#input = input;
    this.#list = list;
    this.#clear = clear;
    this.#say = say;
    input.addEventListener("input", () => this.#typed());
    input.addEventListener("keydown", (event) => this.#pressed(event));
    input.addEventListener("click", () => this.#list.hidden && this.#look());
    input.addEventListener("blur", () => this.#close());
    clear.addEventListener("click", () => this.choose(null));
    // Before the field loses the focus, and with it the list.
    list.addEventListener("pointerdown", (event) => event.preventDefault());
    list.addEventListener("click", ({ target }) => {
      const option = target.closest("[role=option]:not([aria-disabled])");
      if (option) this.choose(this.#options[Array.from(list.children).indexOf(option)]);
    });
  }

  /** Who is to be asked: as the service knows them, and as they are called; null for everyone. */
  get creator() {
    const typed = this.#input.value.trim();
    if (!typed) return null;
    return this.#chosen?.name === typed ? this.#chosen : { slug: typed, name: typed };
  }

  /** Choose a creator, or none. */
  choose(creator) {
    this.set(creator);
    this.#input.focus();
  }

  /** Have a creator chosen, or none, wherever the focus is. */
  set(creator) {
    this.#chosen = creator;
    this.#input.value = creator?.name ?? "";
    this.#clear.hidden = !creator;
    this.#close();
  }

  #typed() {
    this.#chosen = null;
    this.#clear.hidden = !this.#input.value;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), PAUSE);
  }

  async #look(reached) {
    clearTimeout(this.#timer);
    this.#asking.abort();
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    const prefix = this.#chosen ? "" : this.#input.value.trim();
    try {
      const found = await getCreators(prefix, signal);
      if (!signal.aborted) this.#show(found, reached);
    } catch {
      if (!signal.aborted) this.#note("The creators cannot be listed at the moment.");
    }
  }

  #show(creators, reached) {
    // Whoever has chosen one may go back to all of them.
    this.#options = this.#chosen ? [null, ...creators] : creators;
    if (creators.length === 0) {
      this.#note("Nobody here is called that. The whole library is asked.");
      return;
    }
    const options = this.#options.map((creator, index) => this.#option(creator, index));
    this.#list.replaceChildren(...options);
    this.#open();
    if (reached) this.#reach(reached === "first" ? 0 : options.length - 1);
    this.#say(`${counted(creators.length, "creator")}.`);
  }

  #option(creator, index) {
    const option = document.createElement("li");
    option.id = `${this.#list.id}-${index}`;
    option.role = "option";
    option.ariaSelected = "false";
    const name = document.createElement("span");
    name.dir = "auto";
    name.textContent = creator?.name ?? "All creators";
    const has = document.createElement("small");
    has.textContent = creator ? holdings(creator) : "";
    option.append(name, " ", has);
    return option;
  }

  #note(words) {
    this.#close();
    this.#say(words);
    const note = document.createElement("li");
    note.role = "option";
    note.ariaDisabled = "true";
    note.ariaSelected = "false";
    note.textContent = words;
    this.#options = [];
    this.#list.replaceChildren(note);
    this.#open();
  }

  #pressed(event) {
    const { key } = event;
    const open = !this.#list.hidden;
    if (event.isComposing) return;
    if (key === "ArrowDown" || key === "ArrowUp") {
      const step = key === "ArrowDown" ? 1 : -1;
      if (!open) this.#look(step > 0 ? "first" : "last");
      else if (this.#options.length) this.#step(step);
    } else if (key === "Enter" && open && this.#chosen && this.#active < 0) {
      this.#close();
    } else if (key === "Enter" && open && this.#options.length) {
      this.choose(this.#options[Math.max(this.#active, 0)]);
    } else if (key === "Escape" && open) {
      this.#close();
    } else if (key === "Escape" && this.#input.value) {
      this.choose(null);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #step(step) {
    const count = this.#options.length;
    const from = this.#active < 0 && step < 0 ? count : this.#active;
    this.#reach((from + step + count) % count);
  }

  #reach(index) {
    this.#active = index;
    for (const [place, option] of Array.from(this.#list.children).entries()) {
      option.ariaSelected = String(place === index);
    }
    const option = this.#list.children[index];
    if (option) {
      this.#input.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    } else {
      this.#input.removeAttribute("aria-activedescendant");
    }
  }

  #open() {
    this.#list.hidden = false;
    this.#input.ariaExpanded = "true";
    this.#active = -1;
    this.#input.removeAttribute("aria-activedescendant");
  }

  #close() {
    clearTimeout(this.#timer);
    this.#asking.abort();
    this.#list.hidden = true;
    this.#input.ariaExpanded = "false";
    this.#active = -1;
    this.#input.removeAttribute("aria-activedescendant");
  }
}
