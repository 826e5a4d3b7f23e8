/**
 * Workers at servers that speak as OpenAI does: Ollama, llama.cpp, vLLM, LM Studio, infinity, and the providers. A worker
 * is a connection to one address; loading it means that the server answers. What a server sends is believed only as far
 * as it adds up: as many vectors as texts, all of one length, a stream with an end.
 */
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type {
  ChatAnswer,
  ChatPart,
  ImageEmbeddingRequest,
  ImageRequest,
  Images,
  TextEmbeddingRequest,
  TextRequest,
  Vectors
} from "./Capabilities.ts"
import type { Worker } from "./Capability.ts"
import * as chat from "./internal/openai/chat.ts"
import { ask, failure, isRecord, type Line, look, reach, statusOf } from "./internal/openai/line.ts"
import type { WorkerError } from "./PoolError.ts"

/** A server, or several alike. */
export interface Options {
  /** Addresses, for example `http://localhost:11434/v1`. Each worker takes the next one. */
  readonly urls: readonly [string, ...ReadonlyArray<string>]
  /** Name of the model at the server. */
  readonly model: string
  readonly key?: Redacted.Redacted
  /** How many requests one server takes at once; 8 by default. */
  readonly concurrency?: number
  /** What is asked to see whether the server is there; `/models` by default, `false` asks nothing. */
  readonly health?: string | false
  /** The most items of one request for embeddings; 2048 by default. */
  readonly maxBatch?: number
  /** Bytes of the longest answer that is read; 64 MiB by default. */
  readonly maxAnswer?: number
}

/** What is wrong with the options, with its remedy; `undefined` when nothing is. */
export const invalid = (options: Options): string | undefined => {
  for (const url of options.urls) {
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
      return `url "${url}": is no address; use one such as http://localhost:11434/v1`
    }
    const { password, search, username } = new URL(url)
    if (username !== "" || password !== "") return "url: holds a name or a password; put the key where it is not logged"
    if (search !== "") return "url: holds a query; leave out what follows the question mark"
  }
  if (options.model.trim() === "") return "model: is empty; name a model of the server"
  return undefined
}

/** `http://localhost:11434` and the same with `/v1` mean the same. */
const baseOf = (url: string): string => {
  const address = new URL(url)
  const path = address.pathname.replace(/\/+$/, "")
  address.pathname = path === "" ? "/v1" : path
  return address.href.replace(/\/$/, "")
}

const lineOf = (options: Options, place: number) =>
  Effect.map(HttpClient.HttpClient, (client): Line => {
    const { key, maxAnswer: limit = 64 * 1024 * 1024, urls } = options
    return { client, base: baseOf(urls[place % urls.length] ?? urls[0]), key, limit }
  })

const defaultHealth = "/models"

/** Whether any of the servers would take a worker now: the `probe` of a pool. With `health: false` nothing is asked. */
export const probe = (options: Options): Effect.Effect<void, WorkerError, HttpClient.HttpClient> => {
  const { health = defaultHealth, urls } = options
  if (health === false) return Effect.void
  const [first, ...others] = urls.map((_, place) =>
    Effect.flatMap(lineOf(options, place), (line) => look(line, health))
  )
  return first === undefined ? Effect.void : others.reduce((found, next) => Effect.catch(found, () => next), first)
}

/** The status with which the server of a place answers a GET at a path below its address, for who looks for mistakes in that. */
export const status = (
  options: Options,
  path: string,
  place = 0
): Effect.Effect<number, WorkerError, HttpClient.HttpClient> =>
  Effect.flatMap(lineOf(options, place), (line) => statusOf(line, path))

type Load<Q, A, P> = (place: number) => Effect.Effect<Worker<Q, A, P>, WorkerError, HttpClient.HttpClient>

const load = <Q, A, P = never>(
  options: Options,
  work: (line: Line) => Pick<Worker<Q, A, P>, "answer" | "stream">
): Load<Q, A, P> => {
  const wrong = invalid(options)
  if (wrong !== undefined) throw new Error(wrong)
  const { concurrency = 8, health = defaultHealth } = options
  return Effect.fnUntraced(function* (place: number) {
    const line = yield* lineOf(options, place)
    if (health !== false) yield* reach(line, health)
    return { concurrency, ...work(line) }
  })
}

interface Row {
  readonly index?: number
  readonly embedding: ReadonlyArray<number>
}

// By hand: a schema's way through a few thousand numbers takes longer than reading them from the text.
const isRow = (value: unknown): value is Row =>
  isRecord(value) &&
  (value["index"] === undefined || Number.isSafeInteger(value["index"])) &&
  Array.isArray(value["embedding"]) &&
  value["embedding"].every(Number.isFinite)

/** The vectors of an answer to `count` items, in the items' order. */
const vectorsOf = (answer: Readonly<Record<string, unknown>>, count: number): Effect.Effect<Vectors, WorkerError> =>
  Effect.suspend(() => {
    const { data, usage } = answer
    if (!Array.isArray(data) || !data.every(isRow)) {
      return Effect.fail(failure("Transport", "the server sent an answer without vectors"))
    }
    const rows = data.toSorted((one, other) => (one.index ?? 0) - (other.index ?? 0))
    const vectors = rows.map(({ embedding }) => embedding)
    const length = vectors[0]?.length ?? 0
    if (vectors.length !== count) {
      return Effect.fail(failure("Transport", `the server sent ${vectors.length} vectors for ${count} items`))
    }
    if (length === 0 || vectors.some((vector) => vector.length !== length)) {
      return Effect.fail(failure("Transport", "the server sent vectors that are empty or not all of one length"))
    }
    const tokens = isRecord(usage) ? usage["prompt_tokens"] : undefined
    return Effect.succeed(Number.isSafeInteger(tokens) ? { vectors, tokens: Number(tokens) } : { vectors })
  })

const within = <A>(options: Options, items: ReadonlyArray<unknown>, asked: Effect.Effect<A, WorkerError>) => {
  const most = options.maxBatch ?? 2048
  const message = `${items.length} items are too many for one request; send at most ${most}`
  return items.length > most ? Effect.fail(failure("Rejected", message, { status: 400 })) : asked
}

/** `POST /embeddings`. */
export const textEmbedding = (options: Options): Load<TextEmbeddingRequest, Vectors, never> =>
  load(options, (line) => ({
    answer: ({ dimensions, texts }) =>
      within(
        options,
        texts,
        Effect.flatMap(
          ask(line, "/embeddings", {
            model: options.model,
            input: texts,
            encoding_format: "float",
            ...(dimensions === undefined ? {} : { dimensions })
          }),
          (answer) => vectorsOf(answer, texts.length)
        )
      )
  }))

/** The ways in which servers take images for embeddings at `POST /embeddings`; there is no agreed one. */
export type ImageShape = "objects" | "modality" | "messages"

/**
 * Image embeddings. `objects`: `input: [{"image": ...}]`, as Jina and its kin take them. `modality`: `input: [...]` with
 * `modality: "image"`, as infinity does. `messages`: a chat with one image part, as vLLM does, one request per image.
 */
export const imageEmbedding = (
  options: Options & { readonly shape: ImageShape }
): Load<ImageEmbeddingRequest, Vectors, never> =>
  load(options, (line) => {
    const { model, shape } = options
    const embed = (body: { readonly [name: string]: Schema.Json }, count: number) =>
      Effect.flatMap(ask(line, "/embeddings", { ...body, model, encoding_format: "float" }), (answer) =>
        vectorsOf(answer, count)
      )
    const alone = (url: string) =>
      embed({ messages: [{ role: "user", content: [{ type: "image_url", image_url: { url } }] }] }, 1)
    const all = (images: ReadonlyArray<string>): Effect.Effect<Vectors, WorkerError> => {
      if (shape === "objects") return embed({ input: images.map((image) => ({ image })) }, images.length)
      if (shape === "modality") return embed({ input: images, modality: "image" }, images.length)
      return Effect.map(Effect.forEach(images, alone), (found) => ({
        vectors: found.flatMap(({ vectors }) => vectors)
      }))
    }
    return { answer: ({ images }) => within(options, images, all(images)) }
  })

/** `POST /chat/completions`, whole and streamed: text generation, and vision where the model sees. */
export const textGeneration = (options: Options): Load<TextRequest, ChatAnswer, ChatPart> =>
  load(options, (line) => ({
    answer: (request) => chat.answer(line, options.model, request),
    stream: (request) => chat.stream(line, options.model, request)
  }))

/** The same as {@link textGeneration}: images are parts of a chat. */
export const vision = textGeneration

const Pictures = Schema.Struct({
  data: Schema.Array(
    Schema.Struct({
      b64_json: Schema.optionalKey(Schema.NullOr(Schema.String)),
      url: Schema.optionalKey(Schema.NullOr(Schema.String)),
      revised_prompt: Schema.optionalKey(Schema.NullOr(Schema.String))
    })
  )
})
const decodePictures = Schema.decodeUnknownOption(Pictures)

const imagesOf = (answer: unknown): Effect.Effect<Images, WorkerError> => {
  const { data = [] } = Option.getOrUndefined(decodePictures(answer)) ?? {}
  const images = data.flatMap(({ b64_json: base64, revised_prompt, url }): Images["images"] => {
    const prompt = typeof revised_prompt === "string" ? { prompt: revised_prompt } : {}
    if (typeof base64 === "string") return [{ base64, ...prompt }]
    return typeof url === "string" ? [{ url, ...prompt }] : []
  })
  return images.length === 0
    ? Effect.fail(failure("Transport", "the server sent an answer without images"))
    : Effect.succeed({ images })
}

/** `POST /images/generations`. */
export const imageGeneration = (options: Options): Load<ImageRequest, Images, never> =>
  load(options, (line) => ({
    answer: ({ count, prompt, settings, size }) =>
      Effect.flatMap(
        ask(line, "/images/generations", {
          ...settings,
          model: options.model,
          prompt,
          n: count ?? 1,
          ...(size === undefined ? {} : { size })
        }),
        imagesOf
      )
  }))
