// The state of this tab's conversation in session storage: survives a reload, not the tab.

const KEY = "chrysopedia";
const EMPTY = { conversation: null, heard: 0, pending: null, asked: {} };

/**
 * Load `{conversation, heard, pending, asked}`: the conversation's id, the time when the service
 * last confirmed it (milliseconds), the question whose answer is unfinished (see follow.js), and the creator asked in
 * each turn, by turn id.
 */
export function load() {
  try {
    return { ...structuredClone(EMPTY), ...JSON.parse(sessionStorage.getItem(KEY) ?? "{}") };
  } catch {
    // Storage is blocked or unreadable: a reload starts a new conversation.
    return structuredClone(EMPTY);
  }
}

/** Save the state. */
export function save(session) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(session));
  } catch {
    // Storage is blocked.
  }
}

/** Create an idempotency key. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
