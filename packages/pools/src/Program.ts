/**
 * Workers that are programs: started in a process group of their own, asked and answering in lines of JSON over their
 * pipes. A program that dies, prints what is no message or does not stop when it is told to takes only its own requests
 * with it. It ends with its standard input, so that one whose host was killed ends too.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Capabilities from "./Capabilities.ts"
import type { Worker } from "./Capability.ts"
import { type Child, start } from "./internal/node/child.ts"
import * as answers from "./internal/program/answers.ts"
import { WorkerError } from "./PoolError.ts"

export interface Options<A, P> {
  /** The program and its arguments; a function when they depend on the worker's place, for example on a device. */
  readonly argv:
    | readonly [string, ...ReadonlyArray<string>]
    | ((place: number) => readonly [string, ...ReadonlyArray<string>])
  readonly cwd?: string
  /** What it is given beside PATH, HOME, language, temporary folder and the choice of devices. */
  readonly env?: Readonly<Record<string, string>>
  /** What an answer is. What does not fit is a broken worker. */
  readonly answer: Schema.Decoder<A>
  /** What a part is; without it the program is not asked for streams. */
  readonly part?: Schema.Decoder<P>
  /** Bytes of the longest line; 64 MiB by default. */
  readonly maxLine?: number
  /** How long it may take to end a request that was cancelled; then it is killed. 2 s by default. */
  readonly cancelGrace?: Duration.Input
  /** How long it may take to end after its input, and again after SIGTERM; 2 s by default. */
  readonly stopGrace?: Duration.Input
  /** Completes when there is no more time for any of this: what is to end is killed then. */
  readonly hurry?: Effect.Effect<void>
}

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

const decodeMessage = Schema.decodeUnknownOption(Schema.fromJsonString(Message))

const broke = (message: string) => new WorkerError({ reason: "Transport", message })

/** So many characters of parts may be read ahead of slow readers, for all requests of a program together. */
const ahead = 1_048_576

interface Piece {
  readonly value: unknown
  readonly size: number
}

/** A request that the program has. */
interface Open {
  readonly pieces: Queue.Queue<Piece, WorkerError | Cause.Done>
  /** The program has said its last word on it. */
  readonly over: Deferred.Deferred<void>
  /** Characters that were read ahead of its reader. */
  held: number
  /** Its reader has left. */
  left: boolean
}

/** The conversation with one program. */
class Talk {
  readonly ready = Deferred.makeUnsafe<{ readonly concurrency?: number }, WorkerError>()
  readonly gone = Deferred.makeUnsafe<never, WorkerError>()
  readonly #open = new Map<string, Open>()
  readonly #cancelGrace: Duration.Duration
  readonly #hurry: Effect.Effect<void>
  child: Child | undefined
  #next = 0
  #held = 0

  constructor(cancelGrace: Duration.Duration, hurry: Effect.Effect<void>) {
    this.#cancelGrace = cancelGrace
    this.#hurry = hurry
  }

  hear(line: string): void {
    const message = Option.getOrUndefined(decodeMessage(line))
    if (message === undefined) {
      this.end(
        `it printed what is no message (what is not meant for us belongs on standard error): ${line.slice(0, 100)}`
      )
      return this.child?.kill()
    }
    if ("ready" in message) return void Deferred.doneUnsafe(this.ready, Effect.succeed(message))
    const open = this.#open.get(message.id)
    // Of a request that is over already.
    if (open === undefined) return
    const { answer, end, error, id, part, refused } = message
    if (part !== undefined) this.#offer(open, { value: part, size: line.length })
    if (answer !== undefined) this.#offer(open, { value: answer, size: line.length })
    if (answer === undefined && end === undefined && error === undefined) return
    const reason = refused === true ? "Rejected" : "Transport"
    const cause =
      error === undefined ? Cause.fail(Cause.Done()) : Cause.fail(new WorkerError({ reason, message: error }))
    this.#close(id, open, cause)
  }

  /** It is gone, or as good as that. */
  end(why: string): void {
    const error = broke(why)
    Deferred.doneUnsafe(this.ready, Effect.fail(error))
    Deferred.doneUnsafe(this.gone, Effect.fail(error))
    for (const [id, open] of this.#open) this.#close(id, open, Cause.fail(error))
  }

  /** Asks, and gives what comes. Whoever stops reading cancels, and the program has a while to let go. */
  ask(request: unknown, stream: boolean): Stream.Stream<unknown, WorkerError> {
    const opened = Effect.gen({ self: this }, function* () {
      const id = String(++this.#next)
      const pieces = yield* Queue.unbounded<Piece, WorkerError | Cause.Done>()
      const open: Open = { pieces, over: Deferred.makeUnsafe(), held: 0, left: false }
      this.#open.set(id, open)
      this.child?.send(JSON.stringify(stream ? { id, request, stream } : { id, request }))
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
    this.child?.send(JSON.stringify({ cancel: id }))
    const over = yield* Effect.raceAllFirst([
      Effect.interruptible(Effect.as(Deferred.await(open.over), true)),
      Effect.interruptible(Effect.as(Effect.sleep(this.#cancelGrace), false)),
      Effect.interruptible(Effect.as(this.#hurry, false))
    ])
    if (over) return
    this.end("it did not end a request that was cancelled")
    this.child?.kill()
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
    if (before !== now) this.child?.hold(now)
  }
}

const decoded = <T>(schema: Schema.Decoder<T>) => {
  const decode = Schema.decodeUnknownOption(schema)
  return (value: unknown): Effect.Effect<T, WorkerError> => {
    const found = decode(value)
    return Option.isSome(found)
      ? Effect.succeed(found.value)
      : Effect.fail(broke(`the program sent what is no answer: ${JSON.stringify(value).slice(0, 100)}`))
  }
}

/**
 * Loads programs. The first line of one is `{"ready": true}`, with a `concurrency` where it takes several requests at once.
 * It is asked `{"id", "request"}`, with `"stream": true` for parts, and answers `{"id", "answer"}`, or `{"id", "part"}` as
 * often as it likes and `{"id", "end": true}`, or `{"id", "error", "refused"}`. `{"cancel": id}` wants any of these ends.
 */
export const load = <Q, A, P = never>(
  options: Options<A, P>
): ((place: number) => Effect.Effect<Worker<Q, A, P>, WorkerError, Scope.Scope>) => {
  const { hurry = Effect.never } = options
  const stopGrace = Duration.fromInputUnsafe(options.stopGrace ?? "2 seconds")
  const toAnswer = decoded(options.answer)
  const { part } = options
  return Effect.fnUntraced(function* (place: number) {
    const talk = new Talk(Duration.fromInputUnsafe(options.cancelGrace ?? "2 seconds"), hurry)
    const program = {
      argv: typeof options.argv === "function" ? options.argv(place) : options.argv,
      cwd: options.cwd,
      env: options.env ?? {},
      lines: { max: options.maxLine ?? 64 * 1_048_576, on: (line: string) => talk.hear(line) },
      onEnd: (why: string) => talk.end(why)
    }
    const child = yield* Effect.acquireRelease(Effect.mapError(start(program), broke), ({ stop }) =>
      stop(stopGrace, hurry)
    )
    talk.child = child
    const { concurrency } = yield* Deferred.await(talk.ready)
    const memory = child.memory()
    return {
      ...(concurrency === undefined ? {} : { concurrency }),
      ...(memory === undefined ? {} : { memory: Effect.sync(() => child.memory() ?? memory) }),
      gone: Deferred.await(talk.gone),
      answer: (request: Q) =>
        Stream.runHead(talk.ask(request, false)).pipe(
          Effect.flatMap((first) =>
            Option.isSome(first) ? toAnswer(first.value) : Effect.fail(broke("the program ended without an answer"))
          ),
          Effect.scoped
        ),
      ...(part === undefined
        ? {}
        : { stream: (request: Q) => Stream.mapEffect(talk.ask(request, true), decoded(part)) })
    }
  })
}

/** What a program of one of the five capabilities is started with. */
export type Launch = Omit<Options<unknown, unknown>, "answer" | "part">

type Load<Q, A, P = never> = (place: number) => Effect.Effect<Worker<Q, A, P>, WorkerError, Scope.Scope>

const embedding = <Q>(launch: Launch, countOf: (request: Q) => number): Load<Q, Capabilities.Vectors> => {
  const loading = load<Q, Capabilities.Vectors>({ ...launch, answer: answers.Embedded })
  return (place) =>
    Effect.map(loading(place), (worker) => ({
      ...worker,
      answer: (request) =>
        Effect.flatMap(worker.answer(request), (found) => {
          const wrong = answers.mismatch(found, countOf(request))
          return wrong === undefined ? Effect.succeed(found) : Effect.fail(broke(wrong))
        })
    }))
}

/** Answers `{"vectors", "tokens"?}`. */
export const textEmbedding = (launch: Launch): Load<Capabilities.TextEmbeddingRequest, Capabilities.Vectors> =>
  embedding(launch, ({ texts }) => texts.length)

/** Answers `{"vectors"}`. */
export const imageEmbedding = (launch: Launch): Load<Capabilities.ImageEmbeddingRequest, Capabilities.Vectors> =>
  embedding(launch, ({ images }) => images.length)

/** Answers `{"text", "finish"?, "message"?, "tokens"?}`, or parts `{"text"?, "finish"?, "delta"?, "tokens"?}`. */
export const textGeneration = (
  launch: Launch
): Load<Capabilities.TextRequest, Capabilities.ChatAnswer, Capabilities.ChatPart> => {
  const loading = load<Capabilities.TextRequest, typeof answers.Said.Type, Capabilities.ChatPart>({
    ...launch,
    answer: answers.Said,
    part: answers.Piece
  })
  return (place) =>
    Effect.map(loading(place), (worker) => ({
      ...worker,
      answer: (request) => Effect.map(worker.answer(request), answers.whole)
    }))
}

/** The same as {@link textGeneration}: images are parts of a chat. */
export const vision = textGeneration

/** Answers `{"images": [{"base64"}]}`. */
export const imageGeneration = (launch: Launch): Load<Capabilities.ImageRequest, Capabilities.Images> =>
  load({ ...launch, answer: answers.Drawn })
