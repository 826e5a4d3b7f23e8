/**
 * Pools served over HTTP, in the way that OpenAI's clients speak: `/v1/embeddings`, `/v1/chat/completions` whole and
 * streamed, `/v1/images/generations` and `/v1/models`. A client that leaves takes its request with it; one that finds no
 * room hears when to come back; one that comes during a stop hears that. Who may come in is the business of the host.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import type * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Capabilities from "./Capabilities.ts"
import * as bodies from "./internal/serve/bodies.ts"
import * as documents from "./internal/serve/documents.ts"
import * as plain from "./internal/serve/plain.ts"
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

/** Models by the name that clients use, which need not be the name at a server. */
export interface Models {
  readonly [name: string]: Model
}

export interface Options {
  /** As a function they are looked up with each request, for a host that exchanges them. */
  readonly models: Models | (() => Models)
  /** Bytes of the largest request; 32 MiB by default, for images are part of it. */
  readonly bodyLimit?: number
  /** Bytes of all requests that are here at one time, waiting ones included; 256 MiB by default. */
  readonly bodiesLimit?: number
  /** How long nothing of a request's body may come before it is given up; 10 s by default. */
  readonly bodyStallTimeout?: Duration.Input
  /** Completed when a stop waits for nobody any more: who is still sending a request is cut off. */
  readonly closing?: Deferred.Deferred<void>
}

const defaultBody = 32 * 1_048_576

const defaultAll = 256 * 1_048_576

const defaultStall: Duration.Input = "10 seconds"

const refuse = (problem: problems.Problem) => Effect.fail(problems.refused(problem))

const ofPool = (error: PoolError) => problems.refused(problems.ofPool(error))

const told = SchemaIssue.makeFormatterStandardSchemaV1()

/** Decodes, and says of each field what is wrong with it, in the words of the schema. */
const decoded = <S extends Schema.Decoder<unknown>>(
  schema: S,
  value: unknown
): Effect.Effect<S["Type"], problems.Refused> =>
  Effect.mapError(Schema.decodeUnknownEffect(schema)(value), ({ issue }) => {
    const found = told(issue).issues.map(({ message, path = [] }) => ({
      field: path.map((part) => String(typeof part === "object" ? part.key : part)).join("."),
      what: message === "Missing key" ? "is missing" : message
    }))
    const text = found.map(({ field, what }) => (field === "" ? what : `${field}: ${what}`)).join("; ")
    return problems.refused(problems.invalid(text, found[0]?.field.split(".")[0] || undefined))
  })

/** What a request says of itself beside its question; every document has these fields. */
interface About {
  readonly user?: string | null
  readonly safety_identifier?: string | null
  readonly service_tier?: string | null
}

const longestKey = 256

/** Who asks, for the turns in the line, and whether somebody waits for the answer: headers say it before fields do. */
const termsOf = Effect.fnUntraced(function* ({ safety_identifier, service_tier, user }: About) {
  const { headers } = yield* HttpServerRequest.HttpServerRequest
  const priority = headers["x-priority"] ?? (service_tier === "flex" ? "batch" : "interactive")
  if (priority !== "interactive" && priority !== "batch") {
    return yield* refuse(problems.invalid(`x-priority ${JSON.stringify(priority)}: say interactive or batch`))
  }
  const key = headers["x-caller"] ?? user ?? safety_identifier ?? ""
  return { key: key.slice(0, longestKey), priority } satisfies Pool.Request
})

const seconds = Effect.map(Clock.currentTimeMillis, (millis) => Math.floor(millis / 1000))

const modelsOf = ({ models }: Options): Models => (typeof models === "function" ? models() : models)

type Named<Name extends Model["capability"]> = Extract<Model, { readonly capability: Name }>

/** The model of that name, when it has one of the capabilities. */
const find = <Name extends Model["capability"]>(
  options: Options,
  name: string,
  ...capabilities: ReadonlyArray<Name>
): Effect.Effect<Named<Name>, problems.Refused> => {
  const fits = (model: Model | undefined): model is Named<Name> =>
    model !== undefined && (capabilities as ReadonlyArray<string>).includes(model.capability)
  const models = modelsOf(options)
  const model = Object.hasOwn(models, name) ? models[name] : undefined
  if (fits(model)) return Effect.succeed(model)
  const others = Object.keys(models).filter((other) => fits(models[other]))
  if (model !== undefined) return refuse(problems.otherModel(name, model.capability, capabilities, others))
  return refuse(problems.unknownModel(name, others))
}

const vectors = Effect.fnUntraced(function* (
  { capability, pool }: Named<"text-embedding" | "image-embedding">,
  { dimensions, input }: typeof documents.Embeddings.Type,
  terms: Pool.Request
): Effect.fn.Return<Capabilities.Vectors, problems.Refused> {
  const items = typeof input === "string" ? [input] : input
  if (capability === "text-embedding") {
    const size = typeof dimensions === "number" ? { dimensions } : {}
    const request = plain.isTexts(items)
      ? { texts: items, ...size }
      : yield* decoded(Capabilities.TextEmbeddingRequest, { texts: items, ...size })
    return yield* Effect.mapError(pool.submit(request, terms), ofPool)
  }
  const images = items.map((item) => (typeof item === "string" ? item : item.image))
  const request = yield* decoded(Capabilities.ImageEmbeddingRequest, { images })
  return yield* Effect.mapError(pool.submit(request, terms), ofPool)
})

const embeddings = Effect.fnUntraced(function* (options: Options, sent: unknown) {
  const body = yield* decoded(documents.Embeddings, sent)
  const found = yield* find(options, body.model, "text-embedding", "image-embedding")
  const answer = yield* vectors(found, body, yield* termsOf(body))
  return HttpServerResponse.jsonUnsafe(documents.embeddings(body.model, answer, body.encoding_format ?? "float"))
})

const event = (data: object | "[DONE]"): string => `data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`

type Parts = Arr.NonEmptyReadonlyArray<Capabilities.ChatPart>

const utf8 = new TextEncoder()

/**
 * The parts as events: those that are there already, then what is pulled. What fails when the answer has begun can only
 * be said in it; there is no end behind it.
 */
const eventsOf = (
  frame: documents.Frame,
  first: Option.Option<Parts>,
  pull: Pull.Pull<Parts, PoolError>,
  usage: boolean
): Stream.Stream<Uint8Array> => {
  const textOf = (parts: Parts) =>
    parts
      .flatMap((part) => documents.chunks(frame, part, usage))
      .map(event)
      .join("")
  let isOver = false
  const next: Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>> = Effect.suspend(() => (isOver ? Cause.done() : more))
  const given = (text: string) => (text === "" ? next : Effect.succeed(Arr.of(utf8.encode(text))))
  const last = (text: string) => {
    isOver = true
    return given(text)
  }
  const more = Pull.matchEffect(pull, {
    onSuccess: (parts) => given(textOf(parts)),
    onFailure: (cause) => {
      const error = Cause.findErrorOption(cause)
      if (Option.isNone(error)) return Effect.failCause(cause as Cause.Cause<never>)
      return last(event(problems.documentOf(problems.ofPool(error.value))))
    },
    onDone: () => last(event("[DONE]"))
  })
  const begun = Option.isSome(first) ? given(textOf(first.value)) : last(event("[DONE]"))
  let hasBegun = false
  return Stream.fromPull(
    Effect.succeed(
      Effect.suspend(() => {
        if (hasBegun) return next
        hasBegun = true
        return begun
      })
    )
  )
}

/** Waits for the first part, so that what fails before it has a status of its own. */
const streamed = Effect.fnUntraced(function* (
  frame: documents.Frame,
  parts: Stream.Stream<Capabilities.ChatPart, PoolError>,
  usage: boolean
) {
  // Not `toPull`: that copies all services of the host for each part.
  const pull = yield* Channel.toPullScoped(Stream.toChannel(parts), yield* Effect.scope)
  const first = yield* pull.pipe(
    Effect.asSome,
    Effect.catchTag("PoolError", (error) => Effect.fail(ofPool(error))),
    Effect.catch((end) => (end instanceof problems.Refused ? Effect.fail(end) : Effect.succeedNone))
  )
  return HttpServerResponse.stream(eventsOf(frame, first, pull, usage), {
    contentType: "text/event-stream",
    headers: { "cache-control": "no-store", "x-accel-buffering": "no" }
  })
})

const known = ["model", "user", "messages", "stream", "stream_options"]

const chat = Effect.fnUntraced(function* (options: Options, sent: unknown) {
  const body = yield* decoded(documents.Chat, sent)
  const { pool, capability } = yield* find(options, body.model, "text-generation", "vision")
  const terms = yield* termsOf(body)
  const schema = capability === "vision" ? Capabilities.VisionRequest : Capabilities.TextRequest
  const { messages } = body
  const settings = documents.settingsOf(body, known)
  const request =
    plain.isMessages(messages) && plain.areSettings(settings)
      ? { messages, settings }
      : yield* decoded(schema, { messages, settings })
  const id = yield* Effect.sync(() => `chatcmpl-${crypto.randomUUID().replaceAll("-", "")}`)
  const frame: documents.Frame = { id, model: body.model, created: yield* seconds }
  if (body.stream === true) {
    return yield* streamed(frame, pool.stream(request, terms), body.stream_options?.include_usage === true)
  }
  const answer = yield* Effect.mapError(pool.submit(request, terms), ofPool)
  return HttpServerResponse.jsonUnsafe(documents.chat(frame, answer))
})

const drawing = Effect.fnUntraced(function* (options: Options, sent: unknown) {
  const body = yield* decoded(documents.Drawing, sent)
  const { pool } = yield* find(options, body.model, "image-generation")
  const terms = yield* termsOf(body)
  const request = yield* decoded(Capabilities.ImageRequest, {
    prompt: body.prompt,
    settings: documents.settingsOf(body, ["model", "user", "prompt", "n", "size"]),
    ...(typeof body.n === "number" ? { count: body.n } : {}),
    ...(typeof body.size === "string" ? { size: body.size } : {})
  })
  const images = yield* Effect.mapError(pool.submit(request, terms), ofPool)
  return HttpServerResponse.jsonUnsafe(documents.images(yield* seconds, images))
})

const listed = (options: Options) =>
  Effect.map(seconds, (now) => HttpServerResponse.jsonUnsafe(documents.models(Object.keys(modelsOf(options)), now)))

const one = Effect.fnUntraced(function* (options: Options) {
  const { model: last = "", owner } = yield* HttpRouter.params
  const model = owner === undefined ? last : `${owner}/${last}`
  const names = Object.keys(modelsOf(options))
  if (!names.includes(model)) return yield* refuse(problems.unknownModel(model, names))
  return HttpServerResponse.jsonUnsafe(documents.model(model, yield* seconds))
})

/** What answers one route. */
export type Answer = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  never,
  HttpServerRequest.HttpServerRequest | Scope.Scope | HttpRouter.RouteContext
>

/** Every end of a request in the form that its clients read, also when something here broke. */
const served = <R>(route: Effect.Effect<HttpServerResponse.HttpServerResponse, problems.Refused, R>) =>
  route.pipe(
    Effect.catchTag("Refused", ({ problem }) => Effect.succeed(problems.responseOf(problem))),
    Effect.catchDefect((defect) =>
      Effect.as(
        Effect.logError("A request to a pool could not be handled", Cause.die(defect)),
        problems.responseOf(problems.broken)
      )
    )
  )

/** Where the routes are. */
export const paths = {
  embeddings: "/v1/embeddings",
  chat: "/v1/chat/completions",
  images: "/v1/images/generations",
  models: "/v1/models",
  model: "/v1/models/:model",
  /** A name such as `BAAI/bge-m3`, whose slash some clients encode, and some don't. */
  ownedModel: "/v1/models/:owner/:model"
} as const

/** What answers each of {@link paths}, for a host with routes of its own. */
export const answers = (options: Options): { readonly [name in keyof typeof paths]: Answer } => {
  const { bodiesLimit: all = defaultAll, bodyLimit: limit = defaultBody, closing } = options
  const stall = Duration.fromInputUnsafe(options.bodyStallTimeout ?? defaultStall)
  const body = bodies.reader({ one: limit, all, stall, closing })
  const answering = <R>(
    path: "embeddings" | "chat" | "images",
    answer: (
      options: Options,
      sent: unknown
    ) => Effect.Effect<HttpServerResponse.HttpServerResponse, problems.Refused, R>
  ) =>
    served(
      Effect.flatMap(body, (sent) => {
        const wish = documents.unserved(path, sent)
        return wish === undefined ? answer(options, sent) : refuse(problems.invalid(wish.message, wish.param))
      })
    )
  return {
    embeddings: answering("embeddings", embeddings),
    chat: answering("chat", chat),
    images: answering("images", drawing),
    models: listed(options),
    model: served(Effect.suspend(() => one(options))),
    ownedModel: served(Effect.suspend(() => one(options)))
  }
}

/** The routes, for any router. */
export const layer = (options: Options): Layer.Layer<never, never, HttpRouter.HttpRouter> => {
  const { chat, embeddings, images, model, models, ownedModel } = answers(options)
  return HttpRouter.addAll([
    HttpRouter.route("POST", paths.embeddings, embeddings),
    HttpRouter.route("POST", paths.chat, chat),
    HttpRouter.route("POST", paths.images, images),
    HttpRouter.route("GET", paths.models, models),
    HttpRouter.route("GET", paths.model, model),
    HttpRouter.route("GET", paths.ownedModel, ownedModel)
  ])
}
