/**
 * A stand-in of OpenAI's chat completions on this machine: the real chunk format,
 * answers that follow from the user's text, receipts instead of sleeps. It records
 * every request, so that a test can say how often a model was paid.
 *
 * The first line of the user's last text says what happens; any other text is
 * said back, in pieces:
 *   hold              begins to answer; the test says the rest (`delta`, `finish`)
 *   hang              begins to answer and never goes on; silent: does not even begin
 *   fail STATUS [N]   refuses with this status, without N for ever, else N times
 *   break             ends the connection in the middle of the answer
 *   drop              ends the connection before it
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as http from "node:http"
import type { AddressInfo } from "node:net"

interface Part {
  readonly type: string
  readonly text?: string
  readonly image_url?: { readonly url: string }
}

export interface Message {
  readonly role: string
  readonly content: string | ReadonlyArray<Part>
}

/** What a request for an answer asks for, as far as it is looked at here. */
export interface Body {
  readonly model: string
  readonly messages: ReadonlyArray<Message>
  readonly stream?: boolean
  readonly stream_options?: { readonly include_usage?: boolean }
  readonly max_tokens?: number
  readonly max_completion_tokens?: number
  readonly temperature?: number
  readonly system?: unknown
}

/** One request for an answer. */
export interface Asked {
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  readonly path: string
  readonly body: Body
  /** The last thing that the user wrote. */
  readonly text: string
  /** Every user text of the request, oldest first. */
  readonly said: ReadonlyArray<string>
  /** Says a piece of a held answer. */
  readonly delta: (text: string) => void
  /** Writes into a raw answer. */
  readonly write: (text: string) => void
  /** Ends a held answer, after a last piece. */
  readonly finish: (text?: string) => void
  /** Completes when the connection is over, whoever ended it. */
  readonly over: Effect.Effect<"ended" | "left">
}

/** How a request is answered. */
export type Plan =
  | { readonly _tag: "Say"; readonly text: string }
  | {
      readonly _tag: "Refuse"
      readonly status: number
      readonly body?: unknown
      readonly headers?: Readonly<Record<string, string>>
    }
  /** These bytes, as they are; then the end, the end of the connection, or nothing. */
  | {
      readonly _tag: "Raw"
      readonly type?: string
      readonly chunks: ReadonlyArray<string | Uint8Array>
      readonly after?: "end" | "break" | "hang"
    }
  | { readonly _tag: "Hold" | "Silent" | "Break" | "Drop" }

/** The running stand-in. */
export interface StandIn {
  readonly url: string
  /** Requests for answers so far. */
  readonly asked: ReadonlyArray<Asked>
  /** Everything that was requested, as `POST /v1/chat/completions`. */
  readonly calls: ReadonlyArray<string>
  /** The n-th request for an answer (from 1), once it is there. */
  readonly ask: (n: number) => Effect.Effect<Asked>
}

/** The text of a message, its images in brackets. */
export const textOf = ({ content }: Message): string =>
  typeof content === "string"
    ? content
    : content.map(({ image_url, text }) => text ?? (image_url === undefined ? "" : `<${image_url.url}>`)).join("\n")

/** Tokens that an answer says it took: four characters each, three of them from a cache. */
export const usageOf = ({ messages }: Body) => {
  const prompt = messages.reduce((sum, message) => sum + 4 + Math.ceil(textOf(message).length / 4), 0)
  return {
    prompt_tokens: prompt,
    completion_tokens: 7,
    total_tokens: prompt + 7,
    prompt_tokens_details: { cached_tokens: 3 }
  }
}

/** What the user's text asks for. `before` counts the requests with the same text. */
export const planOf = (text: string, before: number): Plan => {
  const [line = ""] = text.split("\n", 1)
  const failing = /^fail (\d{3})(?: (\d+))?$/.exec(line)
  if (failing !== null) {
    const times = failing[2] === undefined ? Infinity : Number(failing[2])
    return before < times ? { _tag: "Refuse", status: Number(failing[1]) } : { _tag: "Say", text }
  }
  if (/^hold\b/.test(line) || line === "hang") return { _tag: "Hold" }
  if (line === "silent") return { _tag: "Silent" }
  if (line === "break") return { _tag: "Break" }
  if (line === "drop") return { _tag: "Drop" }
  return { _tag: "Say", text }
}

/** Pieces of a text, none of which splits a character. */
const pieces = (text: string): ReadonlyArray<string> => {
  const size = Math.max(8, Math.ceil(text.length / 16))
  const cut: Array<string> = []
  for (let at = 0; at < text.length;) {
    let end = Math.min(text.length, at + size)
    const last = text.charCodeAt(end - 1)
    if (end < text.length && last >= 0xd800 && last <= 0xdbff) end++
    cut.push(text.slice(at, end))
    at = end
  }
  return cut
}

let ids = 0
const created = () => Math.floor(Date.now() / 1000)

/** An answer as the API streams it. */
const streamed = (response: http.ServerResponse, body: Body) => {
  const frame = { id: `chatcmpl-${ids++}`, object: "chat.completion.chunk", created: created(), model: body.model }
  const wantsUsage = body.stream_options?.include_usage === true
  const event = (data: unknown) => response.write(`data: ${JSON.stringify(data)}\n\n`)
  const choice = (delta: unknown, finish_reason: string | null = null) =>
    event({
      ...frame,
      system_fingerprint: "fp_stand_in",
      choices: [{ index: 0, delta, logprobs: null, finish_reason }],
      ...(wantsUsage ? { usage: null } : {})
    })
  const delta = (text: string) => void choice({ content: text })
  return {
    begin: () => {
      response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" })
      choice({ role: "assistant", content: "", refusal: null })
    },
    delta,
    write: (text: string) => void response.write(text),
    finish: (text = "") => {
      if (text !== "") delta(text)
      choice({}, "stop")
      if (wantsUsage) event({ ...frame, choices: [], usage: usageOf(body) })
      response.end("data: [DONE]\n\n")
    }
  }
}

const json = (response: http.ServerResponse, status: number, body: unknown, headers: object = {}) => {
  response.writeHead(status, { "content-type": "application/json", ...headers })
  response.end(JSON.stringify(body))
}

/** Error types of the API by status. */
const types: Readonly<Record<number, readonly [type: string, code: string | null]>> = {
  400: ["invalid_request_error", null],
  401: ["invalid_request_error", "invalid_api_key"],
  404: ["invalid_request_error", "model_not_found"],
  429: ["requests", "rate_limit_exceeded"],
  500: ["server_error", null]
}

const refuse = (response: http.ServerResponse, status: number, body?: unknown, headers?: object) => {
  const [type, code] = types[status] ?? ["server_error", null]
  json(
    response,
    status,
    body ?? { error: { message: `the stand-in refuses with ${status}`, type, param: null, code } },
    headers ?? (status === 429 || status === 503 ? { "retry-after": "0" } : {})
  )
}

/** An answer in one document, for a request that does not stream. */
const whole = (response: http.ServerResponse, body: Body, text: string) =>
  json(response, 200, {
    id: `chatcmpl-${ids++}`,
    object: "chat.completion",
    created: created(),
    model: body.model,
    choices: [
      {
        index: 0,
        message: { role: "assistant", content: text, refusal: null, annotations: [] },
        logprobs: null,
        finish_reason: "stop"
      }
    ],
    usage: usageOf(body)
  })

const raw = (plan: Extract<Plan, { readonly _tag: "Raw" }>, response: http.ServerResponse) => {
  response.writeHead(200, { "content-type": plan.type ?? "text/event-stream" })
  const chunks = [...plan.chunks]
  // Each in a packet of its own.
  const next = () => {
    const chunk = chunks.shift()
    if (chunk !== undefined) return void response.write(chunk, () => setImmediate(next))
    if (plan.after === "break") response.destroy()
    else if (plan.after !== "hang") response.end()
  }
  response.flushHeaders()
  next()
}

const follow = (plan: Plan, asked: Asked, response: http.ServerResponse, answer: ReturnType<typeof streamed>) => {
  if (plan._tag === "Refuse") return refuse(response, plan.status, plan.body, plan.headers)
  if (plan._tag === "Raw") return raw(plan, response)
  if (plan._tag === "Silent") return
  if (plan._tag === "Drop") return void response.destroy()
  if (asked.body.stream !== true) return whole(response, asked.body, plan._tag === "Say" ? plan.text : "")
  answer.begin()
  if (plan._tag === "Say") {
    for (const piece of pieces(plan.text)) answer.delta(piece)
    return answer.finish()
  }
  if (plan._tag === "Break") {
    answer.delta("this breaks")
    setImmediate(() => response.destroy())
  }
}

const readBody = (request: http.IncomingMessage, done: (text: string) => void) => {
  const chunks: Array<Buffer> = []
  request.on("data", (chunk: Buffer) => chunks.push(chunk))
  request.on("end", () => done(Buffer.concat(chunks).toString()))
}

const listening = (server: http.Server) =>
  Effect.acquireRelease(
    Effect.callback<string>(
      (resume) =>
        void server.listen(0, "127.0.0.1", () =>
          resume(Effect.succeed(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
        )
    ),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )

/** Starts the stand-in, for as long as the scope is open. `answer` decides before the user's text does. */
export const standIn = (
  options: {
    readonly answer?: (asked: Asked, n: number) => Plan | undefined
    readonly models?: ReadonlyArray<string>
  } = {}
): Effect.Effect<StandIn, never, Scope.Scope> =>
  Effect.gen(function* () {
    const asked: Array<Asked> = []
    const calls: Array<string> = []
    let waiting: Array<{ readonly n: number; readonly done: Deferred.Deferred<Asked> }> = []
    const completions = (request: http.IncomingMessage, path: string, response: http.ServerResponse, body: Body) => {
      const over = Deferred.makeUnsafe<"ended" | "left">()
      response.on("close", () =>
        Deferred.doneUnsafe(over, Effect.succeed(response.writableFinished ? "ended" : "left"))
      )
      const answer = streamed(response, body)
      const said = body.messages.filter(({ role }) => role === "user").map(textOf)
      const { begin: _, ...says } = answer
      const text = said.at(-1) ?? ""
      const one: Asked = { ...says, headers: request.headers, path, body, text, said, over: Deferred.await(over) }
      const before = asked.filter((earlier) => earlier.text === text).length
      asked.push(one)
      follow(options.answer?.(one, asked.length) ?? planOf(text, before), one, response, answer)
      waiting = waiting.filter(({ done, n }) => n !== asked.length || !Deferred.doneUnsafe(done, Effect.succeed(one)))
    }
    const server = http.createServer((request, response) => {
      const path = (request.url ?? "").split("?", 1)[0] ?? ""
      calls.push(`${request.method} ${path}`)
      readBody(request, (text) => {
        if (request.method === "POST") return completions(request, path, response, JSON.parse(text) as Body)
        if (path.endsWith("/models")) {
          const data = (options.models ?? ["stand-in"]).map((id) => ({ id, object: "model", created: 0, owned_by: "" }))
          return json(response, 200, { object: "list", data })
        }
        return refuse(response, 404)
      })
    })
    const url = yield* listening(server)
    return {
      url,
      asked,
      calls,
      ask: (n) =>
        Effect.suspend(() => {
          const found = asked[n - 1]
          if (found !== undefined) return Effect.succeed(found)
          const done = Deferred.makeUnsafe<Asked>()
          waiting.push({ n, done })
          return Deferred.await(done)
        })
    }
  })
