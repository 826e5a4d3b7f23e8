/**
 * Reads a command row's text. Commands come from the transport envelope only,
 * never from an agent's output; a text that looks like a command and is none gets
 * a hint instead of an agent's turn.
 */
import { Invalid } from "../../Message.ts"

/** How answers are written; `default` is the answer, with its tools while they run, `smart` its beginning with the whole as a file. */
export const outputModes = ["default", "verbose", "smart"] as const

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
  /** Without a model it asks; `default` is the agent's own. `offered` are those that are known. */
  | { readonly _tag: "Model"; readonly model: string | undefined; readonly offered?: ReadonlyArray<string> }
  /** Its agent has no models to choose from. */
  | { readonly _tag: "NoModels"; readonly agent: string }
  | { readonly _tag: "Output"; readonly mode: (typeof outputModes)[number] }
  /** Whether a restart is told here; without `on` it is asked. */
  | { readonly _tag: "Notices"; readonly on: boolean | undefined }
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

/** What a session can be called. */
export const sessionName = /^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,63}$/u
// What a fresh start set aside is called `main~7`.
const knownName = /^[\p{L}\p{N}][\p{L}\p{N} ._~-]{0,95}$/u

/** Modes that `/queue` sets. */
export const queueModes = ["collect", "followup", "steer", "interrupt"] as const

const refused = (value: string, allowed: string): Command => ({ _tag: "Refused", value, allowed })

const named = (args: ReadonlyArray<string>, make: (name: string) => Command, shape = sessionName): Command => {
  const name = args[0]
  if (name === undefined) return refused("", "/session with a name; /sessions lists them")
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

const notices = (arg: string | undefined): Command => {
  const wanted = arg?.toLowerCase()
  return wanted === undefined || wanted === "on" || wanted === "off"
    ? { _tag: "Notices", on: wanted === undefined ? undefined : wanted === "on" }
    : refused(wanted, "on, off")
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

/** One command as people may write it. */
interface Entry {
  /** Its arguments as a person reads them: `<has to be>`, `[may be]`. */
  readonly args: string
  /** The most arguments that it reads. */
  readonly most: number
  /** What it does, for people; none for another name of the same. */
  readonly does: string | undefined
  /** Its last argument may have spaces. */
  readonly free?: boolean
  readonly read: (args: ReadonlyArray<string>) => Command
}

const output = (mode: (typeof outputModes)[number], does: string): Entry => ({
  args: "",
  most: 0,
  does,
  read: () => ({ _tag: "Output", mode })
})

const simple = (command: Command, does: string | undefined): Entry => ({ args: "", most: 0, does, read: () => command })

/** Every command there is, in the order in which people are told of them. */
const table: Readonly<Record<string, Entry>> = {
  stop: simple({ _tag: "Stop" }, "cancel what I'm doing and what waits"),
  new: {
    args: "[name] [persona]",
    most: 2,
    does: "a fresh start; with a name, a further one beside this",
    read: (args) =>
      args.length === 0
        ? { _tag: "New", name: undefined, persona: undefined }
        : named(args, (name) => ({ _tag: "New", name, persona: args[1] }))
  },
  session: {
    args: "<name>",
    most: 1,
    does: "go to another one, also to one that is archived",
    read: (args) => named(args, (name) => ({ _tag: "Switch", name }), knownName)
  },
  sessions: simple({ _tag: "Sessions" }, "list them"),
  archive: {
    args: "[name]",
    most: 1,
    does: "set one aside, with all of it in a file; /session brings it back",
    read: (args) =>
      args.length === 0
        ? { _tag: "Archive", name: undefined }
        : named(args, (name) => ({ _tag: "Archive", name }), knownName)
  },
  status: simple({ _tag: "Status" }, "what I'm doing right now"),
  retry: simple({ _tag: "Retry" }, "try again what was stopped or set aside"),
  queue: {
    args: `[${queueModes.join("|")}]`,
    most: 1,
    does: "what happens to messages while I'm busy",
    read: ([mode]) => queue(mode)
  },
  model: {
    args: "[name]",
    most: 1,
    does: "which model answers; default is my own choice",
    read: ([name]) => model(name)
  },
  verbose: output("verbose", "answers with everything that I do"),
  default: output("default", "the answer, and what I do while I work on it"),
  smart: output("smart", "nothing but the answer; a long one as a file"),
  usage: simple({ _tag: "Usage" }, "what this one has used"),
  whoami: simple({ _tag: "Whoami" }, "who and where you are to me"),
  timeout: {
    args: "[minutes]",
    most: 1,
    does: "when I let go of an idle one (1 to 120)",
    read: ([arg]) => timeout(arg)
  },
  notices: {
    args: "[on|off]",
    most: 1,
    does: "whether I tell of a restart that makes an answer late",
    read: ([arg]) => notices(arg)
  },
  forget: {
    args: "[yes]",
    most: 1,
    does: "delete everything that was said here",
    read: ([arg]) => ({ _tag: "Forget", confirmed: arg?.toLowerCase() === "yes" })
  },
  allow: {
    args: "<number> <choice>",
    most: 2,
    does: "answer a question of mine",
    free: true,
    read: allow
  },
  help: simple({ _tag: "Help" }, "this list"),
  start: simple({ _tag: "Help" }, undefined)
}

const entryOf = (word: string): Entry | undefined => (Object.hasOwn(table, word) ? table[word] : undefined)

/** A command as programs are told of it. */
export interface CommandInfo {
  /** `/model` */
  readonly command: string
  /** `[name]`: in square brackets what may be left out, otherwise angle brackets; empty where there are none. */
  readonly arguments: string
  readonly does: string
}

/** What people can write instead of a message, in the order in which they are told. */
export const commands: ReadonlyArray<CommandInfo> = Object.entries(table).flatMap(([word, { args, does }]) =>
  does === undefined ? [] : [{ command: `/${word}`, arguments: args, does }]
)

/** Reads a command; a text without a slash is the answer to an open question. */
export const parseCommand = (text: string): Command => {
  const match = shape.exec(text.trim())
  if (match === null) return { _tag: "Allow", number: undefined, option: text.trim() }
  const word = (match[1] ?? "").toLowerCase()
  const args = (match[2] ?? "")
    .trim()
    .split(/\s+/)
    .filter((arg) => arg !== "")
  const entry = entryOf(word)
  if (entry === undefined) return { _tag: "Unknown", word: `/${word}` }
  // A word too many may have been meant: "/stop please" is clear, "/model large and fast" is not.
  const excess = entry.most === 0 || entry.free === true ? [] : args.slice(entry.most)
  return excess.length === 0 ? entry.read(args) : refused(excess.join(" "), `/${word} ${entry.args}`)
}

const wrongArgument = (value: string, remedy: string) =>
  new Invalid({ field: "arguments", value: JSON.stringify(value), remedy })

/**
 * The text of a command that a program gives in parts, to be accepted like any message. `undefined` when there is no such
 * command. Stricter than with people: what would be ignored of their words is refused here.
 */
export const commandText = (command: string, args: ReadonlyArray<string> = []): string | Invalid | undefined => {
  const word = command.replace(/^\//, "").toLowerCase()
  const entry = entryOf(word)
  if (entry === undefined) return undefined
  const form = `the command is /${word}${entry.args === "" ? "" : ` ${entry.args}`}`
  const excess = args[entry.most]
  if (excess !== undefined) return wrongArgument(excess, `leave it out; ${form}`)
  const broken = args.find(
    (arg, index) => arg.trim() === "" || (/\s/.test(arg) && !(entry.free === true && index === entry.most - 1))
  )
  if (broken !== undefined) return wrongArgument(broken, `give each argument as a text without spaces; ${form}`)
  const read = entry.read(args)
  return read._tag === "Refused"
    ? wrongArgument(read.value, `use ${read.allowed}; ${form}`)
    : [`/${word}`, ...args].join(" ")
}

/** Whether the command may make another session the current one: what comes after it is of that one. */
export const switchesSession = (text: string): boolean => {
  if (!isCommand(text)) return false
  const { _tag } = parseCommand(text)
  return _tag === "New" || _tag === "Switch" || _tag === "Archive" || _tag === "Forget"
}
