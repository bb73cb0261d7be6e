// Embeddable players of YouTube and Vimeo.

const YOUTUBE = new Set(["youtube.com", "youtube-nocookie.com", "youtu.be"]);

/** The player `{host, src}` of a video at a second, or null if it cannot be embedded. */
export function playerOf(address, seconds) {
  const url = webAddress(address);
  if (!url) return null;
  const start = Math.floor(seconds ?? 0);
  const host = url.hostname.replace(/^(www|m|music)\./, "");
  const parts = url.pathname.split("/").filter(Boolean);
  if (YOUTUBE.has(host)) {
    const paths = ["embed", "live", "shorts", "v"];
    const id = host === "youtu.be" ? parts[0]
      : paths.includes(parts[0]) ? parts[1] : url.searchParams.get("v");
    if (!/^[\w-]{11}$/.test(id ?? "")) return null;
    const query = `autoplay=1&rel=0&start=${start}`;
    return { host: "YouTube", src: `https://www.youtube-nocookie.com/embed/${id}?${query}` };
  }
  if (host === "vimeo.com" || host === "player.vimeo.com") {
    const [id, hash] = parts[0] === "video" ? parts.slice(1) : parts;
    if (!/^\d+$/.test(id ?? "")) return null;
    // The hash of an unlisted video.
    const unlisted = /^[0-9a-f]+$/.test(hash ?? "") ? `&h=${hash}` : "";
    const query = `autoplay=1&dnt=1${unlisted}`;
    return { host: "Vimeo", src: `https://player.vimeo.com/video/${id}?${query}#t=${start}s` };
  }
  return null;
}

/** Parse an http or https address as a URL; null for anything else. */
export function webAddress(address) {
  if (!URL.canParse(address ?? "")) return null;
  const url = new URL(address);
  return url.protocol === "https:" || url.protocol === "http:" ? url : null;
}

/** Create the player. It loads when it is added to the page. */
export function playerFrame({ src }, title) {
  const frame = document.createElement("iframe");
  frame.title = title;
  frame.allow = "autoplay; encrypted-media; fullscreen; picture-in-picture";
  // YouTube refuses to play without a referrer.
  frame.referrerPolicy = "strict-origin-when-cross-origin";
  frame.sandbox =
    "allow-scripts allow-same-origin allow-popups allow-popups-to-escape-sandbox allow-presentation";
  frame.src = src;
  return frame;
}
