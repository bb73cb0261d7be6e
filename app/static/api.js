// Calls of the service come in; what it answers goes out, and what it refuses as `Refused`.

const API = "/api/v1";

/** The service has refused; `problem` is its RFC 9457 document, and `retryAfter` is in seconds. */
export class Refused extends Error {
  constructor(problem, retryAfter = 0) {
    super(problem.title);
    this.problem = problem;
    this.retryAfter = retryAfter;
  }
}

/** Tell whether what was asked for is not there, or no longer. */
export function isGone(error) {
  return error instanceof Refused && error.problem.status === 404;
}

/** Ask a question. The same `key` again never asks it twice. */
export function postQuestion({ query, creator, conversation, key }, signal) {
  const body = { query };
  if (creator) body.creator = creator;
  if (conversation) body.conversation_id = conversation;
  return fetch(`${API}/chat`, {
    method: "POST",
    headers: {
      Accept: "text/event-stream",
      "Content-Type": "application/json",
      "Idempotency-Key": key,
    },
    body: JSON.stringify(body),
    cache: "no-store",
    signal,
  });
}

/** Follow a turn, from its start or from after the event `cursor`. */
export function getTurn(turn, cursor, signal) {
  const headers = { Accept: "text/event-stream" };
  if (cursor) headers["Last-Event-ID"] = cursor;
  return fetch(`${API}/chat/${encodeURIComponent(turn)}`, { headers, cache: "no-store", signal });
}

/** Stop a turn, on whichever worker it runs. */
export async function stopTurn(turn) {
  const path = `${API}/chat/${encodeURIComponent(turn)}`;
  const response = await fetch(path, { method: "DELETE" });
  if (!response.ok) throw await refusal(response);
}

/** Return a conversation's turns, the oldest first. */
export async function getConversation(id) {
  return (await getJSON(`/conversations/${encodeURIComponent(id)}`)).turns;
}

/** Return the creators whose name begins with `prefix`. */
export function getCreators(prefix, signal) {
  return getJSON(`/creators?prefix=${encodeURIComponent(prefix)}`, signal);
}

/** Return what a response that is no success tells, also where something else than the service did. */
export async function refusal(response) {
  let problem = {};
  if (response.headers.get("Content-Type")?.startsWith("application/problem+json")) {
    problem = await response.json().catch(() => ({}));
  }
  const seconds = Number(response.headers.get("Retry-After"));
  return new Refused(
    { title: "The service cannot answer at the moment", detail: "", ...problem, status: response.status },
    seconds > 0 ? seconds : 0,
  );
}

async function getJSON(path, signal) {
  const response = await fetch(API + path, { signal });
  if (!response.ok) throw await refusal(response);
  return response.json();
}
