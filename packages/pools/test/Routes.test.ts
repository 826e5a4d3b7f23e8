// The routes as their clients meet them: the official OpenAI client talks to pools, in process, unchanged; and what it hears
// when something is wrong has the status, the document and the Retry-After that such clients act on.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import OpenAI, { APIError, NotFoundError, RateLimitError, UnprocessableEntityError } from "openai"
import * as Capabilities from "../src/Capabilities.ts"
import * as Pool from "../src/Pool.ts"
import { WorkerError } from "../src/PoolError.ts"
import * as Routes from "../src/Routes.ts"
import { memory } from "./workers.ts"

const dot = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
const workers = { start: 1, max: 1, concurrency: 4 } as const

const lastWords = ({ messages }: Capabilities.TextRequest): string => {
  const content = messages.at(-1)?.content
  return typeof content === "string" ? content : JSON.stringify(content)
}

const broken = new WorkerError({ reason: "Transport", message: "the cable is out" })

const thought = { completion_tokens_details: { reasoning_tokens: 1 } }
const logprobs = { content: [{ token: "hello", logprob: -0.1, bytes: null, top_logprobs: [] }], refusal: null }

/** Says the words back, one part each; some words mean something else. */
const talker = {
  answer: (request: Capabilities.TextRequest) =>
    lastWords(request) === "refuse"
      ? Effect.fail(new WorkerError({ reason: "Rejected", message: "not with me", status: 422 }))
      : lastWords(request) === "hang"
        ? Effect.never
        : Effect.succeed({
            text: lastWords(request),
            finish: "stop",
            message: { role: "assistant", content: lastWords(request), settings: request.settings ?? {} },
            ...(request.settings?.["logprobs"] === true ? { logprobs } : {}),
            tokens: { input: 3, output: 2, ...(lastWords(request) === "think" ? { details: thought } : {}) }
          }),
  stream: (request: Capabilities.TextRequest): Stream.Stream<Capabilities.ChatPart, WorkerError> => {
    const words = lastWords(request).split(" ")
    return Stream.concat(
      Stream.mapEffect(Stream.fromIterable(words), (text) =>
        text === "break"
          ? Effect.fail(broken)
          : Effect.succeed({ text, ...(request.settings?.["logprobs"] === true ? { logprobs } : {}) })
      ),
      Stream.fromIterable<Capabilities.ChatPart>([{ finish: "stop" }, { tokens: { input: 3, output: words.length } }])
    )
  }
}

const vectors = (count: number): Capabilities.Vectors => ({
  vectors: Array.from({ length: count }, (_, index) => [index + 0.5, -1]),
  tokens: 4
})

/** Pools of all five, the official client in front of them, and what it sends without it. */
const house = Effect.gen(function* () {
  const text = yield* Pool.make({
    name: "text",
    capability: Capabilities.textGeneration,
    load: () => Effect.succeed(talker),
    workers: { ...workers, concurrency: 1 },
    queue: 1
  })
  const eyes = yield* Pool.make({
    name: "eyes",
    capability: Capabilities.vision,
    load: () => Effect.succeed(talker),
    workers
  })
  const words = yield* Pool.make({
    name: "words",
    capability: Capabilities.textEmbedding,
    load: () =>
      Effect.succeed({
        answer: ({ texts }: Capabilities.TextEmbeddingRequest) => Effect.succeed(vectors(texts.length))
      }),
    workers
  })
  const pictures = yield* Pool.make({
    name: "pictures",
    capability: Capabilities.imageEmbedding,
    load: () =>
      Effect.succeed({
        answer: ({ images }: Capabilities.ImageEmbeddingRequest) => Effect.succeed(vectors(images.length))
      }),
    workers
  })
  const brush = yield* Pool.make({
    name: "brush",
    capability: Capabilities.imageGeneration,
    load: () =>
      Effect.succeed({
        answer: ({ count = 1 }: Capabilities.ImageRequest) =>
          Effect.succeed<Capabilities.Images>({ images: Array.from({ length: count }, () => ({ base64: "AAAA" })) })
      }),
    workers
  })
  for (const { interrupt } of [text, eyes]) yield* Effect.addFinalizer(() => interrupt)
  const models: Routes.Options["models"] = {
    text: { capability: "text-generation", pool: text },
    eyes: { capability: "vision", pool: eyes },
    words: { capability: "text-embedding", pool: words },
    pictures: { capability: "image-embedding", pool: pictures },
    brush: { capability: "image-generation", pool: brush }
  }
  const web = HttpRouter.toWebHandler(Layer.provideMerge(Routes.layer({ models }), HttpServer.layerServices), {
    disableLogger: true
  })
  yield* Effect.addFinalizer(() => Effect.promise(() => web.dispose()))
  const fetch = (input: string | URL | Request, init?: RequestInit) => web.handler(new Request(input, init))
  const openai = new OpenAI({ apiKey: "key", baseURL: "http://sluice/v1", maxRetries: 0, fetch })
  const post = (path: string, body: unknown, headers = {}) =>
    Effect.promise(async () => {
      const init = { method: "POST", headers: { "content-type": "application/json", ...headers } }
      const response = await fetch(`http://sluice${path}`, { ...init, body: JSON.stringify(body) })
      const { error } = (await response.json()) as {
        readonly error: { readonly code: string; readonly message: string; readonly param: string | null }
      }
      return { status: response.status, retryAfter: response.headers.get("retry-after"), ...error }
    })
  return { openai, post, text, words }
})

const run = <A>(body: (openai: OpenAI) => Promise<A>) =>
  Effect.flatMap(house, ({ openai }) => Effect.promise(() => body(openai)))

const nested = (levels: number): object =>
  Array.from({ length: levels }).reduce<object>((inner) => ({ "0": inner, 'a quote \\" and [[[': "]" }), {})

const say = (content: string) => [{ role: "user" as const, content }]

describe("the official client", () => {
  it.live("P1: chats, whole and streamed, with settings and what it cost", () =>
    Effect.gen(function* () {
      const whole = yield* run((openai) =>
        openai.chat.completions.create({ model: "text", messages: say("hello there"), temperature: 0.5 })
      )
      assert.strictEqual(whole.object, "chat.completion")
      assert.strictEqual(whole.choices[0]?.message.content, "hello there")
      assert.strictEqual(whole.choices[0]?.finish_reason, "stop")
      assert.deepStrictEqual(Reflect.get(whole.choices[0]?.message ?? {}, "settings"), { temperature: 0.5 })
      assert.deepStrictEqual(whole.usage, { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 })
      const seen = yield* run(async (openai) => {
        const stream = await openai.chat.completions.create({
          model: "text",
          messages: say("one two three"),
          stream: true,
          stream_options: { include_usage: true }
        })
        const chunks: Array<OpenAI.ChatCompletionChunk> = []
        for await (const chunk of stream) chunks.push(chunk)
        return chunks
      })
      assert.deepStrictEqual(
        seen.map(({ choices }) => choices[0]?.delta.content ?? choices[0]?.finish_reason ?? "usage"),
        ["one", "two", "three", "stop", "usage"]
      )
      assert.strictEqual(seen.at(-1)?.usage?.total_tokens, 6)
      assert.strictEqual(new Set(seen.map(({ id }) => id)).size, 1)
    }).pipe(Effect.provide(memory()))
  )

  it.live(
    "P1: is told how likely tokens were, whole and streamed, when it asks for that, and what else was counted",
    () =>
      Effect.gen(function* () {
        const { openai } = yield* house
        const asked = { model: "text", messages: say("hello"), logprobs: true }
        const whole = yield* Effect.promise(async () => await openai.chat.completions.create(asked))
        assert.deepStrictEqual(whole.choices[0]?.logprobs, logprobs)
        const thinking = yield* Effect.promise(
          async () => await openai.chat.completions.create({ model: "text", messages: say("think") })
        )
        assert.deepInclude(thinking.usage, { total_tokens: 5, ...thought })
        const [first] = yield* Effect.promise(async () => {
          const chunks: Array<OpenAI.ChatCompletionChunk> = []
          for await (const chunk of await openai.chat.completions.create({ ...asked, stream: true })) chunks.push(chunk)
          return chunks
        })
        assert.deepStrictEqual(first?.choices[0]?.logprobs, logprobs)
      }).pipe(Effect.provide(memory()))
  )

  it.live("may say brackets and quotes as often as it likes", () =>
    Effect.gen(function* () {
      for (const words of ["[{".repeat(300), `"${"[".repeat(300)}`, `${"\\".repeat(3)}"${"{".repeat(300)}`, "[\\"]) {
        const answer = yield* run((openai) => openai.chat.completions.create({ model: "text", messages: say(words) }))
        assert.strictEqual(answer.choices[0]?.message.content, words)
      }
    }).pipe(Effect.provide(memory()))
  )

  it.live("P1: sees, embeds, draws and lists the models", () =>
    Effect.gen(function* () {
      const found = yield* run(async (openai) => {
        const image = [{ type: "image_url" as const, image_url: { url: dot } }]
        const seen = await openai.chat.completions.create({
          model: "eyes",
          messages: [{ role: "user", content: image }]
        })
        // It asks for base64 by itself, and reads it.
        const packed = await openai.embeddings.create({ model: "words", input: ["a", "b"] })
        const floats = await openai.embeddings.create({ model: "words", input: "a", encoding_format: "float" })
        const pictures = await openai.embeddings.create({ model: "pictures", input: [dot] })
        const drawn = await openai.images.generate({ model: "brush", prompt: "a dot", n: 2 })
        const models = await openai.models.list()
        return { seen, packed, floats, pictures, drawn, models }
      })
      assert.include(found.seen.choices[0]?.message.content ?? "", "image_url")
      assert.deepStrictEqual(
        found.packed.data.map(({ embedding }) => embedding),
        [
          [0.5, -1],
          [1.5, -1]
        ]
      )
      assert.deepStrictEqual(found.floats.data[0]?.embedding, [0.5, -1])
      assert.deepStrictEqual(found.floats.usage, { prompt_tokens: 4, total_tokens: 4 })
      assert.strictEqual(found.pictures.data.length, 1)
      assert.deepStrictEqual(found.drawn.data, [{ b64_json: "AAAA" }, { b64_json: "AAAA" }])
      assert.deepStrictEqual(
        found.models.data.map(({ id }) => id),
        ["text", "eyes", "words", "pictures", "brush"]
      )
    }).pipe(Effect.provide(memory()))
  )

  it.live("P5, P10, S6: gets its own errors: not found, refused, overloaded, and unavailable during a stop", () =>
    Effect.gen(function* () {
      const { openai, post, text } = yield* house
      const ask = (model: string, content: string) =>
        Effect.promise(() =>
          openai.chat.completions.create({ model, messages: say(content) }).then(
            () => undefined,
            (error: unknown) => (error instanceof APIError ? error : undefined)
          )
        )
      const missing = yield* ask("nobody", "hello")
      assert.isTrue(missing instanceof NotFoundError)
      assert.strictEqual(missing?.code, "model_not_found")
      assert.include(missing?.message ?? "", 'there is no model "nobody" for this; there is text, eyes')
      const other = yield* ask("words", "hello")
      assert.strictEqual(other?.code, "model_not_found")
      assert.include(
        other?.message ?? "",
        'model "words" is for text-embedding; for text-generation or vision there is text, eyes'
      )
      const empty = yield* post("/v1/chat/completions", { model: "text" })
      assert.deepInclude(empty, { status: 400, message: "messages: is missing", param: "messages" })
      const wrong = yield* post("/v1/chat/completions", { model: "text", messages: [{ content: "hello" }] })
      assert.deepInclude(wrong, { status: 400, message: "messages.0.role: is missing", param: "messages" })
      assert.isTrue((yield* ask("text", "refuse")) instanceof UnprocessableEntityError)
      yield* Effect.forkChild(ask("text", "hang"))
      while ((yield* text.status).running === 0) yield* Effect.sleep("1 millis")
      yield* Effect.forkChild(ask("text", "hang"))
      while ((yield* text.status).waiting === 0) yield* Effect.sleep("1 millis")
      const full = yield* ask("text", "hello")
      assert.isTrue(full instanceof RateLimitError)
      assert.isAtLeast(Number(full?.headers?.get("retry-after")), 1)
      yield* text.refuse
      const late = yield* ask("text", "hello")
      assert.strictEqual(late?.status, 503)
      assert.strictEqual(late?.code, "shutting_down")
      assert.strictEqual(late?.headers?.get("retry-after"), "5")
    }).pipe(Effect.provide(memory()))
  )
})

describe("a request", () => {
  it.live.each([
    { path: "/v1/embeddings", body: "no object", says: "Expected object" },
    {
      path: "/v1/embeddings",
      body: { model: "words", input: [1, 2] },
      says: "input: numbers of tokens are not read here; send the texts themselves"
    },
    { path: "/v1/embeddings", body: { model: "words", input: [[1, 2]] }, says: "send the texts themselves" },
    {
      path: "/v1/chat/completions",
      body: { model: "text", messages: say("hello"), n: 2 },
      says: "n 2: a request has one answer here; send it 2 times, or leave n out"
    },
    {
      path: "/v1/images/generations",
      body: { model: "brush", prompt: "a", stream: true },
      says: "stream true: images come whole here; leave stream out"
    },
    { path: "/v1/embeddings", body: { model: "words", input: [] }, says: "texts" },
    { path: "/v1/embeddings", body: { model: "pictures", input: ["no image"] }, says: "is no address of an image" },
    { path: "/v1/chat/completions", body: { model: "text" }, says: "messages" },
    {
      path: "/v1/chat/completions",
      body: { model: "text", messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: dot } }] }] },
      says: "this model reads text only"
    },
    // Its worker would die of writing it, and the next one too.
    {
      path: "/v1/chat/completions",
      body: { model: "text", messages: say("hello"), metadata: nested(300) },
      says: "the body nests deeper than 200 levels"
    },
    { path: "/v1/images/generations", body: { model: "brush", prompt: "a", n: 99 }, says: "count" }
  ])("P10: that is wrong is told what is wrong: $says", ({ body, path, says }) =>
    Effect.gen(function* () {
      const { post } = yield* house
      const { code, message, status } = yield* post(path, body)
      assert.deepStrictEqual({ code, status }, { code: "invalid_request", status: 400 })
      assert.include(message, says)
    }).pipe(Effect.provide(memory()))
  )

  it.live("P6: for a stream that breaks before its first part has a status, after it the error is in the stream", () =>
    Effect.gen(function* () {
      const { openai, post } = yield* house
      const early = yield* post("/v1/chat/completions", { model: "text", messages: say("break"), stream: true })
      assert.deepStrictEqual([early.status, early.code], [502, "worker_lost"])
      const heard: Array<string> = []
      const error = yield* Effect.promise(async () => {
        const stream = await openai.chat.completions.create({ model: "text", messages: say("one break"), stream: true })
        try {
          for await (const chunk of stream) heard.push(chunk.choices[0]?.delta.content ?? "")
          return undefined
        } catch (error) {
          return error
        }
      })
      assert.deepStrictEqual(heard, ["one"])
      assert.include(String(error), "the cable is out")
    }).pipe(Effect.provide(memory()))
  )

  it.live("whose client leaves takes its work with it", () =>
    Effect.gen(function* () {
      const { openai, text } = yield* house
      const leaving = new AbortController()
      const asked = openai.chat.completions.create({ model: "text", messages: say("hang") }, { signal: leaving.signal })
      const left = asked.then(
        () => "answered",
        () => "left"
      )
      while ((yield* text.status).running === 0) yield* Effect.sleep("1 millis")
      leaving.abort()
      assert.strictEqual(yield* Effect.promise(() => left), "left")
      while ((yield* text.status).running > 0) yield* Effect.sleep("1 millis")
      assert.deepStrictEqual((yield* text.status).outcomes, { cancelled: 1 })
    }).pipe(Effect.provide(memory()))
  )

  it.live("of batch priority says so in a header, and any other word is refused", () =>
    Effect.gen(function* () {
      const { post } = yield* house
      const { message, status } = yield* post(
        "/v1/embeddings",
        { model: "words", input: "a" },
        { "x-priority": "soon" }
      )
      assert.deepStrictEqual([status, message], [400, 'x-priority "soon": say interactive or batch'])
    }).pipe(Effect.provide(memory()))
  )
})
