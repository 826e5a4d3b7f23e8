/**
 * The beginning of a long answer, for those who want the rest as a file: as many of
 * its first paragraphs as fit. It ends where a paragraph does and outside of code
 * wherever it can, so that who has seen all of it being written knows it again.
 */

/** Answers of at most so many UTF-16 units are sent whole; a beginning is never longer. */
export const shortLength = 1500

const fence = /^ {0,3}(`{3,}|~{3,})/

/** Where the last paragraph that fits ends, outside of code; 0 when none does. */
const paragraphs = (text: string): number => {
  let [at, end] = [0, 0]
  let open: string | undefined
  for (const line of text.slice(0, shortLength + 1).split("\n")) {
    if (line.trim() === "" && open === undefined) end = at
    at += line.length + 1
    if (at > shortLength) break
    const [, mark] = fence.exec(line) ?? []
    if (open === undefined) open = mark
    else if (mark?.startsWith(open) === true && line.trim() === mark) open = undefined
  }
  return end
}

/** See the header. */
export const beginning = (text: string): string => {
  if (text.length <= shortLength) return text
  const whole = text.slice(0, paragraphs(text)).trimEnd()
  if (whole.trim() !== "") return whole
  // One long paragraph, or a long piece of code: where a word ends.
  const cut = text.slice(0, shortLength - 1)
  const space = cut.search(/\s\S*$/)
  const words = space > shortLength / 2 ? cut.slice(0, space) : cut.replace(/[\ud800-\udbff]$/, "")
  return `${words.trimEnd()}…`
}
