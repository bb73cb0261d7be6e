// A question comes in; the events of its answer go out, each once, however often connections break.

import { Refused, getTurn, postQuestion, refusal } from "./api.js";
import { Lost, eventsOf, lost } from "./sse.js";

// Heartbeats come every 15 seconds. A connection that is silent for longer than this is dead.
const SILENCE = 45_000;
// How often in a row it is tried to ask, and to go on with an answer that has begun.
const MOST_ASKING = 4;
const MOST_RESUMING = 12;
const LONGEST_PAUSE = 8_000;
// No worker is there, or none that has room: that passes.
const PASSING = new Set([502, 503, 504]);

// How an attempt went: the stream has ended, the next attempt may follow at once, or after a pause.
const [ENDED, AGAIN, LOST] = ["ended", "again", "lost"];

export const UNREACHABLE = {
  title: "The service cannot be reached",
  detail: "Check your connection, then try again: nothing is asked twice.",
  status: 0,
};
const NOT_KEPT = {
  title: "This answer is no longer kept",
  detail: "Answers can be picked up again for a few minutes. Ask again.",
  status: 404,
};

/**
 * Ask, or go on where `question` is: it has `query`, `creator`, `conversation` and `key`, and gets
 * `turn`, `conversation` and `cursor` on the way. `told` has `begun()`, `event(name, value)`,
 * `anew()` (all comes again, from the start) and `waiting(seconds, problem)`.
 * Resolves after the stream's last event. Rejects with `Refused`, or with the signal's reason.
 */
export async function follow(question, told, signal) {
  let failures = 0;
  for (;;) {
    let problem = null;
    let pause = 0;
    try {
      const outcome = await attempt(question, told, signal, () => (failures = 0));
      if (outcome === ENDED) return;
      if (outcome === AGAIN) continue;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Lost)) {
        if (!PASSING.has(error.problem?.status)) throw error;
        problem = error.problem;
        pause = error.retryAfter * 1_000;
      }
    }
    failures += 1;
    if (failures > (question.turn ? MOST_RESUMING : MOST_ASKING)) {
      throw new Refused(problem ?? UNREACHABLE);
    }
    pause = Math.max(pause, Math.min(LONGEST_PAUSE, 500 * 2 ** (failures - 1)));
    told.waiting(Math.ceil(pause / 1_000), problem);
    await sleep(pause, signal);
  }
}

async function attempt(question, told, signal, works) {
  const silence = new AbortController();
  let timer = 0;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), SILENCE);
  };
  heard();
  try {
    const response = await send(question, AbortSignal.any([signal, silence.signal]));
    signal.throwIfAborted();
    if (response.status !== 200) return await redirected(response, question, told);
    const turn = response.headers.get("X-Turn-Id");
    // Not the service, but something on the way to it, such as a hotel's page to log in.
    if (!turn) return LOST;
    question.turn = turn;
    question.conversation = response.headers.get("X-Conversation-Id");
    told.begun();
    for await (const { id, name, data } of eventsOf(response, heard)) {
      works();
      question.cursor = id;
      told.event(name, JSON.parse(data));
      if (name === "done" || name === "error") return ENDED;
    }
    return LOST;
  } finally {
    clearTimeout(timer);
  }
}

function send(question, signal) {
  const sent = question.turn
    ? getTurn(question.turn, question.cursor, signal)
    : postQuestion(question, signal);
  return sent.catch(lost);
}

/** Make sense of a status that is no stream; throws Refused where there is none to be had. */
async function redirected(response, question, told) {
  const location = response.headers.get("Location");
  if (response.status === 409 && location) {
    // The question did arrive, and is being answered.
    question.turn = location.split("/").pop();
    return AGAIN;
  }
  const resumed = question.turn && question.cursor;
  if (resumed && (response.status === 204 || response.status === 400)) {
    // Nothing comes after what is known here, yet its end is not: it is read again as a whole.
    question.cursor = "";
    told.anew();
    return AGAIN;
  }
  if (response.status === 204) return LOST;
  if (question.turn && response.status === 404) throw new Refused(NOT_KEPT);
  throw await refusal(response);
}

/** Wait, but no longer than until the network is back. */
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
