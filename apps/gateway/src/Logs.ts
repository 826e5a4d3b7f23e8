/**
 * The program's log: one line per event on standard output, JSON or for people.
 * Everything passes the one encoder, known secrets are blotted out, and a line
 * that repeats itself is counted after ten times in a minute, so that a broken
 * disk or a hostile client can't drown what else is said.
 */
import * as Logger from "effect/Logger"
import { escape, escapeJson, shorten } from "./LogEncoder.ts"

/** How a log is written. */
export interface Options {
  readonly format: "json" | "pretty"
  readonly write: (line: string) => void
  /** Texts that must never be printed; asked for at each line, because they change in a rotation. */
  readonly secrets: () => ReadonlyArray<string>
  /** Milliseconds of a clock that never jumps. */
  readonly now: () => number
  readonly colors?: boolean
  /** Of the times in a terminal; asked for at each line, because a reload may change it. */
  readonly timeZone?: () => string | undefined
}

/** A logger, and what still has to be said at the end. */
export interface Log {
  readonly logger: Logger.Logger<unknown, void>
  /** Prints the counts of lines that were held back. */
  readonly flush: () => void
}

const mostPerMinute = 10
const minute = 60_000
/** Different lines whose repeats are counted at one time; beyond it the oldest count is printed and forgotten. */
const mostKinds = 1000
const longest = 16_384

interface Event {
  readonly date: Date
  readonly level: string
  readonly message: string
  readonly annotations: { readonly [key: string]: unknown }
  readonly cause: string | undefined
}

const textOf = (value: unknown): string =>
  typeof value === "string"
    ? value
    : value instanceof Error
      ? `${value.name}: ${value.message}`
      : (JSON.stringify(value) ?? String(value))

const eventOf = (options: Logger.Options<unknown>): Event => {
  const { annotations, cause, message } = Logger.formatStructured.log(options)
  const raw: ReadonlyArray<unknown> = Array.isArray(options.message) ? options.message : [options.message]
  const structured: ReadonlyArray<unknown> = raw.length === 1 || !Array.isArray(message) ? [message] : message
  return {
    date: options.date,
    level: options.logLevel.toLowerCase(),
    // An error loses its message on the way to a structure.
    message: raw.map((part, index) => textOf(part instanceof Error ? part : structured[index])).join(" "),
    annotations,
    cause
  }
}

/** What is left of an event that can't be written out: a circle, a bigint, a getter that throws. */
const remainder = ({ date, logLevel, message }: Logger.Options<unknown>, cause: unknown): Event => {
  const parts: ReadonlyArray<unknown> = Array.isArray(message) ? message : [message]
  const said = parts.map((part) =>
    typeof part === "string" ? part : part instanceof Error ? `${part.name}: ${part.message}` : "..."
  )
  const why = cause instanceof Error ? (cause.message.split("\n", 1)[0] ?? "") : String(cause)
  return {
    date,
    level: logLevel.toLowerCase(),
    message: `${said.join(" ")} (the rest of this line can't be written: ${why})`,
    annotations: {},
    cause: undefined
  }
}

/** Shorter lines of a secret are too common to be blotted out by themselves. */
const shortestLine = 8

/** A secret as it may stand in a text: as it is, within JSON, and line by line, as programs print keys of several lines. */
const formsOf = (secret: string): ReadonlyArray<string> => [
  secret,
  JSON.stringify(secret).slice(1, -1),
  ...secret
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line.length >= shortestLine)
]

/** Blots secrets out of texts, also within lists and structures. */
const blotting = (secrets: ReadonlyArray<string>) => {
  const forms = secrets.filter((secret) => secret !== "").flatMap(formsOf)
  const inText = (text: string): string => forms.reduce((left, form) => left.replaceAll(form, "<redacted>"), text)
  const inValue = (value: unknown): unknown => {
    if (typeof value === "string") return inText(value)
    if (Array.isArray(value)) return value.map(inValue)
    if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [inText(key), inValue(one)]))
  }
  return { inText, inValue }
}

/** The event without them, before it is written out, which changes characters, and cut, which leaves pieces. */
const blotted = (
  { annotations, cause, message, ...rest }: Event,
  { inText, inValue }: ReturnType<typeof blotting>
): Event => ({
  ...rest,
  message: inText(message),
  annotations: Object.fromEntries(Object.entries(annotations).map(([key, value]) => [key, inValue(value)])),
  cause: cause === undefined ? undefined : inText(cause)
})

const json = (event: Event): string => {
  const { annotations, cause, date, level, message } = event
  const line = JSON.stringify({
    time: date.toISOString(),
    level,
    message: shorten(message, longest),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    ...(cause === undefined ? {} : { cause: shorten(cause, longest) })
  })
  return escapeJson(
    line.length > 4 * longest
      ? JSON.stringify({ time: date.toISOString(), level, message: shorten(message, longest) })
      : line
  )
}

const colors: { readonly [level: string]: number } = { error: 31, fatal: 31, warn: 33, debug: 90, trace: 90 }

/** Lines that a person reads one by one: sentences, and more than one of them. */
const isSentences = (value: unknown): value is ReadonlyArray<string> =>
  Array.isArray(value) && value.length > 1 && value.every((one) => typeof one === "string" && one.includes(" "))

/** Values of a structure as values of their own: JSON within quotes is nothing to read. */
const plain = ([key, value]: readonly [string, unknown]): ReadonlyArray<readonly [string, unknown]> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Error)
    ? Object.entries(value).map(([inner, one]): readonly [string, unknown] => [`${key}.${inner}`, one])
    : [[key, value]]

const clockIn = (timeZone: string | undefined) => ({
  timeZone,
  clock: new Intl.DateTimeFormat("sv-SE", {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    fractionalSecondDigits: 3,
    timeZone
  })
})

const pretty = (options: Options) => {
  let shown: ReturnType<typeof clockIn> | undefined
  return ({ annotations, cause, date, level, message }: Event): string => {
    const color = options.colors === true ? colors[level] : undefined
    const name = level.toUpperCase().padEnd(5)
    const all = Object.entries(annotations).flatMap(plain)
    const values = all
      .filter(([, value]) => !isSentences(value))
      .map(([key, value]) => {
        const text = Array.isArray(value) ? value.map(textOf).join("; ") : textOf(value)
        return ` ${escape(key)}=${/^[^\s"=]+$/u.test(text) ? escape(shorten(text, 1024)) : escape(JSON.stringify(shorten(text, 1024)))}`
      })
    const lines = [...all.flatMap(([, value]) => (isSentences(value) ? value : [])), ...(cause ?? "").split("\n")]
      .filter((line) => line !== "")
      .map((line) => `\n    ${escape(shorten(line, 1024))}`)
    const timeZone = options.timeZone?.()
    if (shown === undefined || shown.timeZone !== timeZone) shown = clockIn(timeZone)
    const shownLevel = color === undefined ? name : `\u001b[${color}m${name}\u001b[0m`
    return `${shown.clock.format(date).replace(",", ".")} ${shownLevel} ${escape(shorten(message, longest))}${values.join("")}${lines.slice(0, 40).join("")}`
  }
}

interface Count {
  readonly since: number
  readonly event: Event
  seen: number
}

/** A log that writes with `options.write`, one line a call, without its line feed. */
export const make = (options: Options): Log => {
  const format = options.format === "json" ? json : pretty(options)
  const counts = new Map<string, Count>()
  const print = (event: Event): void => {
    const blot = blotting(options.secrets())
    // Once more in the line, for what only becomes a text there.
    options.write(blot.inText(format(blotted(event, blot))))
  }
  const close = (key: string, { event, seen }: Count): void => {
    counts.delete(key)
    const more = seen - mostPerMinute
    if (more > 0)
      print({
        ...event,
        date: new Date(),
        message: `${event.message} (${more} more times within a minute)`,
        cause: undefined
      })
  }
  const closeOld = (now: number): void => {
    // In the order in which they began: the first that still lasts ends the walk.
    for (const [key, count] of counts) {
      if (now - count.since < minute && counts.size <= mostKinds) return
      close(key, count)
    }
  }
  const log = (event: Event): void => {
    const now = options.now()
    closeOld(now)
    const key = JSON.stringify([event.level, event.message, event.annotations, event.cause])
    const count = counts.get(key)
    if (count === undefined) counts.set(key, { since: now, event, seen: 1 })
    else if (++count.seen > mostPerMinute) return
    print(event)
  }
  return {
    logger: Logger.make((entry) => {
      try {
        log(eventOf(entry))
      } catch (cause) {
        // Else whoever wanted to say it would fail, and what they do with them.
        log(remainder(entry, cause))
      }
    }),
    flush: () => {
      for (const [key, count] of counts) close(key, count)
    }
  }
}
