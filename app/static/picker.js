// The creator picker: a combobox with suggestions for what is typed.
//
// It follows the ARIA Authoring Practices: focus stays in the field, and `aria-activedescendant`
// names the option that the arrow keys have reached.

import { getCreators } from "./api.js";
import { counted, holdings } from "./messages.js";

// Milliseconds after the last key before the service is asked.
const DEBOUNCE = 150;

/** The field, its list of options, and the button that clears it. */
export class Picker {
  #input;
  #list;
  #clear;
  #say;
  #chosen = null;
  #options = [];
  #active = -1;
  #timer = 0;
  #request = new AbortController();

  constructor({ input, list, clear, say }) {
    this.#input = input;
    this.#list = list;
    this.#clear = clear;
    this.#say = say;
    input.addEventListener("input", () => this.#onInput());
    input.addEventListener("keydown", (event) => this.#onKey(event));
    input.addEventListener("click", () => this.#list.hidden && this.#search());
    input.addEventListener("blur", () => this.#close());
    clear.addEventListener("click", () => this.choose(null));
    // Keeps the focus in the field; losing it would close the list.
    list.addEventListener("pointerdown", (event) => event.preventDefault());
    list.addEventListener("click", ({ target }) => {
      const option = target.closest("[role=option]:not([aria-disabled])");
      if (option) this.choose(this.#options[Array.from(list.children).indexOf(option)]);
    });
  }

  /** The creator to ask, `{slug, name}`; null for all creators. */
  get creator() {
    const typed = this.#input.value.trim();
    if (!typed) return null;
    return this.#chosen?.name === typed ? this.#chosen : { slug: typed, name: typed };
  }

  /** Select a creator, or null for all, and focus the field. */
  choose(creator) {
    this.set(creator);
    this.#input.focus();
  }

  /** Select a creator, or null for all, without moving the focus. */
  set(creator) {
    this.#chosen = creator;
    this.#input.value = creator?.name ?? "";
    this.#clear.hidden = !creator;
    this.#close();
  }

  #onInput() {
    this.#chosen = null;
    this.#clear.hidden = !this.#input.value;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#search(), DEBOUNCE);
  }

  async #search(initial) {
    clearTimeout(this.#timer);
    this.#request.abort();
    this.#request = new AbortController();
    const { signal } = this.#request;
    const prefix = this.#chosen ? "" : this.#input.value.trim();
    try {
      const found = await getCreators(prefix, signal);
      if (!signal.aborted) this.#show(found, initial);
    } catch {
      if (!signal.aborted) this.#showMessage("Creators cannot be listed right now.");
    }
  }

  #show(creators, initial) {
    // With a creator selected, the first option goes back to all creators.
    this.#options = this.#chosen ? [null, ...creators] : creators;
    if (creators.length === 0) {
      this.#showMessage("No creator has that name. The whole library will be searched.");
      return;
    }
    const options = this.#options.map((creator, index) => this.#option(creator, index));
    this.#list.replaceChildren(...options);
    this.#open();
    if (initial) this.#activate(initial === "first" ? 0 : options.length - 1);
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
    const count = document.createElement("small");
    count.textContent = creator ? holdings(creator) : "";
    option.append(name, " ", count);
    return option;
  }

  #showMessage(text) {
    this.#close();
    this.#say(text);
    const note = document.createElement("li");
    note.role = "option";
    note.ariaDisabled = "true";
    note.ariaSelected = "false";
    note.textContent = text;
    this.#options = [];
    this.#list.replaceChildren(note);
    this.#open();
  }

  #onKey(event) {
    const { key } = event;
    const open = !this.#list.hidden;
    if (event.isComposing) return;
    if (key === "ArrowDown" || key === "ArrowUp") {
      const step = key === "ArrowDown" ? 1 : -1;
      if (!open) this.#search(step > 0 ? "first" : "last");
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
    this.#activate((from + step + count) % count);
  }

  #activate(index) {
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
    this.#request.abort();
    this.#list.hidden = true;
    this.#input.ariaExpanded = "false";
    this.#active = -1;
    this.#input.removeAttribute("aria-activedescendant");
  }
}
