/**
 * The protocol's messages over a child's pipes. Lines that are no messages (a
 * banner, a stray log) are counted and skipped, a line without an end is bounded,
 * and reading pauses while a turn is behind. Updates of a session are handed on
 * here, in the order of the wire: the connection above starts what it is sent
 * without waiting, so a response could overtake the update that came before it.
 */
import type { AnyMessage, Stream } from "@agentclientprotocol/sdk/unstable"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type { Child } from "../../Children.ts"

/** The longest message in bytes. Agents send whole files in them. */
export const maxMessage = 32 * 1024 * 1024

/** How much that is no message is put up with between two messages, in bytes: before the agent has initialised, and after. */
export const maxStray = { before: 64 * 1024, after: 16 * 1024 * 1024 }

/** What was written where only messages belong. */
export interface Stray {
  /** The first line of it, shortened. */
  readonly first: string
  /** How much of it there was since the last message. */
  readonly bytes: number
  /** Whether there was none before. */
  readonly isFirst: boolean
}

/** Both directions of one child. */
export interface Wire {
  /** What the SDK connects to. */
  readonly stream: Stream
  /** Reads until the child's output ends, the child ends, or a message is longer than {@link maxMessage}. */
  readonly run: Effect.Effect<"ended" | "too long">
  readonly stray: () => Stray | undefined
  /** Ends what the SDK reads: requests that still wait are refused. */
  readonly close: () => void
  /** Reading waits from the next piece on, and goes on. */
  readonly pause: () => void
  readonly resume: () => void
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Cuts bytes into lines; `undefined` once a line is too long. */
const splitter = () => {
  let held: Array<Uint8Array> = []
  let size = 0
  const utf8 = new TextDecoder()
  return (chunk: Uint8Array): ReadonlyArray<string> | undefined => {
    const lines: Array<string> = []
    let from = 0
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, from)) {
      const last = chunk.subarray(from, at)
      lines.push(utf8.decode(held.length === 0 ? last : Buffer.concat([...held, last])))
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

const shortened = (line: string): string => (line.length > 200 ? `${line.slice(0, 200)}...` : line)

/** Puts the protocol on a child. `onUpdate` gets what the session says, `onAlive` any other sign of life. */
export const make = (
  child: Child,
  on: {
    readonly update: (params: unknown) => void
    readonly alive: () => void
    readonly stray: (stray: Stray) => void
  }
): Wire => {
  const awaited = new Set<unknown>()
  const flow = Latch.makeUnsafe(true)
  const split = splitter()
  let stray: Stray | undefined
  let closed = false
  let incoming: ReadableStreamDefaultController<AnyMessage> | undefined
  const readable = new ReadableStream<AnyMessage>({
    start: (controller) => {
      incoming = controller
    }
  })
  const writable = new WritableStream<AnyMessage>({
    write: (message) => {
      if ("method" in message && "id" in message) awaited.add(message.id)
      Effect.runSync(child.send(`${JSON.stringify(message)}\n`))
    }
  })

  const isStray = (line: string): void => {
    stray = {
      first: stray?.first ?? shortened(line),
      bytes: (stray?.bytes ?? 0) + line.length,
      isFirst: stray === undefined
    }
    on.stray(stray)
  }

  const onLine = (text: string): void => {
    const line = text.trim()
    if (line === "") return
    let message: unknown
    try {
      message = JSON.parse(line)
    } catch {
      return isStray(line)
    }
    if (!isRecord(message) || message["jsonrpc"] !== "2.0") return isStray(line)
    if (message["method"] === "session/update" && !("id" in message)) {
      if (stray !== undefined) stray = { ...stray, bytes: 0 }
      return on.update(message["params"])
    }
    // An answer to nothing: the connection would complain about it on standard error.
    if (!("method" in message) && !awaited.delete(message["id"])) return isStray(line)
    if (stray !== undefined) stray = { ...stray, bytes: 0 }
    on.alive()
    if (!closed) incoming?.enqueue(message as AnyMessage)
  }

  const run = Effect.gen(function* () {
    while (true) {
      yield* flow.await
      const piece = yield* child.read
      if (piece._tag === "End" || piece._tag === "Exited") return "ended" as const
      if (piece._tag === "Alive") {
        on.alive()
        continue
      }
      const lines = split(piece.bytes)
      if (lines === undefined) return "too long" as const
      for (const line of lines) onLine(line)
    }
  })

  return {
    stream: { readable, writable },
    run,
    stray: () => stray,
    close: () => {
      if (closed) return
      closed = true
      incoming?.close()
    },
    pause: () => flow.closeUnsafe(),
    resume: () => flow.openUnsafe()
  }
}
