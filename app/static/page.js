// The page: questions are asked in one form, and their answers follow one another above it.

import { Refused, getConversation, isGone, stopTurn } from "./api.js";
import { Composer } from "./composer.js";
import { UNREACHABLE, follow } from "./follow.js";
import { Notice } from "./notice.js";
import { Panel } from "./panel.js";
import * as session from "./session.js";
import { Turn } from "./turn.js";
import { counted, waitingWords } from "./words.js";

// How long the service may take to stop an answer before the page goes its own way.
const STOPPING = 5_000;
// From when on after an answer the service may have forgotten what was said.
const LONG_AGO = 5 * 60_000;

const $ = (id) => document.getElementById(id);
const kept = session.load();
const panel = new Panel($("panel"));
const composer = new Composer({ ask, stop, say });
const notice = new Notice({ say, again: restore });

// The question that is being answered: `{turn, controller, stopping, failure}`.
let running = null;

function say(words) {
  $("status").textContent = words;
}

/** Show a question after all others, or before one of them. */
function show(question, before = null) {
  const turn = new Turn(question, {
    open: (source, origin) => panel.open(source, origin),
    again: ({ question: { query, creator, name } }) => ask({ query, creator, name }),
    edit: ({ question }) => composer.edit(question),
  });
  $("welcome").hidden = true;
  $("fresh").hidden = false;
  $("turns").insertBefore(turn.element, before);
  return turn;
}

function ask({ query, creator = null, name = null }) {
  if (running) {
    composer.decline();
    return;
  }
  panel.close();
  notice.pass();
  const question = { query, creator, name, conversation: kept.conversation, key: session.newKey() };
  const turn = show(question);
  turn.element.scrollIntoView({ block: "start" });
  answer(turn);
}

/** Follow a question to the end of its answer, and show it. */
async function answer(turn) {
  const { question } = turn;
  running = { turn, controller: new AbortController(), stopping: false, failure: null };
  const { signal } = running.controller;
  remember({ pending: question });
  progress(turn, question.cursor ? "Going on…" : "Searching the library…");
  composer.busy = true;
  let keep = null;
  try {
    if (!question.turn && Date.now() - kept.heard > LONG_AGO) await checkKept(turn);
    await follow(question, listener(turn), signal);
    if (running.failure) failed(turn, new Refused(running.failure));
  } catch (error) {
    if (signal.aborted) turn.cut("Stopped here.");
    else keep = failed(turn, error);
  } finally {
    running = null;
    remember({ pending: keep, heard: Date.now() });
    composer.busy = false;
  }
}

/** Where what was said before is forgotten, have a question begin a conversation, and say so. */
async function checkKept(turn) {
  const { question } = turn;
  if (!question.conversation) return;
  try {
    await getConversation(question.conversation);
  } catch (error) {
    if (!isGone(error)) return;
    question.conversation = kept.conversation = null;
    turn.standAlone();
  }
}

function listener(turn) {
  const { question } = turn;
  return {
    begun() {
      // A question that was sent again may have been answered, and be among those of before.
      for (const twin of $("turns").querySelectorAll(`[data-turn="${question.turn}"]`)) {
        if (twin !== turn.element) twin.remove();
      }
      turn.element.dataset.turn = question.turn;
      kept.conversation = question.conversation;
      if (question.name) kept.asked[question.turn] = question.name;
      remember({ pending: question });
      if (running.stopping) stopTurn(question.turn).catch(() => {});
      else if (turn.sources.length) progress(turn, "Answering…");
    },
    anew: () => turn.reset(),
    waiting(seconds, problem) {
      if (running.stopping) running.controller.abort();
      else progress(turn, waitingWords(seconds, problem, Boolean(question.turn)));
    },
    event(name, value) {
      if (name === "sources") {
        turn.found(value);
        progress(turn, value.length ? `Reading ${counted(value.length, "source")}…` : "Answering…");
      } else if (name === "token") {
        turn.add(value);
      } else if (name === "done") {
        turn.finish(value);
        say(`Answer: ${turn.spoken}`);
      } else if (name === "error") {
        running.failure = { ...value, ended: true };
      }
    },
  };
}

/** Say what went wrong; return the question if its answer can still be gone on with. */
function failed(turn, error) {
  const { question } = turn;
  if (!(error instanceof Refused)) {
    console.error(error);
    error = new Refused({ title: "The page made a mistake", detail: "Reload it.", status: 0 });
  }
  const { problem, retryAfter } = error;
  const lost = problem.ended || problem.status === 404;
  const retry = () => {
    if (running) {
      composer.decline();
      return;
    }
    const { conversation } = kept;
    // Others may have been asked since: it follows them. What is asked anew needs another key.
    if (lost || (!question.turn && question.conversation !== conversation)) {
      Object.assign(question, { conversation, turn: null, cursor: "", key: session.newKey() });
      turn.reset();
    }
    answer(turn);
    composer.rest();
  };
  // What is asked in a wrong way stays wrong.
  const hopeless = problem.retryable === false || (problem.status >= 400 && problem.status < 429);
  const useful = !hopeless || problem.status === 404;
  say(turn.fail(problem, lost ? "Ask again" : "Try again", useful ? retry : null, retryAfter));
  const goesOn = question.turn ? !lost && useful : problem === UNREACHABLE;
  return goesOn ? question : null;
}

function progress(turn, words) {
  turn.wait(words);
  say(words);
}

async function stop() {
  if (!running || running.stopping) return;
  const { turn, controller } = running;
  running.stopping = true;
  progress(turn, "Stopping…");
  setTimeout(() => controller.abort(), STOPPING);
  try {
    if (turn.question.turn) await stopTurn(turn.question.turn);
  } catch {
    // It cannot be told, so it may go on, but not here.
    controller.abort();
  }
}

function remember(news) {
  session.save(Object.assign(kept, news));
}

/** Show the conversation as it was before the page was loaded. */
async function restore() {
  const { pending, conversation } = kept;
  if (!conversation && !pending) return;
  $("welcome").hidden = true;
  $("fresh").hidden = false;
  let past = [];
  try {
    if (conversation) past = await getConversation(conversation);
  } catch (error) {
    if (!isGone(error)) {
      cannotRestore(error);
      return;
    }
    // Nothing was kept of it, or no longer.
    if (!pending && !running) {
      startAfresh();
      notice.show("Your conversation is no longer kept", "What you ask now begins a new one.");
      return;
    }
  }
  // Meanwhile a new one may have been begun, or a question asked.
  if (kept.conversation !== conversation) return;
  kept.heard = Date.now();
  const later = $("turns").firstElementChild;
  const shown = new Set(Array.from($("turns").children, ({ dataset }) => dataset.turn));
  for (const one of past.filter(({ turn_id: id }) => !shown.has(id))) {
    const name = kept.asked[one.turn_id];
    const turn = show({ query: one.question, creator: name, name }, later);
    turn.element.dataset.turn = one.turn_id;
    turn.remember(one);
  }
  if (later) return;
  const last = kept.asked[past.at(-1)?.turn_id];
  if (last) composer.creator = { slug: last, name: last };
  if (pending && !past.some((one) => one.turn_id === pending.turn)) {
    if (pending.creator) composer.creator = { slug: pending.creator, name: pending.name };
    // What was shown of it is gone, so all of it is read again.
    const turn = show({ ...pending, cursor: "" });
    answer(turn);
  }
  $("turns").lastElementChild?.scrollIntoView({ block: "start", behavior: "instant" });
}

function cannotRestore(error) {
  const problem = error instanceof Refused ? error.problem : UNREACHABLE;
  const detail = `${problem.title}. It may be kept all the same.`;
  notice.show("Your conversation cannot be shown", detail, { again: true });
}

function startAfresh() {
  stop();
  running?.controller.abort();
  panel.close();
  remember({ conversation: null, pending: null, asked: {} });
  $("turns").replaceChildren();
  notice.hide();
  $("welcome").hidden = false;
  $("fresh").hidden = true;
}

$("fresh").addEventListener("click", () => {
  startAfresh();
  composer.focus();
  say("A new conversation.");
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.isComposing) return;
  if (panel.isOpen && (panel.hasFocus || !running)) panel.close();
  else stop();
});

composer.offer();
restore();
$("unstarted").remove();
