// Reads the events of an answer, each once, reconnecting as often as needed.

import { Refused, getTurn, postQuestion, refusal } from "./api.js";
import { Lost, eventsOf, lost } from "./sse.js";

// Milliseconds of silence after which a connection counts as dead; heartbeats come every 8 s.
const SILENCE_TIMEOUT = 30_000;
// Milliseconds without a response after which the user is told.
const RESPONSE_DELAY = 5_000;
// Consecutive failed attempts before giving up: to ask, and to resume an answer that has started.
const MAX_ASK_ATTEMPTS = 4;
const MAX_RESUME_ATTEMPTS = 12;
const MAX_BACKOFF = 8_000;
// No worker is available, or none has capacity.
const TRANSIENT = new Set([502, 503, 504]);
// An answer that has started is not given up because its reader is over a limit.
const TRANSIENT_ONCE_STARTED = new Set([...TRANSIENT, 429]);

// Outcome of an attempt: the stream ended, retry at once, or retry after a pause.
const [ENDED, AGAIN, LOST] = ["ended", "again", "lost"];

export const UNREACHABLE = {
  title: "The service cannot be reached",
  detail: "Check your connection and try again. Your question will not be asked twice.",
  status: 0,
};
const EXPIRED = {
  title: "This answer has expired",
  detail: "Answers can be resumed for a few minutes only. Ask again.",
  status: 404,
};

/**
 * Ask a question, or resume its answer. `question` has `query`, `creator`, `conversation` and `key`;
 * `turn`, `conversation` and `cursor` are set on the way. `callbacks` has `started()`,
 * `event(name, value)`, `restarted()` (events come again from the start), `waiting()` (there is no
 * response yet) and `retrying(seconds, problem)`.
 * Resolves after the stream's last event. Rejects with `Refused`, or with the signal's reason.
 */
export async function follow(question, callbacks, signal) {
  let failures = 0;
  for (;;) {
    let problem = null;
    let pause = 0;
    try {
      const outcome = await attempt(question, callbacks, signal, () => (failures = 0));
      if (outcome === ENDED) return;
      if (outcome === AGAIN) continue;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Lost)) {
        const transient = question.turn ? TRANSIENT_ONCE_STARTED : TRANSIENT;
        if (!transient.has(error.problem?.status)) throw error;
        problem = error.problem;
        pause = error.retryAfter * 1_000;
      }
    }
    failures += 1;
    if (failures > (question.turn ? MAX_RESUME_ATTEMPTS : MAX_ASK_ATTEMPTS)) {
      throw new Refused(problem ?? UNREACHABLE);
    }
    pause = Math.max(pause, Math.min(MAX_BACKOFF, 500 * 2 ** (failures - 1)));
    callbacks.retrying(Math.ceil(pause / 1_000), problem);
    await sleep(pause, signal);
  }
}

async function attempt(question, callbacks, signal, onEvent) {
  const silence = new AbortController();
  let timer = 0;
  const onData = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), SILENCE_TIMEOUT);
  };
  onData();
  const delay = setTimeout(callbacks.waiting, RESPONSE_DELAY);
  try {
    const response = await send(question, AbortSignal.any([signal, silence.signal]));
    clearTimeout(delay);
    signal.throwIfAborted();
    if (response.status !== 200) return await handleStatus(response, question, callbacks);
    const turn = response.headers.get("X-Turn-Id");
    // Something else answered, such as a captive portal.
    if (!turn) return LOST;
    question.turn = turn;
    question.conversation = response.headers.get("X-Conversation-Id");
    callbacks.started();
    for await (const { id, name, data } of eventsOf(response, onData)) {
      onEvent();
      question.cursor = id;
      callbacks.event(name, JSON.parse(data));
      if (name === "done" || name === "error") return ENDED;
    }
    return LOST;
  } finally {
    clearTimeout(timer);
    clearTimeout(delay);
  }
}

function send(question, signal) {
  const sent = question.turn
    ? getTurn(question.turn, question.cursor, signal)
    : postQuestion(question, signal);
  return sent.catch(lost);
}

/** Handle a response that is not a stream; throws Refused if there will be none. */
async function handleStatus(response, question, callbacks) {
  const location = response.headers.get("Location");
  if (response.status === 409 && location) {
    // The question arrived and its answer is running.
    question.turn = location.split("/").pop().split("?")[0];
    return AGAIN;
  }
  const resumed = question.turn && question.cursor;
  if (resumed && (response.status === 204 || response.status === 400)) {
    // The cursor is unknown, or the end of the stream was missed: read it from the start.
    question.cursor = "";
    callbacks.restarted();
    return AGAIN;
  }
  if (response.status === 204) return LOST;
  if (question.turn && response.status === 404) throw new Refused(EXPIRED);
  throw await refusal(response);
}

/** Wait, or until the network is back online. */
function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      window.removeEventListener("online", end);
      signal.removeEventListener("abort", end);
      if (signal.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(end, milliseconds);
    window.addEventListener("online", end);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}
