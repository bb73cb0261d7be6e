// What the service tells in codes comes in; what it means to the person who asks goes out.

/** Write seconds as a clock does: 1:05, 1:02:05. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const [hours, minutes] = [Math.floor(whole / 3_600), Math.floor(whole / 60) % 60];
  const rest = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** Say when in a video a source begins, or that it is a page. */
export function moment({ kind, start_seconds: start }) {
  if (start !== null) return clock(start);
  return kind === "page" ? "Page" : "Video";
}

/** Say what a source is: a transcript without times is of the whole video. */
export function kindWords({ kind, start_seconds: start }) {
  if (kind === "page") return "A page";
  return start === null ? "A video" : "A moment in a video";
}

/** Say what there is to do where a source leads. */
export function wayWords({ kind, start_seconds: start }) {
  if (kind === "page") return "Read the page";
  return start === null ? "Watch the video" : `Watch from ${clock(start)}`;
}

/** Name a source for those who listen. */
export function sourceName(source) {
  const at = source.start_seconds === null ? "" : `, at ${clock(source.start_seconds)}`;
  return `Source ${source.number}: ${source.title}, ${source.creator.name}${at}`;
}

/** Count things in words. */
export const counted = (count, thing) => `${count} ${thing}${count === 1 ? "" : "s"}`;

/** List what a creator has. */
export function holdings({ videos, pages }) {
  const parts = [videos && counted(videos, "video"), pages && counted(pages, "page")];
  return parts.filter(Boolean).join(", ") || "nothing yet";
}

const DIRECTIONS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

const LATIN = /^[\p{Script=Latin}\p{M}\d .,'’-]*$/u;

/** Keep a name's direction from the words around it. */
function apart(name) {
  return LATIN.test(name) ? name : `\u2068${name.replace(DIRECTIONS, "")}\u2069`;
}

/**
 * Say whose material answered. `asked` is the creator that was named, by whatever name; `scope` is
 * `done.scope`, null where only the tier is known.
 */
export function scopeWords(tier, asked, scope) {
  const nothing = "The library has nothing on this.";
  if (!asked) return tier === "none" ? nothing : "From the whole library.";
  if (!scope) {
    const others = tier === "domain" ? "others on the same topic" : "the whole library";
    if (tier === "none") return nothing;
    if (tier !== "creator") return `Not from ${apart(asked)}, but from ${others}.`;
  }
  if (scope && !scope.creator) {
    const unknown = `Nobody here is called “${apart(asked)}”`;
    return tier === "none" ? `${unknown}, and the library has nothing on this.`
      : `${unknown}; from the whole library.`;
  }
  const name = apart(scope?.creator.name ?? asked);
  const own = scope?.tiers.find((one) => one.tier === "creator");
  const little = own?.verdict === "others say more" ? `${name} says little on this` : `Nothing by ${name} on this`;
  switch (tier) {
    case "creator":
      return `From ${name}’s own material.`;
    case "domain":
      return `${little}; from others on the same topic.`;
    case "global":
      return `${little}; from the whole library.`;
    default:
      return `Nothing by ${name} on this, nor by anyone else in the library.`;
  }
}

/** Say how an answer ended, where that is not simply its end. */
export function endingWords({ finish_reason: reason, cascade_tier: tier, memory }) {
  const said = {
    refused: tier !== "none" && "The language model would not answer further.",
    length: "The answer reached its longest and ends here.",
    stopped: "Stopped.",
    abandoned: "Nobody was reading, so the answer ends here.",
  }[reason];
  const forgotten = "This exchange could not be remembered: a follow-up may have to say more.";
  return [said, memory === "unavailable" && forgotten].filter(Boolean).join(" ");
}

const FIELDS = {
  "/query": "Your question",
  "/creator": "The creator’s name",
  "/conversation_id": "The conversation’s name",
};

/** Say what went wrong, and what to do: two sentences or more. */
export function problemWords({ title, detail, status, errors }) {
  if (status === 422 && errors?.length) {
    const said = errors.map((error) => `${FIELDS[error.pointer] ?? error.pointer} ${error.detail}.`);
    return { title: "That cannot be asked as it is.", detail: said.join(" ") };
  }
  return { title: `${title}.`, detail: detail || "Try again in a moment." };
}

/** Say why it takes longer. */
export function waitingWords(seconds, problem, begun) {
  const soon = `Trying again in ${counted(seconds, "second")}…`;
  if (problem) return `${problem.title}. ${soon}`;
  return begun ? `The connection was lost. ${soon}` : `The service cannot be reached. ${soon}`;
}
