/**
 * The events of one answer that is streamed, read in one go from bytes to parts: a stage for each of decoding, parsing
 * and ending would cost every part more than the part itself. An answer that breaks off is a failure, and what comes
 * behind its end is nobody's.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Sse from "effect/encoding/Sse"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type { ChatPart } from "../../Capabilities.ts"
import type { WorkerError } from "../../PoolError.ts"
import { deepest, nestsTooDeep } from "../nesting.ts"
import { failure, type Line, parsed, quoted, said } from "./line.ts"

/** What an event means, `undefined` when it is no event of an answer. */
export type PartsOf = (event: unknown) => ReadonlyArray<ChatPart> | undefined

/** What is passed on is written again, and nobody could. */
export const tooDeep = failure("Transport", `the server sent an answer that nests deeper than ${deepest} levels`)

/** How far one answer has been read. */
class Reading {
  /** The server has said its last word. */
  isDone = false
  /** There has been an end: what breaks now breaks nothing. */
  isWhole = false
  /** Why nothing follows what was read so far. */
  broke: WorkerError | undefined
  #parts: Array<ChatPart> = []
  readonly #line: Line
  readonly #partsOf: PartsOf
  readonly #utf8 = new TextDecoder()
  readonly #parser = Sse.makeParser((event) => {
    if (event._tag === "Event" && !this.isDone && this.broke === undefined) this.#hear(event.data)
  })

  constructor(line: Line, partsOf: PartsOf) {
    this.#line = line
    this.#partsOf = partsOf
  }

  /** The parts that end in these bytes. */
  feed(chunks: ReadonlyArray<Uint8Array>): ReadonlyArray<ChatPart> {
    for (const chunk of chunks) this.#read(this.#utf8.decode(chunk, { stream: true }))
    return this.#take()
  }

  /** The parts that end with the connection. */
  end(): ReadonlyArray<ChatPart> {
    this.#read(`${this.#utf8.decode()}\n\n`)
    return this.#take()
  }

  #read(text: string): void {
    const error = this.#parser.feed(text)
    if (error !== undefined && !this.isDone) this.broke ??= failure("Transport", error.message)
  }

  #take(): ReadonlyArray<ChatPart> {
    const taken = this.#parts
    this.#parts = []
    return taken
  }

  #hear(data: string): void {
    if (data.trim() === "[DONE]") {
      this.isDone = this.isWhole = true
      return
    }
    const event = parsed(data)
    if (typeof event === "object" && event !== null && "error" in event && event.error !== null) {
      this.broke = failure("Transport", `the server broke off with an error: ${said(this.#line, data)}`)
      return
    }
    if (nestsTooDeep(event)) {
      this.broke = tooDeep
      return
    }
    const parts = this.#partsOf(event)
    if (parts === undefined) {
      this.broke = failure("Transport", `the server sent what is no answer: ${quoted(this.#line, data, 100)}`)
      return
    }
    for (const part of parts) {
      this.#parts.push(part)
      if (part.finish !== undefined) this.isWhole = true
    }
  }
}

/** An answer whose connection ended before it did. */
export const brokenOff = (): WorkerError =>
  failure("Transport", "the server ended the connection before the answer was whole")

/** How long the end of the connection is waited for behind the end of the answer, so that the next call can use it again. */
const afterDone = "200 millis"

const ended = Cause.done()

const behind = (pull: Pull.Pull<unknown, WorkerError>): Pull.Pull<never> =>
  Effect.timeoutOrElse(Effect.forever(pull), { duration: afterDone, orElse: () => ended }).pipe(
    Effect.catch(() => ended)
  )

/** The parts of an answer, each batch of bytes at once. */
export const read = (
  line: Line,
  source: Stream.Stream<Uint8Array, WorkerError>,
  partsOf: PartsOf
): Stream.Stream<ChatPart, WorkerError> =>
  Stream.transformPull(source, (pull) =>
    Effect.sync(() => {
      const reading = new Reading(line, partsOf)
      let isOver = false
      const next: Pull.Pull<Arr.NonEmptyReadonlyArray<ChatPart>, WorkerError> = Effect.suspend(() => {
        if (reading.isDone) return behind(pull)
        if (reading.broke !== undefined) return Effect.fail(reading.broke)
        if (isOver) return reading.isWhole ? ended : Effect.fail(brokenOff())
        return more
      })
      const given = (parts: ReadonlyArray<ChatPart>) =>
        Arr.isReadonlyArrayNonEmpty(parts) ? Effect.succeed(parts) : next
      const more = Pull.matchEffect(pull, {
        onSuccess: (chunks) => given(reading.feed(chunks)),
        onFailure: (cause) => Effect.failCause(cause),
        onDone: () => {
          isOver = true
          return given(reading.end())
        }
      })
      return next
    })
  )
