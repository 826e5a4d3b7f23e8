/**
 * Words for people: lengths of time, plurals, and other people's text made safe
 * to quote. A chat client must not be steered by what somebody wrote to another
 * one, so control, bidi and invisible formatting characters never come through.
 */

// Bidi controls and marks, soft hyphen, zero width space, line and paragraph separators, byte order mark, tags. Joiners
// stay: scripts and emoji need them.
const unsafe =
  // oxlint-disable-next-line no-control-regex
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e0fff}]/gu
const lone = /\p{Surrogate}/gu

/** At most `length` UTF-16 code units, cut between characters and marked with an ellipsis when something is missing. */
const cut = (text: string, length: number): string => {
  if (text.length <= length) return text
  const room = text.slice(0, length - 1)
  const whole = /[\ud800-\udbff]$/.test(room) ? room.slice(0, -1) : room
  const space = text[whole.length] === " " ? -1 : whole.lastIndexOf(" ")
  return `${(space > length / 2 ? whole.slice(0, space) : whole).trimEnd()}…`
}

/** Neutralised text that keeps its line feeds. */
export const clean = (text: string, length: number): string =>
  cut(
    text
      .slice(0, length * 4)
      .replace(/\r\n?/g, "\n")
      .replaceAll("\t", " ")
      .replace(unsafe, "")
      .replace(lone, "\ufffd"),
    length
  )

/** The first words as one neutralised line. */
export const firstWords = (text: string, length: number): string =>
  cut(
    text
      .slice(0, length * 8)
      .replace(/\s+/g, " ")
      .replace(unsafe, "")
      .replace(lone, "\ufffd")
      .trim(),
    length
  )

/** `1 message`, `3 messages`. */
export const plural = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`

/** A length of time in words: `20 s`, `15 min`, `2 hours`, `3 days`; always rounded down. */
export const span = (millis: number): string => {
  const seconds = Math.max(0, Math.floor(millis / 1000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  if (seconds < 48 * 3600) return plural(Math.floor(seconds / 3600), "hour")
  return plural(Math.floor(seconds / 86_400), "day")
}

/** How long ago: `just now`, `5 min ago`, `2 hours ago`. */
export const ago = (millis: number): string => (millis < 60_000 ? "just now" : `${span(millis)} ago`)
