/**
 * The CLI's output as messages: a JSON object a line. Lines that are none (a
 * warning, a banner) are handed on as strays, a line without an end is bounded.
 * Nothing is assumed of a message but that it is an object with a `type`: versions
 * add types and fields all the time.
 */

/** One message of the CLI, or a part of one. */
export type Message = Readonly<Record<string, unknown>>

/** The longest message in bytes. Results of tools come whole. */
export const maxMessage = 32 * 1024 * 1024

export const isRecord = (value: unknown): value is Message =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** A member that is a text. */
export const text = (message: Message | undefined, name: string): string | undefined => {
  const value = message?.[name]
  return typeof value === "string" ? value : undefined
}

/** A member that is a number. */
export const number = (message: Message | undefined, name: string): number | undefined => {
  const value = message?.[name]
  return typeof value === "number" && Number.isFinite(value) ? value : undefined
}

/** A member that is an object. */
export const record = (message: Message | undefined, name: string): Message | undefined => {
  const value = message?.[name]
  return isRecord(value) ? value : undefined
}

/** A member that is a list, as far as its entries are objects. */
export const records = (message: Message | undefined, name: string): ReadonlyArray<Message> => {
  const value = message?.[name]
  return Array.isArray(value) ? value.filter(isRecord) : []
}

/** A member that is a list, as far as its entries are texts; `undefined` when there is none. */
export const texts = (message: Message | undefined, name: string): ReadonlyArray<string> | undefined => {
  const value = message?.[name]
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : undefined
}

/** Reads one line; `undefined` when it is no message. */
export const messageOf = (line: string): Message | undefined => {
  try {
    const value: unknown = JSON.parse(line)
    return isRecord(value) && typeof value["type"] === "string" ? value : undefined
  } catch {
    return undefined
  }
}

/** Cuts bytes into lines without the empty ones; `undefined` once a line is too long. */
export const splitter = () => {
  const utf8 = new TextDecoder()
  let held: Array<Uint8Array> = []
  let size = 0
  return (chunk: Uint8Array): ReadonlyArray<string> | undefined => {
    const lines: Array<string> = []
    let from = 0
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, from)) {
      const last = chunk.subarray(from, at)
      const line = utf8.decode(held.length === 0 ? last : Buffer.concat([...held, last])).trim()
      if (line !== "") lines.push(line)
      held = []
      size = 0
      from = at + 1
    }
    if (from < chunk.length) {
      held.push(chunk.subarray(from))
      size += chunk.length - from
    }
    return size > maxMessage ? undefined : lines
  }
}
