// Client of the service's API. Its paths are relative to the page, which may be below any path.

const API = "api/v1";
// Milliseconds after which requests are sent without waiting for the cookie.
const COOKIE_TIMEOUT = 5_000;

// The service sets a cookie, by which it knows whose conversations are whose. A browser that comes by
// a link from another site does not send its cookie, and gets none, until it sends this request.
const identified = fetch("./", {
  method: "HEAD",
  cache: "no-store",
  signal: AbortSignal.timeout(COOKIE_TIMEOUT),
}).catch(() => {});

async function send(path, options) {
  await identified;
  return fetch(API + path, options);
}

/** The service refused a request. `problem` is an RFC 9457 document, `retryAfter` in seconds. */
export class Refused extends Error {
  constructor(problem, retryAfter = 0) {
    super(problem.title);
    this.problem = problem;
    this.retryAfter = retryAfter;
  }
}

/** Whether the error means that the resource does not exist, or no longer. */
export function isGone(error) {
  return error instanceof Refused && error.problem.status === 404;
}

/** Whether the error means that the service does not admit this user. */
export function isUnauthenticated(error) {
  return error instanceof Refused && error.problem.status === 401;
}

/** Ask a question. Requests with the same `key` ask it once. */
export function postQuestion({ query, creator, conversation, key }, signal) {
  const body = { query };
  if (creator) body.creator = creator;
  if (conversation) body.conversation_id = conversation;
  return send("/chat", {
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

/** Read a turn's stream, from the start or after the event `cursor`. */
export function getTurn(turn, cursor, signal) {
  const headers = { Accept: "text/event-stream" };
  if (cursor) headers["Last-Event-ID"] = cursor;
  return send(`/chat/${encodeURIComponent(turn)}`, { headers, cache: "no-store", signal });
}

/** Stop a turn. */
export async function stopTurn(turn) {
  const response = await send(`/chat/${encodeURIComponent(turn)}`, { method: "DELETE" });
  if (!response.ok) throw await refusal(response);
}

/** A conversation's turns, oldest first. */
export async function getConversation(id) {
  return (await getJSON(`/conversations/${encodeURIComponent(id)}`)).turns;
}

/** Creators whose name starts with `prefix`. */
export function getCreators(prefix, signal) {
  return getJSON(`/creators?prefix=${encodeURIComponent(prefix)}`, signal);
}

/** The error in a response, also if it comes from a proxy instead of the service. */
export async function refusal(response) {
  let problem = {};
  if (response.headers.get("Content-Type")?.startsWith("application/problem+json")) {
    problem = await response.json().catch(() => ({}));
  }
  const seconds = Number(response.headers.get("Retry-After"));
  return new Refused(
    { title: "The service cannot answer right now", detail: "", ...problem, status: response.status },
    seconds > 0 ? seconds : 0,
  );
}

async function getJSON(path, signal) {
  const response = await send(path, { signal });
  if (!response.ok) throw await refusal(response);
  return response.json();
}
