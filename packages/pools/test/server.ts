// A stand-in for a server that speaks as OpenAI does: it keeps what it was asked and answers as the test says, at its own
// port of the loopback interface.
import * as Effect from "effect/Effect"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"

export interface Asked {
  readonly path: string
  readonly authorization: string | undefined
  readonly body: Readonly<Record<string, unknown>>
  /** Its client has left. */
  closed: boolean
}

export type Answer = (asked: Asked, response: ServerResponse) => void

const bodyOf = async (request: IncomingMessage): Promise<Readonly<Record<string, unknown>>> => {
  let text = ""
  for await (const chunk of request) text += String(chunk)
  return text === "" ? {} : (JSON.parse(text) as Readonly<Record<string, unknown>>)
}

export const sendJson = (response: ServerResponse, body: unknown, status = 200, headers = {}): void => {
  response.writeHead(status, { "content-type": "application/json", ...headers })
  response.end(JSON.stringify(body))
}

export const event = (response: ServerResponse, body: unknown): void => {
  if (!response.headersSent) response.writeHead(200, { "content-type": "text/event-stream" })
  response.write(`data: ${typeof body === "string" ? body : JSON.stringify(body)}\n\n`)
}

/** A server for the scope; `answers` by path, and the list of models is always there unless it is among them. */
export const server = (answers: Readonly<Record<string, Answer>>) =>
  Effect.gen(function* () {
    const asked: Array<Asked> = []
    const models: Answer = (_, response) => sendJson(response, { data: [{ id: "m" }] })
    const http = createServer((request, response) => {
      const told = async () => {
        const body = await bodyOf(request)
        const { headers, url = "" } = request
        const one: Asked = { path: url, authorization: headers.authorization, body, closed: false }
        response.on("close", () => (one.closed = true))
        asked.push(one)
        const missing: Answer = () => sendJson(response, { error: { message: `nothing at ${url}` } }, 404)
        ;(answers[url] ?? (url === "/v1/models" ? models : missing))(one, response)
      }
      void told()
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => {
        http.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.callback<void>((resume) => {
          http.close(() => resume(Effect.void))
          http.closeAllConnections()
        })
    )
    const address = http.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    return { asked, url: `http://127.0.0.1:${port}` }
  })
