/**
 * The conversation with a worker that is elsewhere, in another process or another thread: requests go there by number,
 * what comes back finds its reader by it. A reader that leaves cancels, and who does not let go then is ended; who ends
 * takes all that it had with it, each with the reason.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Worker } from "../Capability.ts"
import { WorkerError } from "../PoolError.ts"
import { deepest, nestsTooDeep } from "./nesting.ts"

const Message = Schema.Union([
  Schema.Struct({ ready: Schema.Literal(true), concurrency: Schema.optionalKey(Schema.Int) }),
  Schema.Struct({
    id: Schema.String,
    answer: Schema.optionalKey(Schema.Unknown),
    part: Schema.optionalKey(Schema.Unknown),
    end: Schema.optionalKey(Schema.Literal(true)),
    error: Schema.optionalKey(Schema.String),
    /** With `error`: the model says no, and would say it again. */
    refused: Schema.optionalKey(Schema.Boolean)
  })
])

const decodeMessage = Schema.decodeUnknownOption(Message)

export const broke = (message: string): WorkerError => new WorkerError({ reason: "Transport", message })

/** So many characters of parts may be read ahead of slow readers, for all requests of a worker together. */
const ahead = 1_048_576

interface Piece {
  readonly value: unknown
  readonly size: number
}

/** A request that the worker has. */
interface Open {
  readonly pieces: Queue.Queue<Piece, WorkerError | Cause.Done>
  /** The worker has said its last word on it. */
  readonly over: Deferred.Deferred<void>
  /** Characters that were read ahead of its reader. */
  held: number
  /** Its reader has left. */
  left: boolean
}

/** Where the worker is heard and reached. */
export interface Peer {
  readonly send: (message: unknown) => void
  /** Leaves what it says unread, or reads on. */
  readonly hold: (held: boolean) => void
  /** Ends it at once. */
  readonly kill: () => void
}

export class Talk {
  readonly ready = Deferred.makeUnsafe<{ readonly concurrency?: number }, WorkerError>()
  readonly gone = Deferred.makeUnsafe<never, WorkerError>()
  readonly #open = new Map<string, Open>()
  readonly #cancelGrace: Duration.Duration
  readonly #hurry: Effect.Effect<void>
  peer: Peer | undefined
  #next = 0
  #held = 0
  #ended: WorkerError | undefined

  constructor(cancelGrace: Duration.Duration, hurry: Effect.Effect<void>) {
    this.#cancelGrace = cancelGrace
    this.#hurry = hurry
  }

  /** Takes what the worker says; `size` in characters. False when that is no message at all. */
  hear(said: unknown, size: number): boolean {
    const message = Option.getOrUndefined(decodeMessage(said))
    if (message === undefined) return false
    if ("ready" in message) {
      Deferred.doneUnsafe(this.ready, Effect.succeed(message))
      return true
    }
    const open = this.#open.get(message.id)
    // Of a request that is over already.
    if (open === undefined) return true
    const { answer, end, error, id, part, refused } = message
    if (part !== undefined) this.#offer(open, { value: part, size })
    if (answer !== undefined) this.#offer(open, { value: answer, size })
    if (answer === undefined && end === undefined && error === undefined) return true
    const reason = refused === true ? "Rejected" : "Transport"
    const cause =
      error === undefined ? Cause.fail(Cause.Done()) : Cause.fail(new WorkerError({ reason, message: error }))
    this.#close(id, open, cause)
    return true
  }

  /** It is gone, or as good as that. */
  end(why: string): void {
    const error = broke(why)
    this.#ended ??= error
    Deferred.doneUnsafe(this.ready, Effect.fail(error))
    Deferred.doneUnsafe(this.gone, Effect.fail(error))
    for (const [id, open] of this.#open) this.#close(id, open, Cause.fail(error))
  }

  /** Ends it for what it did. */
  condemn(why: string): void {
    this.end(why)
    this.peer?.kill()
  }

  /** The first piece, as a request with one answer has it. */
  one(request: unknown): Effect.Effect<unknown, WorkerError> {
    return Stream.runHead(this.ask(request, false)).pipe(
      Effect.flatMap((first) =>
        Option.isSome(first) ? Effect.succeed(first.value) : Effect.fail(broke("the worker ended without an answer"))
      ),
      Effect.scoped
    )
  }

  /** Asks, and gives what comes. Whoever stops reading cancels, and the worker has a while to let go. */
  ask(request: unknown, stream: boolean): Stream.Stream<unknown, WorkerError> {
    const opened = Effect.gen({ self: this }, function* () {
      // Its end and the request may cross: nobody would ever answer.
      if (this.#ended !== undefined) return yield* this.#ended
      const id = String(++this.#next)
      const pieces = yield* Queue.unbounded<Piece, WorkerError | Cause.Done>()
      const open: Open = { pieces, over: Deferred.makeUnsafe(), held: 0, left: false }
      this.#open.set(id, open)
      this.peer?.send(stream ? { id, request, stream } : { id, request })
      return { id, open }
    })
    return Stream.unwrap(
      Effect.acquireRelease(opened, ({ id, open }) => this.#letGo(id, open)).pipe(
        Effect.map(({ open }) =>
          Stream.map(Stream.fromQueue(open.pieces), ({ size, value }) => {
            this.#hold(open, -size)
            return value
          })
        )
      )
    )
  }

  readonly #letGo = Effect.fnUntraced({ self: this }, function* (this: Talk, id: string, open: Open) {
    // What was read ahead is nobody's now, and what still comes is not kept.
    this.#hold(open, -open.held)
    open.left = true
    if (!this.#open.has(id)) return
    this.peer?.send({ cancel: id })
    const over = yield* Effect.raceAllFirst([
      Effect.interruptible(Effect.as(Deferred.await(open.over), true)),
      Effect.interruptible(Effect.as(Effect.sleep(this.#cancelGrace), false)),
      Effect.interruptible(Effect.as(this.#hurry, false))
    ])
    if (!over) this.condemn("it did not end a request that was cancelled")
  })

  #offer(open: Open, piece: Piece): void {
    if (!open.left && Queue.offerUnsafe(open.pieces, piece)) this.#hold(open, piece.size)
  }

  #close(id: string, open: Open, cause: Cause.Cause<WorkerError | Cause.Done>): void {
    this.#open.delete(id)
    Deferred.doneUnsafe(open.over, Effect.void)
    Queue.failCauseUnsafe(open.pieces, cause)
  }

  #hold(open: Open, size: number): void {
    const before = this.#held > ahead
    open.held += size
    this.#held += size
    const now = this.#held > ahead
    if (before !== now) this.peer?.hold(now)
  }
}

/** A value as the schema says, or a broken worker. */
export const decoded = <T>(schema: Schema.Decoder<T>) => {
  const decode = Schema.decodeUnknownOption(schema)
  return (value: unknown): Effect.Effect<T, WorkerError> => {
    if (nestsTooDeep(value)) {
      return Effect.fail(broke(`the worker sent an answer that nests deeper than ${deepest} levels`))
    }
    const found = decode(value)
    return Option.isSome(found)
      ? Effect.succeed(found.value)
      : Effect.fail(broke(`the worker sent what is no answer: ${JSON.stringify(value).slice(0, 100)}`))
  }
}

/** The worker that a conversation is with. */
export const workerOf = <Q, A, P>(
  talk: Talk,
  shapes: { readonly answer: Schema.Decoder<A>; readonly part: Schema.Decoder<P> | undefined }
): Pick<Worker<Q, A, P>, "answer" | "stream" | "gone"> => {
  const { answer, part } = shapes
  const toAnswer = decoded(answer)
  return {
    gone: Deferred.await(talk.gone),
    answer: (request: Q) => Effect.flatMap(talk.one(request), toAnswer),
    ...(part === undefined ? {} : { stream: (request: Q) => Stream.mapEffect(talk.ask(request, true), decoded(part)) })
  }
}
