/**
 * One request with a body of JSON over a connection that is kept. The clients of
 * the harness and the channels of the gateway under test both speak through it,
 * so that neither needs more than `node:http` to start. Whoever asks learns
 * whether the other side was reached at all, which decides what may be repeated.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import process from "node:process"

// Imported, it would load the whole client behind `fetch`, which is a third of the gateway's start.
const { Agent, request } = process.getBuiltinModule("node:http")

/** An answer: its status, and its body where that is JSON. */
export interface Answer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

/** Nobody answered. `reached` says that the request may have arrived. */
export class Unanswered extends Data.TaggedError("Unanswered")<{
  readonly reached: boolean
  readonly code: string
}> {}

/** What a request can carry beside its path. */
export interface Asking {
  readonly body?: unknown
  readonly token?: string
  /** The client's id of what it sends. */
  readonly key?: string
  readonly method?: "GET" | "POST"
  readonly headers?: Readonly<Record<string, string>>
}

/** One who asks at one address; `close` ends its connections. */
export interface Wire {
  readonly url: string
  readonly ask: (path: string, asking?: Asking) => Effect.Effect<Answer, Unanswered>
  readonly close: () => void
}

// Nothing left this machine: the other side was not there.
const before: ReadonlySet<string> = new Set(["ECONNREFUSED", "ENOENT", "EADDRNOTAVAIL"])

const parsed = (text: string): Answer["body"] => {
  try {
    const body: unknown = JSON.parse(text)
    return typeof body === "object" && body !== null ? (body as Answer["body"]) : {}
  } catch {
    // Not everything that answers speaks JSON: its status is what counts.
    return { text }
  }
}

/** Asks at an address such as `http://127.0.0.1:4747`. */
export const wire = (url: string): Wire => {
  const { hostname, port } = new URL(url)
  const agent = new Agent({ keepAlive: true, maxSockets: 256 })
  const ask: Wire["ask"] = (path, { body, headers: more, key, method, token } = {}) =>
    Effect.callback<Answer, Unanswered>((resume) => {
      const text = body === undefined ? "" : JSON.stringify(body)
      const headers: Record<string, string | number> = { ...more, "content-length": Buffer.byteLength(text) }
      if (body !== undefined) headers["content-type"] = "application/json"
      if (token !== undefined) headers["authorization"] = `Bearer ${token}`
      if (key !== undefined) headers["idempotency-key"] = key
      const lost = (error: NodeJS.ErrnoException) => {
        const code = error.code ?? error.message
        resume(Effect.fail(new Unanswered({ reached: !before.has(code), code })))
      }
      const sent = request(
        { agent, hostname, port, path, headers, method: method ?? (body === undefined ? "GET" : "POST") },
        (response) => {
          const parts: Array<Buffer> = []
          response.on("data", (part: Buffer) => parts.push(part))
          response.on("error", lost)
          response.on("end", () =>
            resume(
              Effect.succeed({ status: response.statusCode ?? 0, body: parsed(Buffer.concat(parts).toString("utf8")) })
            )
          )
        }
      )
      sent.on("error", lost)
      sent.end(text)
      return Effect.sync(() => void sent.destroy())
    })
  return { url, ask, close: () => agent.destroy() }
}
