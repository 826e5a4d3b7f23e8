/**
 * GET /v1/ws: who may become a WebSocket. Host, Origin and token are looked at by
 * the guard in front of every route; here it is the handshake's own form and
 * whether there is a place. A refusal is an answer of HTTP, as a problem.
 */
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { Invalid } from "@sluice/runtime/Message"
import type * as Scope from "effect/Scope"
import { wantsWebSocket } from "../http/guard.ts"
import { Rejection } from "../http/problems.ts"
import type { Route } from "../http/serving.ts"
import { converse } from "./connection.ts"
import { protocol } from "./frames.ts"
import type { Sockets } from "./sockets.ts"

/** Where the door is. */
export const path = "/v1/ws"

const required = new Rejection({
  status: 426,
  type: "upgrade-required",
  detail: "this address speaks WebSocket, version 13; open it with a WebSocket client",
  headers: { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13" }
})

const crowded = new Rejection({
  status: 429,
  type: "too-many-sockets",
  detail: "too many WebSockets are open; close some, show several conversations on one, or come back later",
  retryAfter: 1000
})

// A browser takes only what it offered for an answer, and the answer must not be the token.
const wrongProtocol = (offered: string | undefined): Invalid | undefined =>
  offered === undefined || offered.split(",", 1)[0]?.trim() === protocol
    ? undefined
    : new Invalid({ field: "Sec-WebSocket-Protocol", value: "", remedy: `offer ${protocol} first, or none at all` })

/** GET /v1/ws */
export const door = (sockets: Sockets): Route<Scope.Scope> =>
  Effect.fnUntraced(function* (request: HttpServerRequest.HttpServerRequest) {
    if (!wantsWebSocket(request) || request.headers["sec-websocket-version"] !== "13") return yield* required
    const wrong = wrongProtocol(request.headers["sec-websocket-protocol"])
    if (wrong !== undefined) return yield* wrong
    if (!(yield* sockets.place)) return yield* crowded
    yield* Effect.catch(converse(sockets, request), (error) =>
      Effect.logDebug("A WebSocket ended").pipe(Effect.annotateLogs({ reason: error.message }))
    )
    return HttpServerResponse.empty()
  })
