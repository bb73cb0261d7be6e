// User-facing texts for the service's codes: tiers, endings, errors, sources.

/** Format seconds as a time stamp: 1:05, 1:02:05. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const [hours, minutes] = [Math.floor(whole / 3_600), Math.floor(whole / 60) % 60];
  const rest = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** The time stamp at which a source starts, or its kind if it has none. */
export function moment({ kind, start_seconds: start }) {
  if (start !== null) return clock(start);
  return kind === "page" ? "Page" : "Video";
}

/** The kind of a source. A transcript without times stands for the whole video. */
export function kindText({ kind, start_seconds: start }) {
  if (kind === "page") return "A page";
  return start === null ? "A video" : "A moment in a video";
}

/** The text of the link to a source. */
export function linkText({ kind, start_seconds: start }) {
  if (kind === "page") return "Read the page";
  return start === null ? "Watch the video" : `Watch from ${clock(start)}`;
}

/** The accessible name of a citation mark. */
export function sourceName(source) {
  const at = source.start_seconds === null ? "" : `, at ${clock(source.start_seconds)}`;
  return `Source ${source.number}: ${source.title}, ${source.creator.name}${at}`;
}

/** Count things: "1 page", "2 pages". */
export const counted = (count, thing) => `${count} ${thing}${count === 1 ? "" : "s"}`;

/** How many videos and pages a creator has. */
export function holdings({ videos, pages }) {
  const parts = [videos && counted(videos, "video"), pages && counted(pages, "page")];
  return parts.filter(Boolean).join(", ") || "nothing yet";
}

const DIRECTIONS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

const LATIN = /^[\p{Script=Latin}\p{M}\d .,'’-]*$/u;

/** A text without characters that change the direction of what follows. */
export const withoutDirections = (text) => text.replace(DIRECTIONS, "");

/** Isolate a name whose script may run in another direction than the sentence. */
export function isolated(name) {
  return LATIN.test(name) ? name : `\u2068${withoutDirections(name)}\u2069`;
}

/**
 * Whose material answered. `asked` is the name that the question gave; `scope` is `done.scope`, or
 * null if only the tier is known. A refusal says itself that the library has no answer.
 */
export function scopeText({ cascade_tier: tier, finish_reason: reason }, asked, scope) {
  const unknown = asked && scope?.tiers.length && !scope.creator
    ? `No creator is called “${isolated(asked)}”` : "";
  if (tier === "none") {
    if (reason === "stop" || reason === "length") return "From the conversation so far.";
    return unknown && `${unknown}.`;
  }
  if (!asked) return "From the whole library.";
  if (unknown) return `${unknown}, so this is from the whole library.`;
  const name = isolated(scope?.creator?.name ?? asked);
  if (tier === "creator") return `From ${name}’s own videos and pages.`;
  const others = tier === "domain" ? "other creators on the same topic" : "the whole library";
  if (!scope) return `Not from ${name}: this is from ${others}.`;
  const own = scope.tiers.find((one) => one.tier === "creator");
  const little = own?.verdict === "others say more" ? `${name} says little about this`
    : `${name} has nothing about this`;
  return `${little}. This is from ${others}.`;
}

/** Whether a reply is to a greeting, thanks or the like: nothing was searched or remembered. */
export const isSmallTalk = ({ finish_reason: reason, scope }) =>
  reason === "refused" && scope.tiers.length === 0;

/** Label the sources that the answer does not cite. */
export function uncitedText(count, cited, { cascade_tier: tier }) {
  if (tier === "none") return cited ? counted(count, "more moment") : counted(count, "closest moment");
  return cited ? `${counted(count, "more source")} (not cited)`
    : `${counted(count, "source")} (none cited)`;
}

/** How an answer ended, if not normally. */
export function endingText({ finish_reason: reason, cascade_tier: tier, memory }) {
  const said = {
    refused: tier !== "none" && "The language model declined to answer.",
    length: "The answer reached the maximum length.",
    stopped: "Stopped.",
    abandoned: "The answer was cut off because no page was following it.",
  }[reason];
  const forgotten = "This answer could not be saved to the conversation, so a follow-up cannot refer to it.";
  return [said, memory === "unavailable" && forgotten].filter(Boolean).join(" ");
}

const FIELDS = {
  "/query": "Your question",
  "/creator": "The creator’s name",
  "/conversation_id": "The conversation id",
};

/** What went wrong and what to do: a title and a detail. */
export function problemText({ title, detail, status, errors }) {
  if (status === 422 && errors?.length) {
    const said = errors.map((error) => `${FIELDS[error.pointer] ?? error.pointer} ${error.detail}.`);
    return { title: "This question cannot be sent.", detail: said.join(" ") };
  }
  return { title: `${title}.`, detail: detail || "Try again in a moment." };
}

/** Why there is no response yet. Browsers open six connections to a site that speaks HTTP/1.1. */
export function waitingText(protocol) {
  return protocol === "http/1.1"
    ? "Waiting for a connection. Your browser allows six per site, and other tabs may be using them…"
    : "Waiting for the service…";
}

/** Why the answer is delayed. */
export function retryText(seconds, problem, begun) {
  const soon = `Trying again in ${counted(seconds, "second")}…`;
  if (problem) return `${problem.title}. ${soon}`;
  return begun ? `The connection was lost. ${soon}` : `The service cannot be reached. ${soon}`;
}
