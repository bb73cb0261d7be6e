// What concerns the whole conversation comes in; it is shown above it.

const $ = (id) => document.getElementById(id);

/** One notice at a time; `say` tells it to screen readers too, `again` is called by its button. */
export class Notice {
  #say;

  constructor({ say, again }) {
    this.#say = say;
    $("reload").addEventListener("click", () => {
      this.hide();
      again();
    });
  }

  /** Show it; with `again` it has a button that tries again what failed. */
  show(title, detail, { again = false } = {}) {
    $("notice").hidden = false;
    $("notice-title").textContent = title;
    $("notice-detail").textContent = detail;
    $("reload").hidden = !again;
    this.#say(`${title}. ${detail}`);
  }

  hide() {
    $("notice").hidden = true;
  }

  /** Hide it where there is nothing to be done about it. */
  pass() {
    if ($("reload").hidden) this.hide();
  }
}
