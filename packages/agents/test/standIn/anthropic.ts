/**
 * A stand-in of the Anthropic Messages API on this machine: the real event
 * format, answers that follow from the user's text, receipts instead of sleeps.
 * It records every request, so that a test can say how often a model was paid.
 *
 * The first line of the user's last text says what happens; any other text is
 * said back, in pieces:
 *   hold              begins to answer; the test says the rest (`delta`, `finish`)
 *   hang              begins to answer and never goes on; silent: does not even begin
 *   tool NAME {JSON}  calls the tool; its result, a line each, is the answer
 *   fail STATUS [N]   refuses with this status, without N for ever, else N times
 *   break             ends the connection in the middle of the answer
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as http from "node:http"
import type { AddressInfo } from "node:net"

interface Block {
  readonly type: string
  readonly text?: string
  readonly content?: unknown
}

interface Message {
  readonly role: string
  readonly content: string | ReadonlyArray<Block>
}

/** What a request for messages asks for, as far as it is looked at here. */
export interface Body {
  readonly model: string
  readonly max_tokens?: number
  readonly stream?: boolean
  readonly system?: unknown
  readonly messages: ReadonlyArray<Message>
  readonly tools?: ReadonlyArray<{ readonly name: string }>
}

/** One request for an answer. */
export interface Asked {
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  readonly body: Body
  /** The last thing that the user wrote, without what a client puts around it. */
  readonly text: string
  /** Results of tools that came after that. */
  readonly results: ReadonlyArray<string>
  /** Every user text of the request, oldest first. */
  readonly said: ReadonlyArray<string>
  /** Says a piece of a held answer. */
  readonly delta: (text: string) => void
  /** Ends a held answer, after a last piece. */
  readonly finish: (text?: string) => void
  /** Completes when the connection is over, whoever ended it. */
  readonly over: Effect.Effect<"ended" | "left">
}

/** How a request is answered. */
export type Plan =
  | { readonly _tag: "Say"; readonly text: string }
  | { readonly _tag: "Tool"; readonly name: string; readonly input: string }
  | { readonly _tag: "Refuse"; readonly status: number }
  | { readonly _tag: "Hold" | "Silent" | "Break" }

/** The running stand-in. */
export interface StandIn {
  readonly url: string
  /** What a client that reads the usual variables is given. */
  readonly variables: Readonly<Record<string, string>>
  /** Requests for answers so far. */
  readonly asked: ReadonlyArray<Asked>
  /** Everything that was requested, as `POST /v1/messages`. */
  readonly calls: ReadonlyArray<string>
  /** The n-th request for an answer (from 1), once it is there. */
  readonly ask: (n: number) => Effect.Effect<Asked>
  /** The first request that fits, once it is there. */
  readonly askOf: (fits: (asked: Asked) => boolean) => Effect.Effect<Asked>
}

/** Tokens that every answer says it took; the cost follows from the client's own prices. */
export const usage = { input_tokens: 12, output_tokens: 7, cache_read_input_tokens: 3, cache_creation_input_tokens: 5 }

/** Error types of the API by status. */
const types: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  401: "authentication_error",
  402: "billing_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  500: "api_error",
  529: "overloaded_error"
}

const textsOf = (message: Message): ReadonlyArray<string> => {
  if (message.role !== "user") return []
  if (typeof message.content === "string") return [message.content]
  return message.content.flatMap(({ text, type }) =>
    type === "text" && text !== undefined && !text.startsWith("<system-reminder>") ? [text] : []
  )
}

const resultText = (content: unknown): string =>
  typeof content === "string"
    ? content
    : Array.isArray(content)
      ? content.map((part: Block) => part.text ?? "").join("")
      : ""

const resultsOf = (message: Message): ReadonlyArray<string> =>
  typeof message.content === "string"
    ? []
    : message.content.flatMap((block) => (block.type === "tool_result" ? [resultText(block.content)] : []))

/** The user's last text, and the results that tools gave since. */
const lastOf = (body: Body): Pick<Asked, "text" | "results" | "said"> => {
  const said = body.messages.flatMap(textsOf)
  const at = body.messages.findLastIndex((message) => textsOf(message).length > 0)
  return {
    said,
    text: said.at(-1) ?? "",
    results: body.messages.slice(Math.max(0, at)).flatMap(resultsOf)
  }
}

/** What the user's text asks for. `before` counts the requests with the same text. */
export const planOf = ({ text, results }: Pick<Asked, "text" | "results">, before: number): Plan => {
  const [line = ""] = text.split("\n", 1)
  const [word = "", ...rest] = line.trim().split(" ")
  const tool = /^tool (\w+) (\{.*\})$/.exec(line)
  if (tool !== null) {
    return results.length > 0
      ? { _tag: "Say", text: results.join("\n") }
      : { _tag: "Tool", name: tool[1] ?? "", input: tool[2] ?? "" }
  }
  if (word === "fail" && /^\d{3}$/.test(rest[0] ?? "")) {
    const times = rest[1] === undefined ? Infinity : Number(rest[1])
    return before < times ? { _tag: "Refuse", status: Number(rest[0]) } : { _tag: "Say", text }
  }
  if (line === "hold" || line.startsWith("hold ")) return { _tag: "Hold" }
  if (line === "hang") return { _tag: "Hold" }
  if (line === "silent") return { _tag: "Silent" }
  if (line === "break") return { _tag: "Break" }
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
const idOf = (kind: string): string => `${kind}_${Date.now().toString(36)}${(ids++).toString(36).padStart(6, "0")}`

/** An answer as the API streams it. */
const streamed = (response: http.ServerResponse, model: string) => {
  const event = (body: { readonly type: string } & Readonly<Record<string, unknown>>) =>
    response.write(`event: ${body.type}\ndata: ${JSON.stringify(body)}\n\n`)
  const block = (content: unknown) => event({ type: "content_block_start", index: 0, content_block: content })
  const change = (delta: unknown) => event({ type: "content_block_delta", index: 0, delta })
  let texts = false
  const end = (reason: string) => {
    event({ type: "content_block_stop", index: 0 })
    event({
      type: "message_delta",
      delta: { stop_reason: reason, stop_sequence: null },
      usage: { output_tokens: usage.output_tokens }
    })
    event({ type: "message_stop" })
    response.end()
  }
  const delta = (text: string) => {
    if (!texts) block({ type: "text", text: "" })
    texts = true
    change({ type: "text_delta", text })
  }
  return {
    begin: () => {
      response.writeHead(200, { "content-type": "text/event-stream", "request-id": idOf("req") })
      const message = { id: idOf("msg"), type: "message", role: "assistant", model, content: [], stop_reason: null }
      event({
        type: "message_start",
        message: { ...message, stop_sequence: null, usage: { ...usage, output_tokens: 1 } }
      })
      event({ type: "ping" })
    },
    delta,
    finish: (text = "") => {
      if (text !== "" || !texts) delta(text)
      end("end_turn")
    },
    tool: (name: string, input: string) => {
      block({ type: "tool_use", id: idOf("toolu"), name, input: {} })
      const middle = Math.ceil(input.length / 2)
      for (const part of [input.slice(0, middle), input.slice(middle)]) {
        change({ type: "input_json_delta", partial_json: part })
      }
      end("tool_use")
    }
  }
}

const json = (response: http.ServerResponse, status: number, body: unknown) => {
  response.writeHead(status, { "content-type": "application/json", "request-id": idOf("req") })
  response.end(JSON.stringify(body))
}

const refuse = (response: http.ServerResponse, status: number) => {
  const type = types[status] ?? "api_error"
  if (status === 429 || status === 529) response.setHeader("retry-after", "0")
  json(response, status, { type: "error", error: { type, message: `the stand-in refuses with ${status}` } })
}

/** An answer in one document, for a request that does not stream. */
const whole = (response: http.ServerResponse, model: string, text: string) =>
  json(response, 200, {
    id: idOf("msg"),
    type: "message",
    role: "assistant",
    model,
    content: [{ type: "text", text }],
    stop_reason: "end_turn",
    stop_sequence: null,
    usage
  })

const follow = (plan: Plan, asked: Asked, response: http.ServerResponse, answer: ReturnType<typeof streamed>) => {
  if (plan._tag === "Refuse") return refuse(response, plan.status)
  if (plan._tag === "Silent") return
  if (asked.body.stream !== true) return whole(response, asked.body.model, plan._tag === "Say" ? plan.text : "")
  answer.begin()
  switch (plan._tag) {
    case "Say":
      for (const piece of pieces(plan.text)) answer.delta(piece)
      return answer.finish()
    case "Tool":
      return answer.tool(plan.name, plan.input)
    case "Break":
      answer.delta("this breaks")
      return void setImmediate(() => response.destroy())
    case "Hold":
  }
}

const readBody = (request: http.IncomingMessage, done: (text: string) => void) => {
  const chunks: Array<Buffer> = []
  request.on("data", (chunk: Buffer) => chunks.push(chunk))
  request.on("end", () => done(Buffer.concat(chunks).toString()))
}

/**
 * Starts the stand-in, for as long as the scope is open. `answer` decides before the user's text does. One that
 * `forgets` keeps no request: for hours of them.
 */
export const standIn = (
  options: { readonly answer?: (asked: Asked) => Plan | undefined; readonly forgets?: boolean } = {}
): Effect.Effect<StandIn, never, Scope.Scope> =>
  Effect.gen(function* () {
    const asked: Array<Asked> = []
    const calls: Array<string> = []
    let waiting: Array<{ readonly fits: () => Asked | undefined; readonly done: Deferred.Deferred<Asked> }> = []
    const messages = (request: http.IncomingMessage, response: http.ServerResponse, body: Body) => {
      const over = Deferred.makeUnsafe<"ended" | "left">()
      response.on("close", () =>
        Deferred.doneUnsafe(over, Effect.succeed(response.writableFinished ? "ended" : "left"))
      )
      const answer = streamed(response, body.model)
      const { delta, finish } = answer
      const one = { ...lastOf(body), headers: request.headers, body, delta, finish, over: Deferred.await(over) }
      const before = asked.filter(({ text }) => text === one.text).length
      if (options.forgets !== true) asked.push(one)
      follow(options.answer?.(one) ?? planOf(one, before), one, response, answer)
      waiting = waiting.filter(({ done, fits }) => {
        const found = fits()
        return found === undefined || !Deferred.doneUnsafe(done, Effect.succeed(found))
      })
    }
    const server = http.createServer((request, response) => {
      const path = (request.url ?? "").split("?", 1)[0] ?? ""
      if (options.forgets !== true) calls.push(`${request.method} ${path}`)
      readBody(request, (text) => {
        if (path === "/v1/messages") return messages(request, response, JSON.parse(text) as Body)
        if (path === "/v1/messages/count_tokens")
          return json(response, 200, { input_tokens: Math.ceil(text.length / 4) })
        if (request.method === "HEAD") return response.writeHead(200).end()
        return refuse(response, 404)
      })
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    )
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const wait = (fits: () => Asked | undefined) =>
      Effect.suspend(() => {
        const found = fits()
        if (found !== undefined) return Effect.succeed(found)
        const done = Deferred.makeUnsafe<Asked>()
        waiting.push({ fits, done })
        return Deferred.await(done)
      })
    return {
      url,
      variables: { ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: "sk-ant-stand-in" },
      asked,
      calls,
      ask: (n) => wait(() => asked[n - 1]),
      askOf: (fits) => wait(() => asked.find(fits))
    }
  })
