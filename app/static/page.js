// The page: one form asks questions, and the turns of the conversation appear above it.

import { Refused, getConversation, isGone, stopTurn } from "./api.js";
import { Composer } from "./composer.js";
import { UNREACHABLE, follow } from "./follow.js";
import { Notice } from "./notice.js";
import { Panel } from "./panel.js";
import * as session from "./session.js";
import { Turn } from "./turn.js";
import { counted, isSmallTalk, retryText, waitingText } from "./messages.js";

// Milliseconds to wait for the service to stop an answer before the page stops reading it.
const STOP_TIMEOUT = 5_000;
// Milliseconds without a piece of an answer after which the page says that the model still works.
const SLOW_AFTER = 10_000;
// Milliseconds after an answer from which the service may have forgotten the conversation.
const STALE_AFTER = 5 * 60_000;
// The version of HTTP, such as "http/1.1" or "h2".
const PROTOCOL = performance.getEntriesByType("navigation")[0]?.nextHopProtocol;

const $ = (id) => document.getElementById(id);
const kept = session.load();
const panel = new Panel($("panel"));
const composer = new Composer({ ask, stop, say });
const notice = new Notice({ say, retry: restore });

// The running answer: `{turn, controller, stopping, failure}`.
let running = null;
// Says that the model is still working.
let slow = 0;

/** Announce a text to screen readers. */
function say(text) {
  $("status").textContent = text;
}

/** Append a turn, or insert it before another. */
function show(question, before = null) {
  const turn = new Turn(question, {
    open: (source, origin) => panel.open(source, origin),
    askAgain: ({ question: { query, creator, name } }) => ask({ query, creator, name }),
    edit: ({ question }) => composer.edit(question),
  });
  $("welcome").hidden = true;
  $("new-conversation").hidden = false;
  $("turns").insertBefore(turn.element, before);
  return turn;
}

function ask({ query, creator = null, name = null }) {
  if (running) {
    composer.decline();
    return;
  }
  panel.close();
  notice.dismiss();
  const { conversation } = kept;
  const question = { query, creator, name, conversation, opening: !conversation, key: session.newKey() };
  const turn = show(question);
  turn.element.scrollIntoView({ block: "start" });
  answer(turn);
}

/** Show the answer to a question as it streams, to its end. */
async function answer(turn) {
  const { question } = turn;
  running = { turn, controller: new AbortController(), stopping: false, failure: null };
  const { signal } = running.controller;
  remember({ pending: question });
  progress(turn, question.cursor ? "Resuming…" : "Searching the library…");
  composer.busy = true;
  let keep = null;
  try {
    if (!question.turn && Date.now() - kept.heard > STALE_AFTER) await checkConversation(turn);
    await follow(question, callbacks(turn), signal);
    if (running.failure) failed(turn, new Refused(running.failure));
  } catch (error) {
    if (signal.aborted) turn.cut("Stopped here.");
    else if (!isGone(error) || !(await showRemembered(turn))) keep = failed(turn, error);
  } finally {
    clearTimeout(slow);
    running = null;
    remember({ pending: keep, heard: Date.now() });
    composer.busy = false;
  }
}

/** If the conversation has the answer, show it: its stream cannot be resumed any more. */
async function showRemembered(turn) {
  const { conversation, turn: id } = turn.question;
  const past = conversation ? await getConversation(conversation).catch(() => []) : [];
  const found = past.find((one) => one.turn_id === id);
  if (!found) return false;
  turn.restore(found);
  say(`Answer: ${turn.spoken}`);
  return true;
}

/** If the service has forgotten the conversation, start a new one and say so. */
async function checkConversation(turn) {
  const { question } = turn;
  if (!question.conversation) return;
  try {
    await getConversation(question.conversation);
  } catch (error) {
    if (!isGone(error)) return;
    question.conversation = kept.conversation = null;
    question.opening = true;
    turn.noteNewConversation();
  }
}

function callbacks(turn) {
  const { question } = turn;
  return {
    started() {
      // A question that was sent again may already be shown, from the restored conversation.
      for (const duplicate of $("turns").querySelectorAll(`[data-turn="${question.turn}"]`)) {
        if (duplicate !== turn.element) duplicate.remove();
      }
      turn.element.dataset.turn = question.turn;
      kept.conversation = question.conversation;
      if (question.name) kept.asked[question.turn] = question.name;
      remember({ pending: question });
      if (running.stopping) stopTurn(question.turn).catch(() => {});
      else if (turn.sources.length) modelWorks(turn, "Answering…");
    },
    restarted: () => turn.reset(),
    waiting() {
      if (!running.stopping) progress(turn, waitingText(PROTOCOL));
    },
    retrying(seconds, problem) {
      if (running.stopping) running.controller.abort();
      else progress(turn, retryText(seconds, problem, Boolean(question.turn)));
    },
    event(name, value) {
      if (name === "sources") {
        turn.found(value);
        modelWorks(turn, value.length ? `Reading ${counted(value.length, "source")}…` : "Answering…");
      } else if (name === "token") {
        clearTimeout(slow);
        turn.add(value);
      } else if (name === "done") {
        turn.finish(value);
        // A conversation of small talk alone is not stored.
        if (question.opening && isSmallTalk(value)) kept.conversation = null;
        say(`Answer: ${turn.spoken}`);
      } else if (name === "error") {
        running.failure = { ...value, ended: true };
      }
    },
  };
}

/** Show an error; return the question if its answer can still be resumed. */
function failed(turn, error) {
  const { question } = turn;
  if (!(error instanceof Refused)) {
    console.error(error);
    error = new Refused({ title: "Something went wrong on this page", detail: "Reload it.", status: 0 });
  }
  const { problem, retryAfter } = error;
  const lost = problem.ended || problem.status === 404;
  const retry = () => {
    if (running) {
      composer.decline();
      return;
    }
    const { conversation } = kept;
    // A question that starts over comes after all questions asked since, and needs a new key.
    if (lost || (!question.turn && question.conversation !== conversation)) {
      Object.assign(question, { conversation, turn: null, cursor: "", key: session.newKey() });
      turn.reset();
    }
    answer(turn);
    composer.settle();
  };
  // The same request would fail again.
  const permanent = problem.retryable === false || (problem.status >= 400 && problem.status < 429);
  const canRetry = !permanent || problem.status === 404;
  say(turn.fail(problem, lost ? "Ask again" : "Try again", canRetry ? retry : null, retryAfter));
  const resumable = question.turn ? !lost && canRetry : problem === UNREACHABLE;
  return resumable ? question : null;
}

function progress(turn, text) {
  clearTimeout(slow);
  turn.wait(text);
  say(text);
}

/** Show that the model works, and after a while that it still does. */
function modelWorks(turn, text) {
  progress(turn, text);
  slow = setTimeout(progress, SLOW_AFTER, turn, "Still working: it can take a minute.");
}

async function stop() {
  if (!running || running.stopping) return;
  const { turn, controller } = running;
  running.stopping = true;
  progress(turn, "Stopping…");
  setTimeout(() => controller.abort(), STOP_TIMEOUT);
  try {
    if (turn.question.turn) await stopTurn(turn.question.turn);
  } catch {
    // The answer may go on in the service, but is no longer read here.
    controller.abort();
  }
}

function remember(changes) {
  session.save(Object.assign(kept, changes));
}

/** Show the conversation that this tab had before the page was loaded. */
async function restore() {
  const { pending, conversation } = kept;
  if (!conversation && !pending) return;
  $("welcome").hidden = true;
  $("new-conversation").hidden = false;
  let past = [];
  try {
    if (conversation) past = await getConversation(conversation);
  } catch (error) {
    if (!isGone(error)) {
      cannotRestore(error);
      return;
    }
    // The service has nothing of it, or has forgotten it.
    if (!pending && !running) {
      startOver();
      notice.show("Your conversation has expired", "Your next question starts a new one.");
      return;
    }
  }
  // The user may have started a new conversation or asked a question meanwhile.
  if (kept.conversation !== conversation) return;
  kept.heard = Date.now();
  const later = $("turns").firstElementChild;
  const shown = new Set(Array.from($("turns").children, ({ dataset }) => dataset.turn));
  for (const one of past.filter(({ turn_id: id }) => !shown.has(id))) {
    const name = kept.asked[one.turn_id];
    const turn = show({ query: one.question, creator: name, name }, later);
    turn.element.dataset.turn = one.turn_id;
    turn.restore(one);
  }
  if (later) return;
  const last = kept.asked[past.at(-1)?.turn_id];
  if (last) composer.creator = { slug: last, name: last };
  if (pending && !past.some((one) => one.turn_id === pending.turn)) {
    if (pending.creator) composer.creator = { slug: pending.creator, name: pending.name };
    // Nothing of it is shown any more, so read it from the start.
    const turn = show({ ...pending, cursor: "" });
    answer(turn);
  }
  $("turns").lastElementChild?.scrollIntoView({ block: "start", behavior: "instant" });
}

function cannotRestore(error) {
  const problem = error instanceof Refused ? error.problem : UNREACHABLE;
  const detail = `${problem.title}. It may still be there.`;
  notice.show("Your conversation cannot be loaded", detail, { canRetry: true });
}

function startOver() {
  stop();
  running?.controller.abort();
  panel.close();
  remember({ conversation: null, pending: null, asked: {} });
  $("turns").replaceChildren();
  notice.hide();
  $("welcome").hidden = false;
  $("new-conversation").hidden = true;
}

$("new-conversation").addEventListener("click", () => {
  startOver();
  composer.focus();
  say("New conversation.");
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.isComposing) return;
  if (panel.isOpen && (panel.hasFocus || !running)) panel.close();
  else stop();
});

composer.suggest().catch(({ problem: { title, detail } }) => notice.show(title, detail));
restore();
$("not-started").remove();
