// A video's address and a second come in; the address of a player that may be embedded goes out.

const YOUTUBE = new Set(["youtube.com", "youtube-nocookie.com", "youtu.be"]);

/** Return `{host, src}`, or null where the video is none that may be embedded. */
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
    // An unlisted video's second name.
    const unlisted = /^[0-9a-f]+$/.test(hash ?? "") ? `&h=${hash}` : "";
    const query = `autoplay=1&dnt=1${unlisted}`;
    return { host: "Vimeo", src: `https://player.vimeo.com/video/${id}?${query}#t=${start}s` };
  }
  return null;
}

/** Return an address of the web as a URL; null for anything else. */
export function webAddress(address) {
  if (!URL.canParse(address ?? "")) return null;
  const url = new URL(address);
  return url.protocol === "https:" || url.protocol === "http:" ? url : null;
}

/** Make the player; nothing is loaded before this is in the page. */
export function playerFrame({ src }, title) {
  const frame = document.createElement("iframe");
  frame.title = title;
  frame.allow = "autoplay; encrypted-media; fullscreen; picture-in-picture";
  // YouTube plays nothing for a page that does not say where it is.
  frame.referrerPolicy = "strict-origin-when-cross-origin";
  frame.sandbox =
    "allow-scripts allow-same-origin allow-popups allow-popups-to-escape-sandbox allow-presentation";
  frame.src = src;
  return frame;
}
