/**
 * Cuts a long answer into messages. Paragraphs and code blocks stay whole where
 * they fit into one; a code block that doesn't is closed at the cut and opened
 * again in the next part, so that each part is right by itself. Pure: a part is
 * the same after a crash, which is what makes editing it in again harmless.
 */

interface Block {
  readonly lines: Array<string>
  /** The line that opened it and the one that closes it; none for a paragraph. */
  readonly fence: { readonly open: string; readonly close: string } | undefined
}

const opening = /^(\s{0,12})(`{3,32}|~{3,32})([^`\n]{0,64})$/

const fenceOf = (line: string): Block["fence"] => {
  const [, indent = "", marks = ""] = opening.exec(line) ?? []
  return marks === "" ? undefined : { open: line, close: indent + marks }
}

const closes = (line: string, fence: NonNullable<Block["fence"]>): boolean => {
  const marks = line.trim()
  const wanted = fence.close.trim()
  return marks.startsWith(wanted) && marks === (wanted[0] ?? "").repeat(marks.length)
}

/** Paragraphs with the blank lines behind them, and code blocks. */
const blocksOf = (text: string): ReadonlyArray<Block> => {
  const blocks: Array<Block> = []
  let block: Block | undefined
  let open = false
  let blank = false
  for (const line of text.split("\n")) {
    if (open && block?.fence !== undefined) {
      block.lines.push(line)
      if (closes(line, block.fence)) {
        open = false
        block = undefined
      }
      continue
    }
    const fence = fenceOf(line)
    const isBlank = line.trim() === ""
    if (fence !== undefined || block === undefined || (blank && !isBlank)) {
      block = { lines: [line], fence }
      blocks.push(block)
      open = fence !== undefined
    } else {
      block.lines.push(line)
    }
    blank = isBlank
  }
  return blocks
}

/** Where to cut a line: behind the last space that is not too far from its end, else between two characters. */
const cutOf = (line: string, room: number): number => {
  const space = line.lastIndexOf(" ", room - 1)
  if (space >= room / 2) return space + 1
  const last = line.charCodeAt(room - 1)
  return last >= 0xd800 && last <= 0xdbff && room > 1 ? room - 1 : room
}

/** A line in pieces of at most `room`. */
const pieces = (line: string, room: number): ReadonlyArray<string> => {
  const cut: Array<string> = []
  let rest = line
  while (rest.length > room) {
    const at = cutOf(rest, room)
    cut.push(rest.slice(0, at))
    rest = rest.slice(at)
  }
  return [...cut, rest]
}

/** Lines packed into texts of at most `room`. */
const packed = (lines: ReadonlyArray<string>, room: number): ReadonlyArray<string> => {
  const texts: Array<string> = []
  let text: string | undefined
  for (const line of lines.flatMap((line) => pieces(line, room))) {
    const longer: string = text === undefined ? line : `${text}\n${line}`
    if (longer.length <= room) {
      text = longer
      continue
    }
    if (text !== undefined) texts.push(text)
    text = line
  }
  return text === undefined ? texts : [...texts, text]
}

/** A block that is too long for one message. */
const broken = ({ fence, lines }: Block, limit: number): ReadonlyArray<string> => {
  if (fence === undefined) return packed(lines, limit)
  const last = lines.at(-1) ?? ""
  const inside = lines.slice(1, lines.length > 1 && closes(last, fence) ? -1 : undefined)
  const room = limit - fence.open.length - fence.close.length - 2
  return packed(inside, room).map((text) => `${fence.open}\n${text}\n${fence.close}`)
}

/** The texts of a long answer's messages, none longer than `limit` UTF-16 units (at least 256). */
export const split = (text: string, limit: number): ReadonlyArray<string> => {
  if (text.length <= limit) return [text]
  const parts: Array<string> = []
  let part: string | undefined
  for (const block of blocksOf(text)) {
    const whole = block.lines.join("\n")
    const together: string = part === undefined ? whole : `${part}\n${whole}`
    if (together.length <= limit) {
      part = together
      continue
    }
    if (part !== undefined) parts.push(part)
    part = undefined
    const own = whole.length <= limit ? [whole] : broken(block, limit)
    parts.push(...own.slice(0, -1))
    part = own.at(-1)
  }
  return part === undefined ? parts : [...parts, part]
}
