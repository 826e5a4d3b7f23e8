// Pools in the real program: the official client of OpenAI talks to them unchanged, an operator sees them, a reload leaves
// alone what it does not change, and a stop drains them and says what became of each request.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import OpenAI, {
  type APIError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  RateLimitError
} from "openai"
import { type Answer, event, sendJson, server } from "../../../../packages/pools/test/server.ts"
import { lives } from "../../src/tools/Ask.ts"
import { now, type Process, reportIn, type Running, start, temporaryFolder, tool, until } from "../harness.ts"

const pixel = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"

/** What a chat answers with: what it was told last; `hold` waits until the test says otherwise. */
const chat =
  (held: Array<() => void>): Answer =>
  (asked, response) => {
    const { messages, stream } = asked.body as { messages: Array<{ content: unknown }>; stream?: boolean }
    const last = messages.at(-1)?.content
    const text = typeof last === "string" ? last : `${JSON.stringify(last).length} characters`
    const whole = () =>
      sendJson(response, {
        choices: [{ message: { role: "assistant", content: text }, finish_reason: "stop" }],
        usage: { prompt_tokens: 3, completion_tokens: 1 }
      })
    if (text === "refuse") return sendJson(response, { error: { message: "not with me" } }, 422)
    if (text === "full") return sendJson(response, { error: { message: "come back" } }, 429, { "retry-after": "7" })
    if (text.startsWith("hold")) return void held.push(whole)
    if (stream !== true) return whole()
    for (const word of text.split(" ")) event(response, { choices: [{ delta: { content: word } }] })
    event(response, { choices: [{ delta: {}, finish_reason: "stop" }] })
    event(response, "[DONE]")
    response.end()
  }

const backend = Effect.gen(function* () {
  const held: Array<() => void> = []
  const { asked, url } = yield* server({
    "/v1/chat/completions": chat(held),
    "/v1/embeddings": ({ body }, response) =>
      sendJson(response, {
        data: (body["input"] as Array<unknown>).map((_, index) => ({ index, embedding: [index + 0.5, -1] })),
        usage: { prompt_tokens: 4 }
      }),
    "/v1/images/generations": (_, response) => sendJson(response, { data: [{ b64_json: pixel }] })
  })
  return { held, asked, url }
})

const page = "https://console.example"

const configuration = (url: string, more = "") => `
http: { port: 0, allowedOrigins: ["${page}"] }
pools:
  writer: { capability: text-generation, kind: openai, url: "${url}", model: m, models: [writer, gpt-x], workers: { start: 1, max: 1, concurrency: 4 }${more} }
  eyes: { capability: vision, kind: openai, url: "${url}", model: m }
  search: { capability: text-embedding, kind: openai, url: "${url}", model: m }
  looks: { capability: image-embedding, kind: openai, url: "${url}", model: m }
  index: { capability: text-embedding, kind: onnx, folder: ./empty }
  brush: { capability: image-generation, kind: openai, url: "${url}", model: m }
`

const clientOf = ({ token, url }: Running, apiKey = token) =>
  new OpenAI({ apiKey, baseURL: `${url}/v1`, maxRetries: 0 })

const said = (content: string) => ({ model: "writer", messages: [{ role: "user" as const, content }] })

/**
 * What a browser does with a page's request to elsewhere: it asks first whether the page may, with all headers that are
 * not everybody's, and hands an answer over only when that allows the page, too.
 */
const browser: typeof fetch = async (input, init) => {
  const sent = new Request(input, init)
  const asked = [...sent.headers.keys()].filter((name) => name !== "accept")
  const preflight = await fetch(sent.url, {
    method: "OPTIONS",
    headers: {
      origin: page,
      "access-control-request-method": sent.method,
      "access-control-request-headers": asked.join(",")
    }
  })
  const allowed = (preflight.headers.get("access-control-allow-headers") ?? "").split(",").map((name) => name.trim())
  const refused = asked.filter((name) => !allowed.includes(name))
  if (!preflight.ok || refused.length > 0) throw new TypeError(`the preflight does not allow ${refused.join(", ")}`)
  sent.headers.set("origin", page)
  const answer = await fetch(sent)
  if (answer.headers.get("access-control-allow-origin") !== page) throw new TypeError("the answer is not for this page")
  return answer
}

/** What a call fails with. */
const refusal = (call: Promise<unknown>) =>
  Effect.map(Effect.flip(Effect.tryPromise({ try: () => call, catch: (error) => error as APIError })), (error) => error)

const ask = <A>(call: () => PromiseLike<A>) => Effect.promise(async () => await call())

const outcomeOf = (
  call: Promise<{ readonly choices: ReadonlyArray<{ readonly message: { readonly content: string | null } }> }>
) =>
  Effect.promise(() =>
    call.then(
      ({ choices }) => choices[0]?.message.content,
      (error: unknown) => error
    )
  )

/** One pool as the gateway sees it. */
const poolOf = (gateway: Running, name: string) =>
  Effect.map(gateway.client.call("/v1/pools"), ({ body }) =>
    (
      body["pools"] as ReadonlyArray<{ readonly name: string; readonly running: number; readonly draining: boolean }>
    ).find((pool) => pool.name === name)
  ).pipe(Effect.orDie)

const drainsOf = (process: Process) =>
  (
    reportIn(process) as unknown as {
      readonly drains: ReadonlyArray<{ readonly name: string; readonly counts: object }>
    }
  ).drains

describe("pools behind the gateway", () => {
  it.live(
    "P1: the official client chats, streams, sees, embeds and draws, and its errors are the ones that it knows",
    () =>
      Effect.gen(function* () {
        const { asked, url } = yield* backend
        const folder = yield* temporaryFolder
        const gateway = yield* start({ folder, configuration: configuration(url) })
        const openai = clientOf(gateway)

        const answer = yield* ask(() => openai.chat.completions.create({ ...said("hello you"), temperature: 0.5 }))
        assert.strictEqual(answer.choices[0]?.message.content, "hello you")
        assert.strictEqual(answer.model, "writer")
        assert.deepInclude(asked.at(-1)?.body, { model: "m", temperature: 0.5 })
        const words = yield* Effect.promise(async () => {
          const parts: Array<string> = []
          const stream = await openai.chat.completions.create({ ...said("one two three"), stream: true })
          for await (const part of stream) parts.push(part.choices[0]?.delta.content ?? "")
          return parts
        })
        assert.deepStrictEqual(words, ["one", "two", "three", ""])

        const inPage = clientOf(gateway).withOptions({ fetch: browser, dangerouslyAllowBrowser: true })
        const shown = yield* ask(() => inPage.chat.completions.create(said("hello page")))
        assert.strictEqual(shown.choices[0]?.message.content, "hello page")
        const told = yield* refusal(inPage.chat.completions.create({ ...said("hi"), model: "nobody" }))
        assert.instanceOf(told, NotFoundError)

        // An image of 2 MiB: larger than a message may be.
        const gif = Buffer.from(pixel, "base64")
        const large = Buffer.concat([gif.subarray(0, -1), Buffer.alloc(1_600_000), gif.subarray(-1)])
        const image = `data:image/gif;base64,${large.toString("base64")}`
        const seen = yield* ask(() =>
          openai.chat.completions.create({
            model: "eyes",
            messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: image } }] }]
          })
        )
        assert.match(seen.choices[0]?.message.content ?? "", /^2\d{6} characters$/)
        const vectors = yield* ask(() => openai.embeddings.create({ model: "search", input: ["a", "b"] }))
        assert.deepStrictEqual(
          vectors.data.map(({ embedding }) => embedding),
          [
            [0.5, -1],
            [1.5, -1]
          ]
        )
        const looks = yield* ask(() =>
          openai.embeddings.create({
            model: "looks",
            input: [`data:image/gif;base64,${pixel}`],
            encoding_format: "float"
          })
        )
        assert.lengthOf(looks.data, 1)
        const drawn = yield* ask(() => openai.images.generate({ model: "brush", prompt: "a dot" }))
        assert.strictEqual(drawn.data?.[0]?.b64_json, pixel)
        const listed = yield* ask(() => openai.models.list())
        assert.deepStrictEqual(
          listed.data.map(({ id }) => id),
          ["writer", "gpt-x", "eyes", "search", "looks", "index", "brush"]
        )
        assert.strictEqual((yield* ask(() => openai.models.retrieve("gpt-x"))).id, "gpt-x")

        const stranger = yield* refusal(clientOf(gateway, "not-the-token-of-this").chat.completions.create(said("hi")))
        assert.instanceOf(stranger, AuthenticationError)
        assert.include(stranger.message, "has a token that is not valid here")
        const unknown = yield* refusal(openai.chat.completions.create({ ...said("hi"), model: "nobody" }))
        assert.instanceOf(unknown, NotFoundError)
        assert.deepInclude(unknown, { code: "model_not_found", param: "model" })
        const astray = yield* refusal(openai.withOptions({ baseURL: gateway.url }).chat.completions.create(said("hi")))
        assert.instanceOf(astray, NotFoundError)
        assert.include(astray.message, "the base URL of a client ends with /v1, and this is /v1/chat/completions")
        const newer = yield* refusal(openai.responses.create({ model: "writer", input: "hi" }))
        assert.include(newer.message, "there is nothing at /v1/responses; chats are asked for at /v1/chat/completions")
        const other = yield* refusal(openai.moderations.create({ input: "hi" }))
        assert.include(
          other.message,
          "there is nothing at /v1/moderations; pools are asked at /v1/embeddings, /v1/chat/completions, /v1/images/generations"
        )
        const wrong = yield* refusal(openai.chat.completions.create({ ...said("hi"), messages: [] }))
        assert.instanceOf(wrong, BadRequestError)
        const refused = yield* refusal(openai.chat.completions.create(said("refuse")))
        assert.deepInclude(refused, { status: 422, code: "model_error" })
        const full = yield* refusal(openai.chat.completions.create(said("full")))
        assert.instanceOf(full, RateLimitError)
        assert.strictEqual(full.headers?.get("retry-after"), "7")
        // A model that is not there, in a thread of the bundled program.
        const empty = yield* refusal(openai.embeddings.create({ model: "index", input: "a" }))
        assert.deepInclude(empty, { status: 503, code: "load_failed" })
        assert.match(empty.message, /empty does not exist; name the folder that holds the model/)
        const huge = { model: "search", input: "A".repeat(33 * 1024 ** 2) }
        assert.deepInclude(yield* refusal(openai.embeddings.create(huge)), { status: 413, code: "too_large" })

        const table = yield* tool(folder, ["pools"])
        assert.match(
          table.out,
          /^writer +text-generation +writer gpt-x +healthy +0 +0 +1 idle +- +3 +1 overloaded, 1 model_error +\d+ ms$/m
        )
        const { json } = yield* tool(folder, ["pools", "--json"])
        assert.deepInclude(json.pools[0], { name: "writer", kind: "openai", health: "healthy", breaker: "closed" })
        const { body } = yield* gateway.client.call("/metrics")
        assert.include(body.text, 'sluice_pool_requests_total{pool="writer",model="writer",outcome="model_error"} 1\n')
        assert.include(body.text, 'sluice_pool_request_seconds_count{pool="search",model="search"} 1\n')
        assert.include(body.text, 'sluice_pool_workers{pool="writer",state="idle"} 1\n')
        const status = yield* tool(folder, ["status"])
        assert.match(status.out, /^pool {7}writer: healthy$/m)
        assert.match(
          status.out,
          /^pool {7}index: degraded, its last worker did not load: .*empty does not exist; name the folder that holds the model$/m
        )
        const ready = yield* gateway.client.call("/readyz")
        assert.deepInclude(ready, { status: 200 })
        assert.deepInclude(ready.body["pools"], { name: "writer", state: "healthy", problems: [] })

        // A client that leaves takes its work with it.
        const leaving = new AbortController()
        const left = outcomeOf(openai.chat.completions.create(said("hold on"), { signal: leaving.signal }))
        const asking = yield* Effect.forkChild(left)
        yield* until("it runs", poolOf(gateway, "writer"), (pool) => pool?.running === 1)
        leaving.abort()
        assert.match(String(yield* Fiber.join(asking)), /aborted/)
        yield* until("its place is free", poolOf(gateway, "writer"), (pool) => pool?.running === 0)

        // A reload that changes one pool leaves the requests of all others alone, and this one's, too.
        const before = outcomeOf(openai.chat.completions.create({ ...said("hello"), model: "eyes" }))
        assert.strictEqual(yield* before, "hello")
        writeFileSync(join(folder, "sluice.yaml"), configuration(url, ", queue: 5").replace(/ {2}brush.*\n/, ""))
        const reload = yield* tool(folder, ["reload"])
        assert.include(reload.out, "pool writer has changed")
        assert.include(reload.out, "pool brush is gone")
        assert.notInclude(reload.out, "search")
        const gone = yield* refusal(openai.images.generate({ model: "brush", prompt: "a dot" }))
        assert.instanceOf(gone, NotFoundError)
      }).pipe(Effect.scoped)
  )

  it.live("P2, S6: a stop lets running requests finish, refuses new ones, keeps messages, and counts each", () =>
    Effect.gen(function* () {
      const { held, url } = yield* backend
      const gateway = yield* start({ configuration: `${configuration(url)}drain: { pools: 3 seconds }\n` })
      const openai = clientOf(gateway)
      const first = yield* Effect.forkChild(outcomeOf(openai.chat.completions.create(said("hold one"))))
      const second = yield* Effect.forkChild(outcomeOf(openai.chat.completions.create(said("hold two"))))
      yield* until("both run", poolOf(gateway, "writer"), (pool) => pool?.running === 2)
      yield* until(
        "the backend has both",
        Effect.sync(() => held.length),
        (count) => count === 2
      )
      yield* gateway.signal("SIGTERM")
      yield* until("it stops", poolOf(gateway, "writer"), (pool) => pool?.draining === true)
      const late = yield* refusal(openai.chat.completions.create(said("late")))
      assert.instanceOf(late, InternalServerError)
      assert.deepInclude(late, { status: 503, code: "shutting_down" })
      assert.strictEqual(late.headers?.get("retry-after"), "5")
      // What is said in a conversation is kept, and answered after the restart.
      assert.deepInclude(yield* gateway.client.send("kim", "hello"), { held: true })
      held[0]?.()
      assert.match(String(yield* Fiber.join(first)), /^hold (one|two)$/)
      const cut = yield* Fiber.join(second)
      assert.instanceOf(cut, InternalServerError)
      assert.strictEqual((yield* gateway.exited).code, 0)
      const drains = drainsOf(gateway)
      assert.deepInclude(drains[0], { name: "pool writer", counts: { drained: 1, aborted: 1, rejected: 1 } })
      assert.lengthOf(drains, 6)
      const { out } = yield* tool(gateway.folder, ["report"])
      assert.match(out, /^ {2}drains {4}pool writer: 1 drained, 1 aborted, 1 rejected, \d+\.\d s$/m)
      assert.match(out, /^ {2}drains {4}pool brush: 0 drained, 0 aborted, 0 rejected, \d+ ms$/m)
    }).pipe(Effect.scoped)
  )

  it.live(
    "P9: what a killed gateway started for its pools is ended by the next start, also when that has no pools",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const script = `trap '' TERM\necho $$ > pid\necho '{"ready": true}'\nwhile read line; do :; done\nwhile :; do sleep 60; done`
        const argv = JSON.stringify(["sh", "-c", script])
        const gateway = yield* start({
          folder,
          configuration: `http: { port: 0 }\npools:\n  a: { capability: text-embedding, kind: program, argv: ${argv}, workers: { start: 1 } }\n`
        })
        yield* Effect.forkChild(refusal(clientOf(gateway).embeddings.create({ model: "a", input: "nobody answers" })))
        yield* until("it runs", poolOf(gateway, "a"), (pool) => pool?.running === 1)
        yield* gateway.signal("SIGKILL")
        yield* gateway.exited
        // Any other program with pools that starts just now may find it first.
        const pid = Number(readFileSync(join(folder, "pid"), "utf8"))
        const record = join(gateway.stateDirectory, "pool-programs")
        assert.isTrue(existsSync(record))
        yield* start({ folder, configuration: "http: { port: 0 }\n" })
        const left = Effect.sync(() => ({ lives: lives(pid), isNoted: existsSync(record) }))
        // The next start without pools has nothing to look for.
        yield* until("it has gone", left, (found) => !found.lives && !found.isNoted)
      }).pipe(Effect.scoped)
  )

  it.live("S7, S11: who signals twice does not wait for a request, nor for a worker that does not end by itself", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const script = `trap '' TERM\necho $$ > pid\necho '{"ready": true}'\nwhile read line; do :; done\nwhile :; do sleep 60; done`
      const argv = JSON.stringify(["sh", "-c", script])
      const gateway = yield* start({
        folder,
        configuration: `http: { port: 0 }\npools:\n  a: { capability: text-embedding, kind: program, argv: ${argv}, workers: { start: 1 } }\n`
      })
      const held = yield* Effect.forkChild(
        refusal(clientOf(gateway).embeddings.create({ model: "a", input: "nobody answers" }))
      )
      yield* until("it runs", poolOf(gateway, "a"), (pool) => pool?.running === 1)
      const first = yield* gateway.signal("SIGTERM")
      yield* until("it stops", poolOf(gateway, "a"), (pool) => pool?.draining === true)
      // Twins of a terminal or a wrapper, less than 250 ms apart, count once.
      yield* Effect.sleep(Math.max(0, first + 300 - now()))
      const second = yield* gateway.signal("SIGTERM")
      const { at, code } = yield* gateway.exited
      assert.strictEqual(code, 81)
      assert.isBelow(at - second, 6000)
      assert.deepInclude(yield* Fiber.join(held), { status: 503, code: "shutting_down" })
      assert.isFalse(lives(Number(readFileSync(join(folder, "pid"), "utf8"))))
    }).pipe(Effect.scoped)
  )
})
