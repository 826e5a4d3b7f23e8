/**
 * The servers of T12, WS1 and WS2, each a process of its own: the bare router that
 * decodes the same body and answers 202 or the same frame and answers `accepted`,
 * and the HTTP channel with its WebSockets and a durable accept. Prints its port as its first line and ends when its standard input does.
 */
import { createServer } from "node:http"
import { join } from "node:path"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Http from "@sluice/channels/Http"
import { MessageFrame } from "@sluice/channels/WebSocket"
import * as Agent from "@sluice/runtime/Agent"
import { Attachments } from "@sluice/runtime/Attachments"
import { Gateway } from "@sluice/runtime/Gateway"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { journal } from "./store.ts"

const Body = Schema.Struct({ text: Schema.String, sender: Schema.String })

const bareMessage = HttpRouter.route(
  "POST",
  "/v1/conversations/:conversation/messages",
  Effect.map(HttpServerRequest.schemaBodyJson(Body), () =>
    HttpServerResponse.jsonUnsafe({ seq: 1, id: "m", duplicate: false }, { status: 202 })
  )
)

const decodeFrame = Schema.decodeUnknownSync(MessageFrame)

/** Reads a message frame, answers that it is accepted, and nothing else. */
const bareSocket = HttpRouter.route(
  "GET",
  "/v1/ws",
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const socket = yield* request.upgrade
    const { pull } = yield* socket.reader
    const { write } = yield* socket.writer
    const hear = (data: string | Uint8Array) => {
      const { conversation, id } = decodeFrame(JSON.parse(String(data)))
      return write(JSON.stringify({ type: "accepted", conversation, id, seq: 1, duplicate: false }))
    }
    yield* Effect.ignore(
      Effect.forever(Effect.flatMap(pull, (frames) => Effect.forEach(frames, hear, { discard: true })))
    )
    return HttpServerResponse.empty()
  }).pipe(Effect.scoped)
)

const bare = HttpRouter.serve(HttpRouter.addAll([bareMessage, bareSocket]), {
  disableLogger: true,
  disableListenLog: true
}).pipe(Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })))

const say = (url: string) => process.stdout.write(`${url}\n`)

const servesBare = Effect.gen(function* () {
  const { address } = yield* HttpServer.HttpServer
  say(`http://127.0.0.1:${"port" in address ? address.port : 0}`)
  return yield* Effect.never
}).pipe(Effect.provide(bare))

const servesGateway = (folder: string) => {
  const http = Http.make({
    server: Http.listener({ create: createServer, layer: NodeHttpServer.layerServer, host: "127.0.0.1", port: 0 }),
    tokens: [Redacted.make("bench")],
    senderRate: false,
    totalRate: false
  })
  // What happens after the accept is T3's: here the turns never end, and wait behind one another.
  const hang = Agent.make({ open: () => Effect.succeed({ answer: () => Stream.never }) })
  const gateway = Gateway.layer({
    agents: { main: hang },
    channels: { http },
    queue: { cap: 1_000_000_000 },
    drain: { timeout: "1 second", startWithin: 0 }
  }).pipe(
    Layer.provide(journal(join(folder, "t12.db"))),
    Layer.provide(Attachments.layer({ folder: join(folder, "attachments") }).pipe(Layer.provide(NodeServices.layer)))
  )
  return Effect.gen(function* () {
    yield* Gateway
    say(yield* http.address)
    return yield* Effect.never
  }).pipe(Effect.provide(gateway))
}

process.stdin.on("end", () => process.exit(0)).resume()
const [which, folder = "."] = process.argv.slice(2)
const serving: Effect.Effect<never, unknown> = which === "bare" ? servesBare : servesGateway(folder)
Effect.runPromise(serving).catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`)
  process.exit(1)
})
