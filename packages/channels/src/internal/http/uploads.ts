/**
 * Attachments over HTTP: inline in a message as base64, or uploaded first and
 * then named by hash. Either way the file is on disk before the message is
 * accepted, so a crash in between costs a retry and never leaves a message whose
 * file does not exist.
 */
import { Attachment, Invalid, type Storage, type TooLarge } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Stream from "effect/Stream"
import { visible } from "../visible.ts"
import { Rejection } from "./problems.ts"
import { announced, type Message, tooMany, wrongPlainName } from "./requests.ts"
import { json, type Route, type Serving } from "./serving.ts"

/** An attachment as it comes in a message: `data` or `hash`. */
export type Wire = NonNullable<(typeof Message.Type)["attachments"]>[number]

const mediaType = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,63}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}$/i

const wrongType = (field: string, type: string): Invalid | undefined =>
  mediaType.test(type)
    ? undefined
    : new Invalid({ field, value: `"${visible(type)}"`, remedy: "use a media type such as image/png" })

const store = Effect.fnUntraced(function* (serving: Serving, wire: Wire, field: string) {
  const wrong =
    wrongType(`${field}.type`, wire.type) ??
    (wire.name === undefined ? undefined : wrongPlainName(`${field}.name`, wire.name))
  if (wrong !== undefined) return yield* wrong
  const about = { type: wire.type, ...(wire.name === undefined ? {} : { name: wire.name }) }
  if ((wire.data === undefined) === (wire.hash === undefined)) {
    return yield* new Invalid({ field, value: "", remedy: "give it either data (base64) or the hash of an upload" })
  }
  if (wire.hash !== undefined) {
    const size = yield* serving.attachments.find(wire.hash)
    if (size === undefined) {
      const remedy = "is not stored here; upload it again with POST /v1/attachments"
      return yield* new Invalid({ field: `${field}.hash`, value: `"${visible(wire.hash)}"`, remedy })
    }
    return new Attachment({ hash: wire.hash, size, ...about })
  }
  const data = Base64.decode(wire.data ?? "")
  if (data._tag === "Failure") {
    return yield* new Invalid({ field: `${field}.data`, value: "", remedy: "is not base64" })
  }
  const limit = serving.settings.attachmentLimit
  return yield* serving.attachments.put(Stream.succeed(data.success), { ...about, limit })
})

/** Stores what is inline and looks up what is named. Nothing is accepted unless all of it is on disk. */
export const resolve = (
  serving: Serving,
  attachments: ReadonlyArray<Wire>
): Effect.Effect<ReadonlyArray<Attachment>, Invalid | TooLarge | Storage> =>
  Effect.suspend((): Effect.Effect<ReadonlyArray<Attachment>, Invalid | TooLarge | Storage> => {
    const over = tooMany(attachments.length)
    if (over !== undefined) return Effect.fail(over)
    return Effect.forEach(attachments, (wire, index) => store(serving, wire, `attachments[${index}]`))
  })

/** POST /v1/attachments: the bytes as they are. */
export const upload = (serving: Serving): Route =>
  Effect.fnUntraced(function* (request: HttpServerRequest.HttpServerRequest) {
    const type = (request.headers["content-type"] ?? "").split(";", 1)[0]?.trim() ?? ""
    const wrong = wrongType("content-type", type)
    if (wrong !== undefined) return yield* wrong
    const limit = serving.settings.attachmentLimit
    const over = announced(request, limit)
    if (over !== undefined) return yield* over
    const content = Stream.mapError(
      request.stream,
      () => new Invalid({ field: "body", value: "ended early", remedy: "send all of it" })
    )
    const stored = yield* serving.whileReading(serving.attachments.put(content, { type, limit }))
    return json(201, { hash: stored.hash, size: stored.size, type: stored.type })
  })

// What is not a letter of a header's value is encoded, and these besides: a name must not end its own quotation.
const encoded = (name: string): string =>
  encodeURIComponent(name).replaceAll(/['()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)

/**
 * GET /v1/attachments/{hash}: the bytes, to be saved and never to be shown: whatever somebody has uploaded must not run
 * in a browser that has the token. `?name=` is what it is saved as.
 */
export const download = (serving: Serving): Route<HttpRouter.RouteContext | HttpServerRequest.ParsedSearchParams> =>
  Effect.fnUntraced(function* () {
    const { params } = yield* HttpRouter.RouteContext
    const { name } = yield* HttpServerRequest.ParsedSearchParams
    if (Array.isArray(name)) return yield* new Invalid({ field: "name", value: "", remedy: "give it once" })
    const wrong = name === undefined ? undefined : wrongPlainName("name", name)
    if (wrong !== undefined) return yield* wrong
    const found = yield* serving.attachments.read(params["hash"] ?? "")
    if (found === undefined) {
      const detail = "attachment: no file with this hash is stored here any more"
      return yield* new Rejection({ status: 404, type: "not-found", detail })
    }
    return HttpServerResponse.stream(found.content, {
      contentType: "application/octet-stream",
      contentLength: found.size,
      headers: {
        "content-disposition": name === undefined ? "attachment" : `attachment; filename*=UTF-8''${encoded(name)}`,
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox"
      }
    })
  })
