/**
 * Workers that are threads with an ONNX model from a local folder, run by `@huggingface/transformers`. The library is
 * large, and so it is nobody's dependency: who uses this installs it, and it is loaded in the thread alone, with the first
 * worker. A thread that breaks takes its own requests with it; what it is in the middle of ends with the step that it is in.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type {
  ChatAnswer,
  ChatPart,
  ImageEmbeddingRequest,
  TextEmbeddingRequest,
  TextRequest,
  Vectors
} from "./Capabilities.ts"
import type { Worker } from "./Capability.ts"
import * as Thread from "./internal/node/thread.ts"
import { type Charge, type Pooling, suffixes } from "./internal/onnx/library.ts"
import { broke, Talk, workerOf } from "./internal/Talk.ts"
import { WorkerError } from "./PoolError.ts"

export interface Options {
  /** The folder that holds the model: `config.json`, `tokenizer.json` or `preprocessor_config.json`, `onnx/model.onnx`. */
  readonly folder: string
  /** Which of the model's files is taken: `fp32`, `fp16`, `q8`, `q4`, ...; by default the most exact that is there. */
  readonly dtype?: string
  /** What it runs on: `cpu` by default. */
  readonly device?: string
  /** Threads of one step of the model; as many as there are cores by default. */
  readonly threads?: number
  /** A folder in whose `node_modules` the library is, when it is neither beside this package nor where the program was started. */
  readonly library?: string
  /** Mebibytes of JavaScript's heap, for tokenizers and the like; 1024 by default. Weights don't count. */
  readonly heap?: number
  /** How long the thread may take to end a request that was cancelled; then it is ended. 2 s by default. */
  readonly cancelGrace?: Duration.Input
  /** How long the end of the thread is waited for: it comes with the end of the step that it is in. 5 s by default. */
  readonly stopGrace?: Duration.Input
  /** Completes when there is no more time for any of this. */
  readonly hurry?: Effect.Effect<void>
}

export interface EmbeddingOptions extends Options {
  /** How many items go through the model at once; 16 by default. */
  readonly batch?: number
  /** The most items of one request; 2048 by default. */
  readonly maxBatch?: number
  /** How tokens become one vector: `mean`, `cls` or `last`; by default what the model gives, or the mean. */
  readonly pooling?: Pooling
  /** Whether vectors are brought to length 1; `true` by default. */
  readonly normalize?: boolean
}

export interface GenerationOptions extends Options {
  /** How many tokens an answer may have whose request does not say it; 1024 by default. */
  readonly maxTokens?: number
}

/** What is wrong with the options, with its remedy; `undefined` when nothing is. */
export const invalid = (
  options: Options & { readonly batch?: number; readonly maxBatch?: number }
): string | undefined => {
  const { batch, dtype, folder, heap, maxBatch, threads } = options
  if (folder.trim() === "") return "folder: is empty; name the folder that holds the model"
  if (dtype !== undefined && !(dtype in suffixes)) {
    return `dtype "${dtype}": is not known; use one of ${Object.keys(suffixes).join(", ")}`
  }
  for (const [name, value] of Object.entries({ batch, heap, maxBatch, threads })) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 1)) {
      return `${name} ${value}: is no count; give a whole number from 1`
    }
  }
  return undefined
}

const Ready = Schema.Struct({ ready: Schema.Literal(true), bytes: Schema.Finite })
const isReady = Schema.is(Ready)
const isFailed = Schema.is(Schema.Struct({ failed: Schema.String }))

const Embedded = Schema.Struct({
  values: Schema.instanceOf(Float32Array),
  width: Schema.Int,
  tokens: Schema.optionalKey(Schema.Int)
})
const Counted = Schema.Struct({ input: Schema.Int, output: Schema.Int })
const Words = Schema.Record(Schema.String, Schema.Json)
const Answer: Schema.Decoder<ChatAnswer> = Schema.Struct({
  text: Schema.String,
  finish: Schema.String,
  message: Words,
  tokens: Schema.optionalKey(Counted)
})
const Part: Schema.Decoder<ChatPart> = Schema.Struct({
  text: Schema.optionalKey(Schema.String),
  finish: Schema.optionalKey(Schema.String),
  delta: Schema.optionalKey(Words),
  tokens: Schema.optionalKey(Counted)
})

/** One thread loads at a time: what the process grows by meanwhile is that one's. */
const loading = Semaphore.makeUnsafe(1)

type Task = Pick<Charge, "task"> & Partial<Charge>

const started = Effect.fnUntraced(function* (options: Options, task: Task) {
  const { hurry = Effect.never } = options
  const talk = new Talk(Duration.fromInputUnsafe(options.cancelGrace ?? "2 seconds"), hurry)
  const grace = Duration.fromInputUnsafe(options.stopGrace ?? "5 seconds")
  let bytes = 0
  const charge: Charge = {
    folder: Thread.absolute(options.folder),
    from: Thread.places(options.library),
    dtype: options.dtype,
    device: options.device ?? "cpu",
    threads: options.threads,
    pooling: undefined,
    normalize: true,
    batch: 16,
    maxTokens: 1024,
    ...task
  }
  const start = Effect.sync(() =>
    Thread.start({
      file: "onnxWorker",
      charge,
      heap: options.heap ?? 1024,
      onMessage: (message) => {
        if (isFailed(message)) return talk.condemn(message.failed)
        if (isReady(message)) bytes = message.bytes
        // How much is read ahead of a slow reader is not worth counting: text comes slower than it is read.
        if (!talk.hear(message, 0)) talk.condemn("the thread said what is no message")
      },
      onEnd: (why) => talk.end(`the thread of ${options.folder}: ${why}`)
    })
  )
  const thread = yield* Effect.acquireRelease(start, ({ stop }) => stop(grace, hurry))
  talk.peer = { send: thread.send, kill: thread.kill, hold: () => undefined }
  yield* Deferred.await(talk.ready)
  // The process grew by the heap, too, and that one is asked again and again.
  const heap = (yield* thread.heap) ?? 0
  const native = Math.max(0, bytes - heap)
  let last = heap
  const memory = Effect.map(thread.heap, (now) => native + (last = now ?? last))
  return { talk, memory }
})

type Load<Q, A, P> = (place: number) => Effect.Effect<Worker<Q, A, P>, WorkerError, Scope.Scope>

const load = <Q, A, P>(
  options: Options,
  task: Task,
  shapes: { readonly answer: Schema.Decoder<A>; readonly part: Schema.Decoder<P> | undefined }
): Load<Q, A, P> => {
  const wrong = invalid(options)
  if (wrong !== undefined) throw new Error(wrong)
  return () =>
    Effect.map(loading.withPermits(1)(started(options, task)), ({ memory, talk }) => ({
      ...workerOf<Q, A, P>(talk, shapes),
      // One step of the model is one call: two requests would only wait for each other in the thread.
      concurrency: 1,
      memory
    }))
}

const vectorsOf = ({ tokens, values, width }: typeof Embedded.Type): Effect.Effect<Vectors, WorkerError> =>
  Effect.suspend(() => {
    if (!values.every(Number.isFinite)) return Effect.fail(broke("the model gave what is no number"))
    const count = width === 0 ? 0 : values.length / width
    const vectors = Array.from({ length: count }, (_, at) => Array.from(values.subarray(at * width, (at + 1) * width)))
    return Effect.succeed(tokens === undefined ? { vectors } : { vectors, tokens })
  })

const embedding = <Q>(
  options: EmbeddingOptions,
  task: Charge["task"],
  itemsOf: (request: Q) => ReadonlyArray<unknown>
): Load<Q, Vectors, never> => {
  const { batch = 16, maxBatch = 2048, normalize = true, pooling } = options
  const shapes = { answer: Embedded, part: undefined }
  const loaded = load<Q, typeof Embedded.Type, never>(options, { task, batch, normalize, pooling }, shapes)
  const tooMany = (count: number) => {
    const message = `${count} items are too many for one request; send at most ${maxBatch}`
    return new WorkerError({ reason: "Rejected", message, status: 400 })
  }
  return (place) =>
    Effect.map(loaded(place), ({ answer, concurrency = 1, gone = Effect.never, memory = Effect.succeed(0) }) => ({
      concurrency,
      gone,
      memory,
      answer: (request: Q) => {
        const count = itemsOf(request).length
        return count > maxBatch ? Effect.fail(tooMany(count)) : Effect.flatMap(answer(request), vectorsOf)
      }
    }))
}

/** Embeddings of texts, for example by a sentence transformer. */
export const textEmbedding = (options: EmbeddingOptions): Load<TextEmbeddingRequest, Vectors, never> =>
  embedding(options, "text-embedding", ({ texts }) => texts)

/** Embeddings of images that are sent as `data:` addresses: nothing is fetched. */
export const imageEmbedding = (options: EmbeddingOptions): Load<ImageEmbeddingRequest, Vectors, never> =>
  embedding(options, "image-embedding", ({ images }) => images)

/** Text, whole and in parts, by the model's own chat template. */
export const textGeneration = (options: GenerationOptions): Load<TextRequest, ChatAnswer, ChatPart> =>
  load(options, { task: "text-generation", maxTokens: options.maxTokens ?? 1024 }, { answer: Answer, part: Part })
