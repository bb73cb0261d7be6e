// What this tab knows of its conversation comes in and goes out: it outlives a reload, not the tab.

const KEY = "chrysopedia";
const NOTHING = { conversation: null, heard: 0, pending: null, asked: {} };

/**
 * Return `{conversation, heard, pending, asked}`: the conversation's id, when it was last known to
 * be kept (in milliseconds), the question whose answer has not ended (see follow.js), and the
 * creators who were asked, by their turns' ids.
 */
export function load() {
  try {
    return { ...structuredClone(NOTHING), ...JSON.parse(sessionStorage.getItem(KEY) ?? "{}") };
  } catch {
    // No storage, or not ours: then a reload begins a new conversation.
    return structuredClone(NOTHING);
  }
}

/** Keep it. */
export function save(session) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(session));
  } catch {
    // As above.
  }
}

/** Make a key that stands for one question, however often it is sent. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
