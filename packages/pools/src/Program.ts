/**
 * Workers that are programs: started in a process group of their own, asked and answering in lines of JSON over their
 * pipes. A program that dies, prints what is no message or does not stop when it is told to takes only its own requests
 * with it. It ends with its standard input, so that one whose host was killed ends too.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Capabilities from "./Capabilities.ts"
import type { Worker } from "./Capability.ts"
import { start } from "./internal/node/child.ts"
import * as answers from "./internal/program/answers.ts"
import { broke, Talk, workerOf } from "./internal/Talk.ts"
import type { WorkerError } from "./PoolError.ts"

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

const parsed = (line: string): unknown => {
  try {
    return JSON.parse(line) as unknown
  } catch {
    return undefined
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
  return Effect.fnUntraced(function* (place: number) {
    const talk = new Talk(Duration.fromInputUnsafe(options.cancelGrace ?? "2 seconds"), hurry)
    const onLine = (line: string): void => {
      if (talk.hear(parsed(line), line.length)) return
      const remedy = "what is not meant for us belongs on standard error"
      talk.condemn(`it printed what is no message (${remedy}): ${line.slice(0, 100)}`)
    }
    const program = {
      argv: typeof options.argv === "function" ? options.argv(place) : options.argv,
      cwd: options.cwd,
      env: options.env ?? {},
      lines: { max: options.maxLine ?? 64 * 1_048_576, on: onLine },
      onEnd: (why: string) => talk.end(why)
    }
    const child = yield* Effect.acquireRelease(Effect.mapError(start(program), broke), ({ stop }) =>
      stop(stopGrace, hurry)
    )
    talk.peer = { send: (message) => child.send(JSON.stringify(message)), hold: child.hold, kill: child.kill }
    const { concurrency } = yield* Deferred.await(talk.ready)
    const memory = child.memory()
    return {
      ...workerOf<Q, A, P>(talk, { answer: options.answer, part: options.part }),
      ...(concurrency === undefined ? {} : { concurrency }),
      ...(memory === undefined ? {} : { memory: Effect.sync(() => child.memory() ?? memory) })
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
