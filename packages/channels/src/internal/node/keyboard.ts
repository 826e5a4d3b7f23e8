/**
 * The process's own terminal: line editing by Node's readline, answers written
 * above the line that is being typed, a paste taken as one message, Ctrl-C and
 * Ctrl-D as what they mean. Without a terminal the lines of the input are
 * messages, the answers alone go to the output, and everything else beside it.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Readline from "node:readline"
import type { Readable, Writable } from "node:stream"
import type { Screen } from "../terminal/transcript.ts"

/** What a conversation takes from a terminal and gives to it. */
export interface Keyboard {
  readonly input: Stream.Stream<string>
  readonly interrupts: Stream.Stream<void>
  readonly screen: Screen
  readonly whenInputEnds: "leave" | "wait"
  readonly streaming: boolean
}

/** Lines that came together are one message; a command stands alone. */
export const messages = (lines: ReadonlyArray<string>): ReadonlyArray<string> => {
  const found: Array<string> = []
  let together: Array<string> = []
  const flush = () => {
    // empty lines around it go, the indentation of its first line stays
    const text = together
      .join("\n")
      .replace(/^(?:[ \t]*\n)+/, "")
      .trimEnd()
    if (text !== "") found.push(text)
    together = []
  }
  for (const line of lines) {
    if (!line.startsWith("/")) together.push(line)
    else {
      flush()
      found.push(line)
    }
  }
  flush()
  return found
}

/** Wide characters count two, so the estimate is never below what a terminal uses. */
const width = (text: string): number => {
  let sum = 0
  for (const character of text) sum += (character.codePointAt(0) ?? 0) >= 0x1100 ? 2 : 1
  return sum
}

/** Cuts a text into lines that fit, at spaces where there are any; the last one may go on. */
export const wrap = (text: string, columns: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const whole of text.split("\n")) {
    let line = whole
    while (width(line) >= columns) {
      let end = 0
      let used = 0
      for (const character of line) {
        used += width(character)
        if (used >= columns) break
        end += character.length
      }
      const space = line.lastIndexOf(" ", end)
      const at = space > 0 ? space : Math.max(end, 1)
      lines.push(line.slice(0, at))
      line = line.slice(space > 0 ? at + 1 : at)
    }
    lines.push(line)
  }
  return lines
}

/** The screen above the line that is being typed. `partial` is the line of an answer that is not finished. */
class Above {
  private readonly readline: Readline.Interface
  private readonly output: Writable & { readonly columns?: number }
  private partial = ""
  private isShown = false
  private signRows = 0
  /** Under the answer, as long as something is being done. */
  private sign = ""

  constructor(readline: Readline.Interface, output: Writable & { readonly columns?: number }) {
    this.readline = readline
    this.output = output
  }

  /** Shows a sign that something is being done, or takes it away. */
  show(sign: string): void {
    if (sign === this.sign) return
    this.sign = sign
    this.write("")
  }

  /** A line was entered, and stands between what is still growing and the fresh prompt: it goes above that. */
  entered(line: string): void {
    const growing = (this.isShown ? 1 : 0) + this.signRows
    if (growing > 0) {
      const typed = `${this.readline.getPrompt()}${line}`
      const rows = Math.floor(width(typed) / this.columns) + 1
      Readline.moveCursor(this.output, 0, -(rows + growing))
      Readline.cursorTo(this.output, 0)
      Readline.clearScreenDown(this.output)
      this.output.write(`${typed}\n`)
      this.isShown = false
      this.signRows = 0
      this.write("")
    } else this.readline.prompt()
  }

  private get columns(): number {
    return Math.max(20, this.output.columns ?? 80)
  }

  /** Writes text above the prompt and draws the prompt again, with what is being typed in it. */
  write(text: string): void {
    this.output.cork()
    const { rows } = this.readline.getCursorPos()
    Readline.moveCursor(this.output, 0, -(rows + (this.isShown ? 1 : 0) + this.signRows))
    Readline.cursorTo(this.output, 0)
    Readline.clearScreenDown(this.output)
    const lines = wrap(this.partial + text, this.columns)
    this.partial = lines.at(-1) ?? ""
    for (const line of lines.slice(0, -1)) this.output.write(`${line}\n`)
    this.isShown = this.partial !== ""
    if (this.isShown) this.output.write(`${this.partial}\n`)
    this.signRows = this.sign === "" ? 0 : 1
    if (this.sign !== "") this.output.write(`${this.sign}\n`)
    // the prompt begins on a fresh row now; readline would go up over what was written
    Reflect.set(this.readline, "prevRows", 0)
    this.readline.prompt(true)
    this.output.uncork()
  }
}

/** Stands under what the gateway says, while it works on the next of it. */
const works = "(working ...)"

/** Stands before what the gateway says, as the prompt stands before what is typed. */
const speaks = "< "

const bracketedPaste = { on: "\u001b[?2004h", off: "\u001b[?2004l" }

/** A terminal with a person at it. */
export const interactive = Effect.fnUntraced(function* (options: {
  readonly input: Readable
  readonly output: Writable & { readonly columns?: number }
  readonly prompt?: string
}): Effect.fn.Return<Keyboard, never, Scope.Scope> {
  const { input, output } = options
  const typed = yield* Queue.unbounded<string, Cause.Done>()
  const interrupts = yield* Queue.unbounded<void>()
  const readline = yield* Effect.acquireRelease(
    Effect.sync(() =>
      Readline.createInterface({ input, output, prompt: options.prompt ?? "> ", terminal: true, historySize: 500 })
    ),
    (readline) =>
      Effect.sync(() => {
        readline.close()
        output.write(`${bracketedPaste.off}\n`)
      })
  )
  const above = new Above(readline, output)
  // lines of a paste wait for the Enter that follows it
  let pasting = false
  let pasted: Array<string> = []
  const onKey = (_: string | undefined, key: Readline.Key | undefined) => {
    if (key?.name === "paste-start") pasting = true
    if (key?.name === "paste-end") pasting = false
  }
  input.on("keypress", onKey)
  yield* Effect.addFinalizer(() => Effect.sync(() => void input.off("keypress", onKey)))
  readline.on("line", (line) => {
    pasted.push(line)
    if (pasting) return
    for (const message of messages(pasted)) Queue.offerUnsafe(typed, message)
    if (pasted.length === 1) above.entered(line)
    else readline.prompt()
    pasted = []
  })
  readline.on("SIGINT", () => {
    pasted = []
    // what is being typed goes too, as in every shell
    readline.write(null, { ctrl: true, name: "e" })
    readline.write(null, { ctrl: true, name: "u" })
    Queue.offerUnsafe(interrupts, undefined)
  })
  readline.on("close", () => Queue.endUnsafe(typed))
  output.write(bracketedPaste.on)
  readline.prompt()
  return {
    input: Stream.fromQueue(typed),
    interrupts: Stream.fromQueue(interrupts),
    screen: {
      begin: Effect.sync(() => above.write(speaks)),
      write: (text) => Effect.sync(() => above.write(text)),
      note: (line) => Effect.sync(() => above.write(`${line}\n`)),
      working: (isIt) => Effect.sync(() => above.show(isIt ? works : ""))
    },
    whenInputEnds: "leave",
    streaming: true
  }
})

const writeTo = (stream: Writable) => (text: string) =>
  // the next one waits until this one is taken: a slow reader holds the answers, not the memory
  Effect.callback<void>((resume) => {
    stream.write(text, () => resume(Effect.void))
  })

/** Text beyond this length is not held back for the line that is not finished. */
const longest = 200_000

/**
 * The messages in what has arrived: a write that ends with its line is a message, as a program at the other end means
 * it; a file comes in pieces that end anywhere, and those are held together.
 */
export const arrived = (held: string, chunk: string, isEnd: boolean): readonly [string, ReadonlyArray<string>] => {
  const text = held + chunk
  const at = text.lastIndexOf("\n") + 1
  if (isEnd || at === text.length) return ["", messages(text.split(/\r?\n/))]
  if (text.length < longest) return [text, []]
  return at === 0 ? ["", [text]] : [text.slice(at), messages(text.slice(0, at).split(/\r?\n/))]
}

/** Input and output that are no terminal: `echo hi | sluice chat`. */
export const piped = (options: {
  readonly input: Readable
  readonly output: Writable
  readonly notes: Writable
}): Keyboard => {
  const write = writeTo(options.output)
  const note = writeTo(options.notes)
  const bytes: Stream.Stream<Uint8Array> = Stream.fromAsyncIterable(options.input, (cause) => cause).pipe(
    // an input that breaks is an input that ended
    Stream.orElseSucceed(() => new Uint8Array(0))
  )
  const lines = Stream.decodeText(bytes).pipe(
    Stream.concat(Stream.succeed(undefined)),
    Stream.mapAccum(
      () => "",
      (held: string, chunk: string | undefined) => arrived(held, chunk ?? "", chunk === undefined)
    )
  )
  return {
    input: lines,
    interrupts: Stream.never,
    screen: { write, note: (line) => note(`${line}\n`) },
    whenInputEnds: "wait",
    streaming: false
  }
}

/** The terminal of this process, or its pipes. */
export const attach: Effect.Effect<Keyboard, never, Scope.Scope> = Effect.suspend(() =>
  process.stdin.isTTY && process.stdout.isTTY
    ? interactive({ input: process.stdin, output: process.stdout })
    : Effect.succeed(piped({ input: process.stdin, output: process.stdout, notes: process.stderr }))
)
