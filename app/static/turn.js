// One turn of the conversation, shown as an article: a question, its answer and its sources.

import { Answer } from "./answer.js";
import {
  counted, endingText, isSmallTalk, isolated, moment, problemText, scopeText, sourceName, uncitedText,
  withoutDirections,
} from "./messages.js";

// Longer questions, in characters, are styled as text instead of as a heading.
const LONG = 200;

/** A question with its answer. `open(source, origin)` opens a source. */
export class Turn {
  sources = [];
  #open;
  #answer;
  #cited = new Set();

  constructor(question, { open, askAgain, edit }) {
    const template = document.querySelector("#turn");
    this.element = template.content.firstElementChild.cloneNode(true);
    this.question = question;
    this.#open = open;
    this.#answer = new Answer(this.#part("answer"), (number) => this.#mark(number));
    this.#part("question").textContent = question.query;
    this.#part("question").classList.toggle("long", question.query.length > LONG);
    this.#part("asked").textContent = question.name ? `Asked ${isolated(question.name)}` : "";
    this.#part("asked").hidden = !question.name;
    this.#part("answer").addEventListener("click", ({ target }) => {
      const mark = target.closest(".mark");
      if (mark) this.#openSource(Number(mark.dataset.source), ".mark");
    });
    this.#part("again").addEventListener("click", () => askAgain(this));
    this.#part("edit").addEventListener("click", () => edit(this));
    this.#part("copy").addEventListener("click", () => this.#copy());
  }

  /** The text of the answer without citation marks. */
  get spoken() {
    return this.#answer.spoken;
  }

  /** Say that this question starts a new conversation because the last one has expired. */
  noteNewConversation() {
    const asked = this.#part("asked");
    const text = "The conversation has expired: this question starts a new one.";
    asked.textContent = asked.hidden ? text : `${asked.textContent}. ${text}`;
    asked.hidden = false;
  }

  /** Show progress; an empty text hides it. */
  wait(text) {
    this.#part("state").hidden = !text;
    this.#part("state-text").textContent = text;
    this.#part("skeleton").hidden = !text || this.#answer.text !== "";
    this.#part("answer").ariaBusy = String(Boolean(text));
    if (text) this.#part("error").hidden = true;
  }

  /** Clear everything but the question. */
  reset() {
    this.sources = [];
    this.#cited.clear();
    this.#answer.begin([]);
    this.#part("found").hidden = true;
    this.#part("actions").hidden = true;
    this.#part("note").hidden = true;
  }

  /** Take the sources of the answer. */
  found(sources) {
    this.reset();
    this.sources = sources;
    this.#answer.begin(sources);
  }

  /** Append a piece of the answer. */
  add(piece) {
    this.#answer.add(piece);
    this.#part("skeleton").hidden = true;
    this.#part("state-text").textContent = "Writing…";
  }

  /** Show the complete answer. `done` is the stream's last event. */
  finish(done) {
    this.wait("");
    this.#answer.finish(done.citations);
    const asked = done.scope.creator?.name ?? this.question.name;
    this.#complete(done, scopeText(done, asked, done.scope), endingText(done));
    this.#part("actions").hidden = isSmallTalk(done);
  }

  /** Show a turn of a restored conversation. */
  restore(past) {
    this.wait("");
    this.found(past.citations);
    this.#answer.add(past.answer);
    this.#answer.finish(null);
    const done = { finish_reason: past.finish_reason, cascade_tier: past.tier };
    this.#complete(done, scopeText(done, this.question.name, null), endingText(done));
  }

  /** Show that the page stopped reading the answer. */
  cut(note) {
    this.wait("");
    this.#answer.finish(null);
    this.#complete({}, "", note);
  }

  /** Show an error, with a button that retries after `seconds`. */
  fail(problem, label, retry, seconds = 0) {
    this.wait("");
    const { title, detail } = problemText(problem);
    this.#part("error").hidden = false;
    this.#part("error-title").textContent = title;
    this.#part("error-detail").textContent = detail;
    const button = this.#part("retry");
    button.hidden = !retry;
    button.onclick = retry;
    countDown(button, label, seconds);
    this.#answer.finish(null);
    this.#part("error").scrollIntoView({ block: "nearest" });
    return `${title} ${detail}`;
  }

  #complete(done, scope, note) {
    // Text that looked like a mark while the answer grew may not be one.
    const marks = Array.from(this.#part("answer").querySelectorAll(".mark"));
    this.#cited = new Set(marks.map((mark) => Number(mark.dataset.source)));
    this.#part("scope").textContent = scope;
    this.#part("note").textContent = note;
    this.#part("note").hidden = !note;
    this.#part("actions").hidden = false;
    this.#part("copy").hidden = this.#answer.text === "";
    this.#part("found").hidden = !scope && this.sources.length === 0;
    for (const { number } of this.sources) this.#list(number);
    const uncited = this.sources.filter(({ number }) => !this.#cited.has(number));
    this.#part("others").hidden = uncited.length === 0;
    this.#part("others-text").textContent = uncitedText(uncited.length, this.#cited.size, done);
  }

  /** Create the button of a citation mark, and list its source. */
  #mark(number) {
    const source = this.sources.find((one) => one.number === number);
    const mark = document.createElement("button");
    mark.type = "button";
    mark.className = "mark";
    mark.dataset.source = number;
    mark.textContent = number;
    mark.setAttribute("aria-label", sourceName(source));
    mark.setAttribute("aria-haspopup", "dialog");
    if (!this.#cited.has(number)) {
      this.#cited.add(number);
      this.#part("found").hidden = false;
      this.#list(number);
    }
    return mark;
  }

  #list(number) {
    const lists = [this.#part("cited"), this.#part("uncited")];
    const present = lists.map((list) => list.querySelector(`[data-source="${number}"]`));
    const list = lists[this.#cited.has(number) ? 0 : 1];
    if (present[lists.indexOf(list)]) return;
    for (const row of present) row?.parentElement.remove();
    const item = document.querySelector("#source").content.firstElementChild.cloneNode(true);
    const row = item.querySelector("button");
    const source = this.sources.find((one) => one.number === number);
    row.dataset.source = number;
    row.querySelector(".number").textContent = number;
    row.querySelector(".title").textContent = source.title;
    row.querySelector(".creator").textContent = source.creator.name;
    row.querySelector(".moment").textContent = moment(source);
    row.addEventListener("click", () => this.#openSource(number, ".row"));
    const after = Array.from(list.children).find(
      (one) => Number(one.firstElementChild.dataset.source) > number,
    );
    list.insertBefore(item, after ?? null);
  }

  #openSource(number, kind) {
    const source = this.sources.find((one) => one.number === number);
    const pressed = document.activeElement;
    // While the answer grows, the pressed button may have been replaced.
    this.#open(source, () =>
      pressed.isConnected
        ? pressed
        : this.element.querySelector(`${kind}[data-source="${number}"]`),
    );
  }

  async #copy() {
    const cited = this.sources.filter(({ number }) => this.#cited.has(number));
    const list = cited.map(({ number, title, creator, url }) =>
      [`[${number}] ${withoutDirections(`${title}, ${creator.name}`)}`, url].filter(Boolean).join(": "),
    );
    const text = [this.#answer.text, list.join("\n")].filter(Boolean).join("\n\n");
    const done = await toClipboard(text);
    this.#part("copy").textContent = done ? "Copied" : "Copying is not allowed";
    setTimeout(() => (this.#part("copy").textContent = "Copy"), 2_000);
  }

  #part(name) {
    return this.element.querySelector(`[data-part=${name}]`);
  }
}

function countDown(button, label, seconds) {
  clearInterval(Number(button.dataset.timer));
  const ends = Date.now() + seconds * 1_000;
  const show = () => {
    const left = Math.ceil((ends - Date.now()) / 1_000);
    button.disabled = left > 0;
    button.textContent = left > 0 ? `${label} in ${duration(left)}` : label;
    if (left <= 0) clearInterval(timer);
  };
  const timer = setInterval(show, 1_000);
  button.dataset.timer = timer;
  show();
}

function duration(seconds) {
  return seconds < 120
    ? counted(seconds, "second")
    : counted(Math.ceil(seconds / 60), "minute");
}

async function toClipboard(text) {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
  }
  // The clipboard API needs a secure context.
  const focused = document.activeElement;
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused.focus();
  return done;
}
