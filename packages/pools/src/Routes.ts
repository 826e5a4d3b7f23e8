/**
 * Pools served over HTTP, in the way that OpenAI's clients speak: `/v1/embeddings`, `/v1/chat/completions` whole and
 * streamed, `/v1/images/generations` and `/v1/models`. A client that leaves takes its request with it; one that finds no
 * room hears when to come back; one that comes during a stop hears that. Who may come in is the business of the host.
 */
import * as ByteSize from "effect/ByteSize"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Capabilities from "./Capabilities.ts"
import * as documents from "./internal/serve/documents.ts"
import * as problems from "./internal/serve/problems.ts"
import type * as Pool from "./Pool.ts"
import type { PoolError } from "./PoolError.ts"

type Embedder<Q> = Pool.Pool<Q, Capabilities.Vectors, never>
type Talker<Q> = Pool.Pool<Q, Capabilities.ChatAnswer, Capabilities.ChatPart>

/** A model as clients name it, and the pool behind it. */
export type Model =
  | { readonly capability: "text-embedding"; readonly pool: Embedder<Capabilities.TextEmbeddingRequest> }
  | { readonly capability: "image-embedding"; readonly pool: Embedder<Capabilities.ImageEmbeddingRequest> }
  | { readonly capability: "text-generation"; readonly pool: Talker<Capabilities.TextRequest> }
  | { readonly capability: "vision"; readonly pool: Talker<Capabilities.VisionRequest> }
  | {
      readonly capability: "image-generation"
      readonly pool: Pool.Pool<Capabilities.ImageRequest, Capabilities.Images, never>
    }

export interface Options {
  /** By the name that clients use, which need not be the name at a server. */
  readonly models: { readonly [name: string]: Model }
  /** Bytes of the largest request; 32 MiB by default, for images are part of it. */
  readonly bodyLimit?: number
}

/** A request that is answered with a problem. */
class Refused extends Data.TaggedError("Refused")<{ readonly problem: problems.Problem }> {}

const refuse = (problem: problems.Problem) => Effect.fail(new Refused({ problem }))

const ofPool = (error: PoolError) => new Refused({ problem: problems.ofPool(error) })

/** Decodes, and says what is wrong in the words of the schema. */
const decoded = <S extends Schema.Decoder<unknown>>(schema: S, value: unknown): Effect.Effect<S["Type"], Refused> =>
  Effect.mapError(
    Schema.decodeUnknownEffect(schema)(value),
    (error) => new Refused({ problem: problems.invalid(error.message) })
  )

const bodyOf = Effect.gen(function* () {
  const request = yield* HttpServerRequest.HttpServerRequest
  return yield* Effect.mapError(
    request.json,
    () => new Refused({ problem: problems.invalid("the body is no JSON, or larger than is read here") })
  )
})

/** Who asks, for the turns in the line; a header says whether somebody waits for the answer. */
const termsOf = Effect.fnUntraced(function* (user: string | null | undefined) {
  const { headers } = yield* HttpServerRequest.HttpServerRequest
  const priority = headers["x-priority"] ?? "interactive"
  if (priority !== "interactive" && priority !== "batch") {
    return yield* refuse(problems.invalid(`x-priority ${JSON.stringify(priority)}: say interactive or batch`))
  }
  return { key: user ?? "", priority } satisfies Pool.Request
})

const seconds = Effect.map(Clock.currentTimeMillis, (millis) => Math.floor(millis / 1000))

type Named<Name extends Model["capability"]> = Extract<Model, { readonly capability: Name }>

/** The model of that name, when it has one of the capabilities. */
const find = <Name extends Model["capability"]>(
  { models }: Options,
  name: string,
  ...capabilities: ReadonlyArray<Name>
): Effect.Effect<Named<Name>, Refused> => {
  const fits = (model: Model | undefined): model is Named<Name> =>
    model !== undefined && (capabilities as ReadonlyArray<string>).includes(model.capability)
  const model = Object.hasOwn(models, name) ? models[name] : undefined
  if (fits(model)) return Effect.succeed(model)
  const others = Object.keys(models).filter((other) => fits(models[other]))
  return refuse(problems.unknownModel(name, others))
}

const vectors = Effect.fnUntraced(function* (
  { capability, pool }: Named<"text-embedding" | "image-embedding">,
  { dimensions, input }: typeof documents.Embeddings.Type,
  terms: Pool.Request
): Effect.fn.Return<Capabilities.Vectors, Refused> {
  const items = typeof input === "string" ? [input] : input
  if (capability === "text-embedding") {
    const size = typeof dimensions === "number" ? { dimensions } : {}
    const request = yield* decoded(Capabilities.TextEmbeddingRequest, { texts: items, ...size })
    return yield* Effect.mapError(pool.submit(request, terms), ofPool)
  }
  const images = items.map((item) => (typeof item === "string" ? item : item.image))
  const request = yield* decoded(Capabilities.ImageEmbeddingRequest, { images })
  return yield* Effect.mapError(pool.submit(request, terms), ofPool)
})

const embeddings = Effect.fnUntraced(function* (options: Options) {
  const body = yield* decoded(documents.Embeddings, yield* bodyOf)
  const found = yield* find(options, body.model, "text-embedding", "image-embedding")
  const answer = yield* vectors(found, body, yield* termsOf(body.user))
  return HttpServerResponse.jsonUnsafe(documents.embeddings(body.model, answer, body.encoding_format ?? "float"))
})

const event = (data: object | "[DONE]"): string => `data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`

/** The parts as events. What fails when the answer has begun can only be said in it; there is no end behind it. */
const eventsOf = (frame: documents.Frame, parts: Stream.Stream<Capabilities.ChatPart, PoolError>, usage: boolean) =>
  parts.pipe(
    Stream.map((part) => documents.chunks(frame, part, usage).map(event).join("")),
    Stream.filter((text) => text !== ""),
    Stream.concat(Stream.succeed(event("[DONE]"))),
    Stream.catch((error) => Stream.succeed(event(problems.documentOf(problems.ofPool(error))))),
    Stream.encodeText
  )

/** Waits for the first part, so that what fails before it has a status of its own. */
const streamed = Effect.fnUntraced(function* (
  frame: documents.Frame,
  parts: Stream.Stream<Capabilities.ChatPart, PoolError>,
  usage: boolean
) {
  const pull = yield* Stream.toPull(parts)
  const first = yield* pull.pipe(
    Effect.asSome,
    Effect.catchTag("PoolError", (error) => Effect.fail(ofPool(error))),
    Effect.catch((end) => (end instanceof Refused ? Effect.fail(end) : Effect.succeedNone))
  )
  const rest = Stream.fromPull(Effect.succeed(pull))
  const all = Option.isSome(first) ? Stream.concat(Stream.fromIterable(first.value), rest) : Stream.empty
  return HttpServerResponse.stream(eventsOf(frame, all, usage), {
    contentType: "text/event-stream",
    headers: { "cache-control": "no-store", "x-accel-buffering": "no" }
  })
})

const known = ["model", "user", "messages", "stream", "stream_options"]

const chat = Effect.fnUntraced(function* (options: Options) {
  const body = yield* decoded(documents.Chat, yield* bodyOf)
  const { pool, capability } = yield* find(options, body.model, "text-generation", "vision")
  const terms = yield* termsOf(body.user)
  const schema = capability === "vision" ? Capabilities.VisionRequest : Capabilities.TextRequest
  const request = yield* decoded(schema, { messages: body.messages, settings: documents.settingsOf(body, known) })
  const id = yield* Effect.sync(() => `chatcmpl-${crypto.randomUUID().replaceAll("-", "")}`)
  const frame: documents.Frame = { id, model: body.model, created: yield* seconds }
  if (body.stream === true) {
    return yield* streamed(frame, pool.stream(request, terms), body.stream_options?.include_usage === true)
  }
  const answer = yield* Effect.mapError(pool.submit(request, terms), ofPool)
  return HttpServerResponse.jsonUnsafe(documents.chat(frame, answer))
})

const drawing = Effect.fnUntraced(function* (options: Options) {
  const body = yield* decoded(documents.Drawing, yield* bodyOf)
  const { pool } = yield* find(options, body.model, "image-generation")
  const terms = yield* termsOf(body.user)
  const request = yield* decoded(Capabilities.ImageRequest, {
    prompt: body.prompt,
    settings: documents.settingsOf(body, ["model", "user", "prompt", "n", "size"]),
    ...(typeof body.n === "number" ? { count: body.n } : {}),
    ...(typeof body.size === "string" ? { size: body.size } : {})
  })
  const images = yield* Effect.mapError(pool.submit(request, terms), ofPool)
  return HttpServerResponse.jsonUnsafe(documents.images(yield* seconds, images))
})

/** The routes, for any router. */
export const layer = (options: Options): Layer.Layer<never, never, HttpRouter.HttpRouter> => {
  const limit = ByteSize.bytes(options.bodyLimit ?? 32 * 1_048_576)
  const served = <R>(route: Effect.Effect<HttpServerResponse.HttpServerResponse, Refused, R>) =>
    route.pipe(
      Effect.catchTag("Refused", ({ problem }) => Effect.succeed(problems.responseOf(problem))),
      Effect.provideService(HttpIncomingMessage.MaxBodySize, limit)
    )
  const names = Object.keys(options.models)
  return HttpRouter.addAll([
    HttpRouter.route("POST", "/v1/embeddings", served(Effect.suspend(() => embeddings(options)))),
    HttpRouter.route("POST", "/v1/chat/completions", served(Effect.suspend(() => chat(options)))),
    HttpRouter.route("POST", "/v1/images/generations", served(Effect.suspend(() => drawing(options)))),
    HttpRouter.route(
      "GET",
      "/v1/models",
      Effect.map(seconds, (now) => HttpServerResponse.jsonUnsafe(documents.models(names, now)))
    )
  ])
}
