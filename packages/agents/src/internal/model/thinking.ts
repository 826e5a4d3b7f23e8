/**
 * Models that think aloud in their answer: some servers leave the thoughts in the
 * text, between `<think>` and `</think>` at its very beginning. They are not for
 * the person.
 */

const open = "<think>"
const close = "</think>"

/** Takes the answer piece by piece and gives what is to be shown of it. */
export const withoutThoughts = () => {
  let state: "begins" | "thinks" | "trims" | "speaks" = "begins"
  let held = ""
  const take = (text: string): string => {
    held += text
    if (state === "begins") {
      const start = held.trimStart()
      if (start.startsWith(open)) {
        state = "thinks"
        held = start.slice(open.length)
      } else if (open.startsWith(start)) {
        return ""
      } else {
        state = "speaks"
      }
    }
    if (state === "thinks") {
      const end = held.indexOf(close)
      if (end === -1) {
        held = held.slice(-close.length)
        return ""
      }
      state = "trims"
      held = held.slice(end + close.length)
    }
    if (state === "trims") {
      held = held.trimStart()
      if (held !== "") state = "speaks"
    }
    const shown = held
    held = ""
    return shown
  }
  /** What was held back and turned out to be no thought. */
  const rest = (): string => (state === "begins" ? held : "")
  return { take, rest }
}
