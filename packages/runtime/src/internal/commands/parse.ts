/**
 * Reads a command row's text. Commands come from the transport envelope only,
 * never from an agent's output; a text that looks like a command and is none gets
 * a hint instead of an agent's turn.
 */
import * as Option from "effect/Option"
import type { outputModes } from "../session/Written.ts"

/** A command as a person wrote it. Minutes are whole; names are as given. */
export type Command =
  | { readonly _tag: "Stop" }
  | { readonly _tag: "New"; readonly name: string | undefined; readonly persona: string | undefined }
  | { readonly _tag: "Switch"; readonly name: string }
  /** Without a name: the current one. */
  | { readonly _tag: "Archive"; readonly name: string | undefined }
  | { readonly _tag: "Status" }
  | { readonly _tag: "Sessions" }
  | { readonly _tag: "Timeout"; readonly minutes: number | undefined }
  | { readonly _tag: "Queue"; readonly mode: string | undefined }
  /** Without a model it asks; `default` is the agent's own. */
  | { readonly _tag: "Model"; readonly model: string | undefined }
  /** Its agent has no models to choose from. */
  | { readonly _tag: "NoModels"; readonly agent: string }
  | { readonly _tag: "Output"; readonly mode: (typeof outputModes)[number] }
  | { readonly _tag: "Usage" }
  | { readonly _tag: "Whoami" }
  | { readonly _tag: "Retry" }
  | { readonly _tag: "Forget"; readonly confirmed: boolean }
  | { readonly _tag: "Help" }
  | { readonly _tag: "Allow"; readonly number: number | undefined; readonly option: string }
  /** `/archive`, whose export could not be written. */
  | { readonly _tag: "Unwritten" }
  /** Known, but its argument is not possible. */
  | { readonly _tag: "Refused"; readonly value: string; readonly allowed: string }
  | { readonly _tag: "Unknown"; readonly word: string }

const shape = /^\/([a-z][a-z0-9_-]{0,31})(?:@[\w-]{1,64})?(?:\s+([\s\S]*))?$/i

/** Whether a text is a command: a slash, a word, and nothing that makes it a path. */
export const isCommand = (text: string): boolean => shape.test(text.trim())

const sessionName = /^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,63}$/u
// What a fresh start set aside is called `main~7`.
const knownName = /^[\p{L}\p{N}][\p{L}\p{N} ._~-]{0,95}$/u

/** Modes that `/queue` sets. */
export const queueModes = ["collect", "followup", "steer", "interrupt"] as const

const refused = (value: string, allowed: string): Command => ({ _tag: "Refused", value, allowed })

const named = (args: ReadonlyArray<string>, make: (name: string) => Command, shape = sessionName): Command => {
  const name = args[0] ?? ""
  return shape.test(name) ? make(name) : refused(name, "a name of letters, digits, dots and dashes")
}

const timeout = (arg: string | undefined): Command => {
  if (arg === undefined) return { _tag: "Timeout", minutes: undefined }
  const minutes = /^\d{1,4}$/.test(arg) ? Number(arg) : Number.NaN
  return minutes >= 1 && minutes <= 120 ? { _tag: "Timeout", minutes } : refused(arg, "1 to 120 minutes")
}

const queue = (arg: string | undefined): Command => {
  // A telephone writes the first letter large.
  const mode = arg?.toLowerCase()
  return mode === undefined || queueModes.some((known) => known === mode)
    ? { _tag: "Queue", mode }
    : refused(mode, queueModes.join(", "))
}

const model = (name: string | undefined): Command =>
  name === undefined || /^[\w][\w.:/@-]{0,127}$/.test(name)
    ? { _tag: "Model", model: name }
    : refused(name, 'the name of a model, or "default"')

const allow = (args: ReadonlyArray<string>): Command => {
  const [number, ...rest] = args
  return number !== undefined && /^\d{1,9}$/.test(number) && rest.length > 0
    ? { _tag: "Allow", number: Number(number), option: rest.join(" ") }
    : refused(args.join(" "), "/allow with the question's number and your choice")
}

const words: Readonly<Record<string, (args: ReadonlyArray<string>) => Command>> = {
  stop: () => ({ _tag: "Stop" }),
  new: (args) =>
    args.length === 0
      ? { _tag: "New", name: undefined, persona: undefined }
      : named(args, (name) => ({ _tag: "New", name, persona: args[1] })),
  session: (args) => named(args, (name) => ({ _tag: "Switch", name }), knownName),
  archive: (args) =>
    args.length === 0
      ? { _tag: "Archive", name: undefined }
      : named(args, (name) => ({ _tag: "Archive", name }), knownName),
  status: () => ({ _tag: "Status" }),
  sessions: () => ({ _tag: "Sessions" }),
  timeout: ([arg]) => timeout(arg),
  queue: ([mode]) => queue(mode),
  model: ([name]) => model(name),
  smart: () => ({ _tag: "Output", mode: "smart" }),
  verbose: () => ({ _tag: "Output", mode: "verbose" }),
  default: () => ({ _tag: "Output", mode: "default" }),
  usage: () => ({ _tag: "Usage" }),
  whoami: () => ({ _tag: "Whoami" }),
  retry: () => ({ _tag: "Retry" }),
  forget: ([arg]) => ({ _tag: "Forget", confirmed: arg?.toLowerCase() === "yes" }),
  help: () => ({ _tag: "Help" }),
  start: () => ({ _tag: "Help" }),
  allow
}

/** Reads a command; a text without a slash is the answer to an open question. */
export const parseCommand = (text: string): Command => {
  const match = shape.exec(text.trim())
  if (match === null) return { _tag: "Allow", number: undefined, option: text.trim() }
  const word = (match[1] ?? "").toLowerCase()
  const args = (match[2] ?? "")
    .trim()
    .split(/\s+/)
    .filter((arg) => arg !== "")
  const known = Object.hasOwn(words, word) ? Option.fromNullishOr(words[word]) : Option.none()
  return Option.isSome(known) ? known.value(args) : { _tag: "Unknown", word: `/${word}` }
}

/** Whether the command may make another session the current one: what comes after it is of that one. */
export const switchesSession = (text: string): boolean => {
  if (!isCommand(text)) return false
  const { _tag } = parseCommand(text)
  return _tag === "New" || _tag === "Switch" || _tag === "Archive" || _tag === "Forget"
}
