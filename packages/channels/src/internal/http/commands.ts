/**
 * Commands over HTTP: what people write as `/model opus`, in parts and answered at once. A command is a message in every
 * other respect: the same key for a repeat, on disk before anybody hears of it, run once. What can't be one is refused
 * before it is stored; what its session refuses is a problem with the words that a person gets.
 */
import { commands, commandText, type Standing } from "@sluice/runtime/Channel"
import type { Accepted, AcceptError } from "@sluice/runtime/Message"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Schema from "effect/Schema"
import { visible } from "../visible.ts"
import { answer, receipt, replyJson } from "./messages.ts"
import { problem, type ProblemType, Rejection } from "./problems.ts"
import { decoder, duration, readJson, wrongKey, wrongName, wrongPlainName, wrongText } from "./requests.ts"
import { json, type Route, type Serving } from "./serving.ts"

/** A command for a conversation of another channel, which is given by its key: `telegram/123`. */
export type Elsewhere = (
  key: string,
  command: { readonly id?: string; readonly sender: string; readonly text: string }
) => Effect.Effect<Accepted | undefined, AcceptError>

const Body = Schema.Struct({
  command: Schema.String,
  arguments: Schema.optionalKey(Schema.Array(Schema.String)),
  sender: Schema.optionalKey(Schema.String)
})
const decode = decoder(Body)

/** A command is answered at once; this is for a store that is busy. */
const usualWait = 30_000

/** What its session refused, by the reason that is stored with its end. */
const refusals: Readonly<Record<string, { readonly status: number; readonly type: ProblemType }>> = {
  refused: { status: 400, type: "invalid" },
  unknown: { status: 404, type: "unknown-command" },
  missing: { status: 404, type: "not-found" },
  busy: { status: 409, type: "not-now" },
  failed: { status: 409, type: "not-now" }
}

/** How a command ended, the same for every repeat of it. */
const shown =
  (given: ReadonlyArray<string> | undefined) =>
  (accepted: Accepted, { ended, replies }: Standing) => {
    const refusal = refusals[ended?.why ?? ""]
    if (refusal === undefined) {
      return json(200, { ...receipt(accepted), ended: ended?.ending, replies: replies.map(replyJson) })
    }
    const detail = replies.map(({ text }) => visible(text, 2000)).join(" ")
    const value = visible(JSON.stringify((given ?? []).join(" ")))
    const named = refusal.type === "invalid" ? { field: "arguments", value, remedy: detail } : {}
    return problem({ ...refusal, detail, extra: { seq: accepted.seq, id: accepted.id, ...named } })
  }

const unknown = (command: string) =>
  new Rejection({
    status: 404,
    type: "unknown-command",
    detail: `command "${visible(command)}": there is none; GET /v1/commands lists them`
  })

const noConversation = (key: string) =>
  new Rejection({
    status: 404,
    type: "not-found",
    detail: `conversation ${visible(key)}: there is none; /v1/sessions lists them`
  })

/** POST /v1/conversations/{conversation}/commands */
export const command = (
  serving: Serving,
  elsewhere: Elsewhere | undefined
): Route<HttpRouter.RouteContext | HttpServerRequest.ParsedSearchParams> =>
  Effect.fnUntraced(function* (request: HttpServerRequest.HttpServerRequest) {
    const { params } = yield* HttpRouter.RouteContext
    const search = yield* HttpServerRequest.ParsedSearchParams
    const conversation = params["conversation"] ?? ""
    const other = elsewhere !== undefined && conversation.includes("/") ? elsewhere : undefined
    const id = request.headers["idempotency-key"]
    const wrong =
      (other === undefined ? wrongPlainName : wrongName)("conversation", conversation) ??
      (id === undefined ? undefined : wrongKey(id))
    if (wrong !== undefined) return yield* wrong
    const longest = serving.settings.maxWait
    const wait = search["wait"] === undefined ? Math.min(usualWait, longest) : duration("wait", search["wait"], longest)
    if (typeof wait !== "number") return yield* wait
    const now = Context.get(yield* Effect.context<never>(), Clock.Clock).monotonicTimeNanosUnsafe()
    const tooMuch = serving.limits.all(now)
    if (tooMuch !== undefined) return yield* tooMuch
    const body = yield* decode(yield* readJson(serving, request))
    const text = commandText(body.command, body.arguments)
    if (text === undefined) return yield* unknown(body.command)
    if (typeof text !== "string") return yield* text
    const { sender = conversation } = body
    const refused = wrongName("sender", sender) ?? wrongText(text) ?? serving.limits.sender(sender, now)
    if (refused !== undefined) return yield* refused
    const asked = { sender, text, ...(id === undefined ? {} : { id }) }
    const accepted =
      other === undefined ? yield* serving.handle.accept({ conversation, ...asked }) : yield* other(conversation, asked)
    if (accepted === undefined) return yield* noConversation(conversation)
    // A drain still runs commands: only the end of the listener sends their clients away.
    return yield* answer(serving, accepted, wait, shown(body.arguments), serving.closing)
  })

/** GET /v1/commands */
export const list = Effect.succeed(json(200, { commands }))
