/**
 * The backend of PL1 as a process of its own: it speaks as OpenAI does and takes 100 ms for every request, and for every
 * part of one that is streamed. Each answer says how long the backend had it, so that nobody is charged for a timer that
 * rang late. Prints its address as its first line and ends when its standard input does.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { chunks, dimensions, service } from "./kinds.ts"

const say = (url: string) => process.stdout.write(`${url}\n`)

const after = (begun: number): string => (performance.now() - begun).toFixed(3)

const vector = Array.from({ length: dimensions }, (_, index) => Math.sin(index))

const json = (response: ServerResponse, body: object): void => {
  const text = JSON.stringify(body)
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) })
  response.end(text)
}

const usage = { prompt_tokens: 9, completion_tokens: 12, total_tokens: 21 }

const chat = (response: ServerResponse, begun: number) =>
  json(response, {
    id: "chatcmpl-bench",
    object: "chat.completion",
    created: 1,
    model: "bench",
    choices: [
      {
        index: 0,
        message: { role: "assistant", content: `This is an answer of a usual length for a chat: ${after(begun)}` },
        finish_reason: "stop"
      }
    ],
    usage
  })

const embeddings = (response: ServerResponse, begun: number) =>
  json(response, {
    object: "list",
    model: "bench",
    data: [{ object: "embedding", index: 0, embedding: [Number(after(begun)), ...vector.slice(1)] }],
    usage
  })

/** One of the words of an answer that is streamed; the last one brings the end with it. */
const part = (response: ServerResponse, begun: number, index: number): void => {
  const event = (body: object) =>
    `data: ${JSON.stringify({ id: "chatcmpl-bench", created: 1, model: "bench", ...body })}\n\n`
  const delta = { content: `word ${after(begun)} ` }
  const words = event({ choices: [{ index: 0, delta, finish_reason: null }] })
  if (index === 0) response.writeHead(200, { "content-type": "text/event-stream" })
  if (index < chunks - 1) return void response.write(words)
  const end = event({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] })
  response.end(`${words}${end}${event({ choices: [], usage })}data: [DONE]\n\n`)
}

const textOf = async (request: IncomingMessage): Promise<string> => {
  let text = ""
  for await (const chunk of request.setEncoding("utf8")) text += String(chunk)
  return text
}

const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
  const text = await textOf(request)
  const begun = performance.now()
  if (request.method === "GET") return json(response, { object: "list", data: [{ id: "bench", object: "model" }] })
  const streams = (JSON.parse(text) as { readonly stream?: boolean }).stream === true
  if (!streams) {
    setTimeout(() => (request.url === "/v1/embeddings" ? embeddings : chat)(response, begun), service)
    return
  }
  // One after the other: timers of different lengths that are late together ring in no order.
  const next = (index: number): void => {
    const due = begun + service * (index + 1)
    setTimeout(
      () => {
        part(response, begun, index)
        if (index + 1 < chunks) next(index + 1)
      },
      Math.max(1, due - performance.now())
    )
  }
  next(0)
}

const backend = createServer((request, response) => void answer(request, response))

process.stdin.on("end", () => process.exit(0)).resume()
backend.keepAliveTimeout = 60_000
backend.listen(0, "127.0.0.1", () => {
  const address = backend.address()
  say(`http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`)
})
