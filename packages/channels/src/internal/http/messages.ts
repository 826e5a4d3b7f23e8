/**
 * Messages and posts over HTTP. 202 says that the message is on disk and nothing
 * else; from that moment on the answer is never a 5xx, whatever happens to the
 * waiting. What has to happen after the commit lives in the journal, because a
 * client that leaves ends the fiber of its request.
 */
import type { Standing } from "@sluice/runtime/Channel"
import type { Accepted, AcceptError, Attachment, Reply } from "@sluice/runtime/Message"
import { Invalid } from "@sluice/runtime/Message"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { seconds } from "./problems.ts"
import {
  decodeMessage,
  decoder,
  duration,
  type Message,
  Post,
  readJson,
  wrongKey,
  wrongName,
  wrongPlainName,
  wrongText
} from "./requests.ts"
import { json, peer, restartMillis, type Route, type Serving } from "./serving.ts"
import { resolve } from "./uploads.ts"

/** A file of a reply: GET /v1/attachments/{hash} has its bytes. */
const fileJson = ({ hash, name, size, type }: Attachment) => ({
  hash,
  size,
  type,
  ...(name === undefined ? {} : { name })
})

/** A reply as it goes over the wire. */
export const replyJson = (reply: Reply) => ({
  number: reply.number,
  id: reply.id,
  kind: reply.kind,
  ...(reply.turn === undefined ? {} : { turn: reply.turn }),
  ...(reply.session === undefined ? {} : { session: reply.session }),
  inReplyTo: reply.inReplyTo,
  text: reply.text,
  ...(reply.attachments === undefined ? {} : { attachments: reply.attachments.map(fileJson) }),
  createdAt: new Date(reply.createdAt).toISOString()
})

const decodePost = decoder(Post)

/** What every request to a conversation needs: its name, and the id that the client gave. */
const addressed = (
  request: HttpServerRequest.HttpServerRequest,
  params: Readonly<Record<string, string | undefined>>
): Pick<Addressed, "conversation" | "id"> | Invalid => {
  const conversation = params["conversation"] ?? ""
  const id = request.headers["idempotency-key"]
  const wrong = wrongPlainName("conversation", conversation) ?? (id === undefined ? undefined : wrongKey(id))
  return wrong ?? { conversation, id }
}

/** What a message is known by. */
export const receipt = (accepted: Accepted) => ({ seq: accepted.seq, id: accepted.id, duplicate: accepted.duplicate })

// the answer of the hot path, and to a POST: no cache keeps it anyway
const acknowledged = (accepted: Accepted) => HttpServerResponse.jsonUnsafe(receipt(accepted), { status: 202 })

/** 202: it is on disk. `later` says that the answer comes after a restart. */
const committed = (accepted: Accepted, later: boolean) =>
  later
    ? json(
        202,
        { ...receipt(accepted), held: true, note: "accepted, after restart" },
        { "retry-after": seconds(restartMillis) }
      )
    : acknowledged(accepted)

const ended = (accepted: Accepted, standing: Standing) =>
  json(200, {
    ...receipt(accepted),
    ended: standing.ended?.ending,
    ...(standing.ended === undefined || standing.ended.why === "" ? {} : { why: standing.ended.why }),
    replies: standing.replies.map(replyJson)
  })

/** The end of a message, or `undefined` when the wait is over before it. Never fails: the message is accepted. */
const waitFor = (
  serving: Serving,
  seq: number,
  wait: number,
  until: Deferred.Deferred<void>
): Effect.Effect<Standing | undefined> => {
  if (!serving.enter()) return Effect.as(Effect.void, undefined)
  return Effect.raceAllFirst([
    serving.handle.ended(seq),
    Effect.as(Deferred.await(until), undefined),
    Effect.as(Effect.sleep(wait), undefined)
  ]).pipe(
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.interrupt
        : Effect.as(Effect.logWarning("A client stopped waiting for an accepted message", cause), undefined)
    ),
    Effect.ensuring(Effect.sync(() => serving.leave()))
  )
}

type Response = HttpServerResponse.HttpServerResponse

/** 202, or with a wait how it ended; nobody waits beyond `until`, the beginning of a stop. */
export const answer = (
  serving: Serving,
  accepted: Accepted,
  wait: number,
  shown: (accepted: Accepted, standing: Standing) => Response = ended,
  until: Deferred.Deferred<void> = serving.stopping
): Effect.Effect<Response> => {
  if (wait === 0) return Effect.succeed(committed(accepted, accepted.held === true))
  return Effect.map(waitFor(serving, accepted.seq, wait, until), (standing) =>
    standing?.ended === undefined ? committed(accepted, serving.isStopping) : shown(accepted, standing)
  ).pipe(
    Effect.catchDefect((defect) =>
      Effect.as(Effect.logError("An accepted message could not be shown", defect), committed(accepted, false))
    )
  )
}

type Needs = HttpRouter.RouteContext | HttpServerRequest.ParsedSearchParams

/** A message as it was addressed, over whichever connection it came. `now` is monotonic, in nanoseconds. */
export interface Addressed {
  readonly conversation: string
  readonly id: string | undefined
  readonly asking: string | undefined
  readonly now: bigint
}

/** Stores a decoded message. Functions and not a generator, because every message comes through here. */
export const store = (
  serving: Serving,
  to: Addressed,
  body: typeof Message.Type
): Effect.Effect<Accepted, AcceptError> => {
  const sender = body.sender ?? to.conversation
  const files = body.attachments ?? []
  const wrong =
    wrongName("sender", sender) ??
    wrongText(body.text) ??
    (body.text === "" && files.length === 0
      ? new Invalid({ field: "text", value: '""', remedy: "say something, or attach a file" })
      : undefined) ??
    serving.limits.sender(sender, to.now)
  if (wrong !== undefined) return Effect.fail(wrong)
  const accept = (attachments: ReadonlyArray<Attachment> | undefined) =>
    serving.handle.accept({
      conversation: to.conversation,
      sender,
      text: body.text,
      ...(to.id === undefined ? {} : { id: to.id }),
      ...(attachments === undefined ? {} : { attachments }),
      ...(to.asking === undefined ? {} : { asking: to.asking })
    })
  return files.length === 0 ? accept(undefined) : Effect.flatMap(resolve(serving, files), accept)
}

/** POST /v1/conversations/{conversation}/messages */
export const message =
  (serving: Serving): Route<Needs> =>
  (request) =>
    Effect.contextWith((context: Context.Context<Needs>) => {
      const address = addressed(request, Context.get(context, HttpRouter.RouteContext).params)
      if (address instanceof Invalid) return Effect.fail(address)
      const search = Context.get(context, HttpServerRequest.ParsedSearchParams)
      const wait = duration("wait", search["wait"], serving.settings.maxWait)
      if (typeof wait !== "number") return Effect.fail(wait)
      const now = Context.get(context, Clock.Clock).monotonicTimeNanosUnsafe()
      const tooMuch = serving.limits.all(now)
      if (tooMuch !== undefined) return Effect.fail(tooMuch)
      const to = { ...address, now, asking: request.headers["sluice-asking"] }
      return Effect.flatMap(readJson(serving, request), (json) =>
        Effect.flatMapEager(decodeMessage(json), (body) =>
          // committed: from here on the answer is 202 or 200
          Effect.flatMap(store(serving, to, body), (accepted) => answer(serving, accepted, wait))
        )
      )
    })

/** POST /v1/conversations/{conversation}/posts */
export const post = (serving: Serving): Route<HttpRouter.RouteContext> =>
  Effect.fnUntraced(function* (request: HttpServerRequest.HttpServerRequest) {
    const context = yield* Effect.context<HttpRouter.RouteContext>()
    const address = addressed(request, Context.get(context, HttpRouter.RouteContext).params)
    if (address instanceof Invalid) return yield* address
    const tooMuch = serving.limits.all(Context.get(context, Clock.Clock).monotonicTimeNanosUnsafe())
    if (tooMuch !== undefined) return yield* tooMuch
    const { text } = yield* decodePost(yield* readJson(serving, request))
    const wrong =
      wrongText(text) ??
      (text === "" ? new Invalid({ field: "text", value: '""', remedy: "must not be empty" }) : undefined)
    if (wrong !== undefined) return yield* wrong
    const options = { text, ...(address.id === undefined ? {} : { id: address.id }) }
    const accepted = yield* serving.handle.post(peer(address.conversation), options)
    return acknowledged(accepted)
  })
