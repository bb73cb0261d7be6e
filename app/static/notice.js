// A notice about the whole conversation, shown above it.

const $ = (id) => document.getElementById(id);

/** Shows one notice at a time. `say` announces it to screen readers; its button calls `retry`. */
export class Notice {
  #say;

  constructor({ say, retry }) {
    this.#say = say;
    $("reload").addEventListener("click", () => {
      this.hide();
      retry();
    });
  }

  /** Show a notice, with a button to try again if `canRetry`. */
  show(title, detail, { canRetry = false } = {}) {
    $("notice").hidden = false;
    $("notice-title").textContent = title;
    $("notice-detail").textContent = detail;
    $("reload").hidden = !canRetry;
    this.#say(`${title}. ${detail}`);
  }

  hide() {
    $("notice").hidden = true;
  }

  /** Hide it unless it offers a retry. */
  dismiss() {
    if ($("reload").hidden) this.hide();
  }
}
