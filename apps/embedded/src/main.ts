/**
 * Sluice inside another service: a support desk with its own HTTP API and its own
 * agent. `say` returns once the message is on disk, `replies` is read by number,
 * and a stop drains the gateway before the server closes.
 */
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Agent from "@sluice/runtime/Agent"
import { Gateway } from "@sluice/runtime/Gateway"
import { Journal } from "@sluice/runtime/Journal"
import { Accepted, Conflict, Invalid, TooLarge } from "@sluice/runtime/Message"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiError from "effect/http-api/HttpApiError"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

/** What the service knows of its customers. */
export class Crm extends Context.Service<Crm, { readonly planOf: (user: string) => Effect.Effect<string> }>()(
  "desk/Crm"
) {
  static readonly layer = Layer.succeed(Crm, { planOf: (user) => Effect.succeed(user === "kim" ? "pro" : "free") })
}

/** The service's own agent: opened once per live session, with what it needs from its layer. */
const Support = Agent.make({
  open: Effect.fnUntraced(function* () {
    const crm = yield* Crm
    return {
      answer: (turn) =>
        Stream.fromEffect(
          Effect.map(crm.planOf(turn.messages[0]?.sender ?? ""), (plan) =>
            Agent.text(`(${plan}) You said: ${turn.text}`)
          )
        )
    }
  })
})

const Say = Schema.Struct({ id: Schema.String, user: Schema.String, text: Schema.String })
const Reply = Schema.Struct({ number: Schema.Int, text: Schema.String, inReplyTo: Schema.Array(Schema.String) })

export class Api extends HttpApi.make("desk").add(
  HttpApiGroup.make("support").add(
    HttpApiEndpoint.post("say", "/chats/:chat", {
      params: { chat: Schema.String },
      payload: Say,
      success: Accepted.pipe(HttpApiSchema.status(202)),
      error: [
        Conflict.pipe(HttpApiSchema.status(409)),
        Invalid.pipe(HttpApiSchema.status(400)),
        TooLarge.pipe(HttpApiSchema.status(413)),
        HttpApiError.ServiceUnavailable
      ]
    }),
    HttpApiEndpoint.get("next", "/chats/:chat/next/:after", {
      params: { chat: Schema.String, after: Schema.FiniteFromString },
      success: Reply,
      error: HttpApiError.ServiceUnavailable
    })
  )
) {}

const unavailable = () => Effect.fail(new HttpApiError.ServiceUnavailable())

const Handlers = HttpApiBuilder.group(
  Api,
  "support",
  Effect.fnUntraced(function* (handlers) {
    const gateway = yield* Gateway
    return handlers.handleAll({
      // Returns = committed.
      say: ({ params, payload }) =>
        gateway.accept({ conversation: params.chat, id: payload.id, sender: payload.user, text: payload.text }).pipe(
          Effect.catchTags({
            RateLimited: unavailable,
            Full: unavailable,
            Busy: unavailable,
            ShuttingDown: unavailable,
            Storage: unavailable
          })
        ),
      // The reply above a number: at once, or as soon as it is there.
      next: ({ params }) =>
        gateway
          .replies(params.chat, params.after)
          .pipe(Stream.runHead, Effect.flatMap(Effect.fromOption), Effect.catch(unavailable))
    })
  })
)

/** The service: its API in front of the gateway, with a stop that drains first. */
export const main = (options: { readonly filename: string; readonly port: number }) => {
  const Pipeline = Gateway.layer({
    agents: { support: Support },
    debounce: { quiet: 0 },
    drain: { timeout: "20 seconds" }
  }).pipe(Layer.provide([Journal.layer(SqliteClient.layer({ filename: options.filename })), Crm.layer]))

  const Http = HttpRouter.serve(HttpApiBuilder.layer(Api).pipe(Layer.provide(Handlers))).pipe(
    Layer.provideMerge(NodeHttpServer.layer(createServer, { port: options.port, host: "127.0.0.1" }))
  )

  return Gateway.drainBefore(Http).pipe(Layer.provideMerge(Pipeline))
}

if (import.meta.main) NodeRuntime.runMain(Layer.launch(main({ filename: "support.db", port: 3000 })))
