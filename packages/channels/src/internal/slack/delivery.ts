/**
 * Replies as messages. In edit mode a placeholder is posted, its time committed, and
 * everything later is an update of it: made again after a crash it changes nothing.
 * In plain mode a message is posted once and nobody can tell after a crash. What
 * Slack says is turned into what the outbox decides by.
 */
import type { Attachments } from "@sluice/runtime/Attachments"
import * as Channel from "@sluice/runtime/Channel"
import type { Conversation, Reply } from "@sluice/runtime/Message"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Schema from "effect/Schema"
import { isQuestion, isRepeatable, type Offer, offerOf } from "../chat/buttons.ts"
import { type Carried, carriedOf, inWords } from "../chat/carry.ts"
import { Instead } from "../chat/instead.ts"
import { Late } from "../chat/late.ts"
import type { Signs } from "../chat/signs.ts"
import { split as splitText } from "../chat/split.ts"
import { courtesy, whereOf } from "./acts.ts"
import { escaped, ordersIn, render } from "./mrkdwn.ts"
import type { Failure, Params, WebApi } from "./webApi.ts"

const Posted = Schema.Struct({ ts: Schema.String })
const UploadTo = Schema.Struct({ upload_url: Schema.String, file_id: Schema.String })

/** The longest text of a message and of a section in one, in UTF-16 units, as Slack counts them: with what is escaped. */
const most = { text: 4000, section: 3000 }
/** The largest file that is sent, in bytes, and the longest text beside one, in UTF-16 units. */
const carrying = { size: 50 * 1024 * 1024, caption: 2800 }
/** Least milliseconds between two edits that show progress, all together: Slack takes 50 updates a minute of an app. */
const progressEvery = 1500

type Needs = HttpClient.HttpClient | Attachments

/** Cuts a long answer so that each part fits into a message also when all of it has to be escaped. */
export const split = (text: string, limit = 3500): ReadonlyArray<string> =>
  splitText(text, limit).flatMap((part) =>
    limit < 512 || Math.max(render(part).length, escaped(part).length) <= most.text
      ? [part]
      : split(part, Math.floor(limit / 2))
  )

/** A message that the app has posted: its time in its channel, and when it was placed, in epoch milliseconds. */
interface Remote {
  readonly ts: string
  readonly placedAt: number
}

const remoteId = ({ placedAt, ts }: Remote): string => `${ts}/${placedAt}`

const remoteOf = (id: string): Remote => {
  const [ts = "", placedAt = ""] = id.split("/")
  return { ts, placedAt: Number(placedAt) }
}

/** The token, or what the app may do with it, has to be corrected first. */
const unauthorized = new Set([
  "invalid_auth",
  "not_authed",
  "account_inactive",
  "token_revoked",
  "token_expired",
  "org_login_required",
  "ekm_access_denied",
  "enterprise_is_restricted",
  "team_access_not_granted",
  "not_allowed_token_type",
  "missing_scope",
  "no_permission",
  "app_missing_action_url"
])

/** Why the channel as a whole can't go on, where that is so. */
export const fatal = (failure: Failure): string | undefined => {
  if (failure._tag !== "Denied") return undefined
  if (unauthorized.has(failure.error))
    return `the token was refused (${failure.reason}); correct it, or install the app again`
  // No answer of Slack's: somebody else is there.
  return failure.error.startsWith("http_") ? `apiRoot ${failure.reason}; correct it` : undefined
}

/** What a failure means for a reply. */
const deliveryError = (failure: Failure): Channel.DeliveryError => {
  if (failure._tag === "NotSent") return new Channel.NotSent({ cause: new Error(failure.reason) })
  if (failure._tag === "Silent") return new Channel.Unknown({ cause: new Error(failure.reason) })
  const { reason, retryAfter } = failure
  if (retryAfter !== undefined) return new Channel.Throttled({ retryAfter, scope: "conversation" })
  const why = fatal(failure)
  return why === undefined ? new Channel.Refused({ reason }) : new Channel.Unauthorized({ reason: why })
}

const explained = <A, R>(effect: Effect.Effect<A, Failure, R>): Effect.Effect<A, Channel.DeliveryError, R> =>
  Effect.mapError(effect, deliveryError)

const is =
  (...errors: ReadonlyArray<string>) =>
  (failure: Failure): boolean =>
    failure._tag === "Denied" && errors.includes(failure.error)

/** The message that was to be updated is not there any more, or can't be updated any more. */
const isGone = is("message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found")
/** The looks of a message were refused: its text may still be taken. */
const isUgly = is("invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long")

/** A file was refused: its name is told instead. What was lost or has to wait is tried again as it is. */
const isNoFile = (failure: Failure): boolean =>
  failure._tag === "Denied" && failure.retryAfter === undefined && !isGone(failure)

/** Text with buttons under it, where there are some. */
const blocksOf = (mrkdwn: string, rows: Offer["rows"]): ReadonlyArray<object> => {
  if (rows.length === 0) return []
  const elements = rows.flat().map(({ says, text }, index) => ({
    type: "button",
    action_id: `say-${index}`,
    text: { type: "plain_text", text, emoji: false },
    value: says
  }))
  return [
    // Verbatim: else Slack looks for names and channels in it.
    { type: "section", text: { type: "mrkdwn", text: mrkdwn.slice(0, most.section), verbatim: true } },
    { type: "actions", elements: elements.slice(0, 25) }
  ]
}

/** How a reply is shown, and the same without any looks, for when those are refused. */
const shapesOf = (reply: Reply): readonly [Params, Params] => {
  if (reply.kind === "answer" || reply.kind === "post") {
    const rendered = render(reply.text)
    const text = rendered.length <= most.text ? rendered : escaped(reply.text)
    return [
      { text, blocks: [] },
      { text, blocks: [] }
    ]
  }
  const { rows, text } = offerOf(reply)
  const shown = escaped(ordersIn(text))
  return [
    { text: shown, blocks: blocksOf(shown, shown.length > most.section ? [] : rows) },
    { text: escaped(ordersIn(reply.text)), blocks: [] }
  ]
}

/** Makes a call with a reply's looks, else without. */
const withLooks = <A, R>(reply: Reply, make: (shape: Params) => Effect.Effect<A, Failure, R>) => {
  const [first, second] = shapesOf(reply)
  return Effect.catchIf(make(first), isUgly, () => make(second))
}

/** Longer texts are not read as Markdown only to be shown for a second: that takes as long as the square of their length. */
const mostRead = 2 * most.section

/** Shows the end of a text that does not fit: that is where something happens. */
export const tail = (text: string): string => {
  const rendered = text.length > mostRead ? undefined : render(text)
  if (rendered !== undefined && rendered.length <= most.section) return rendered
  const end = `…${text.slice(-600).replace(/^[\uDC00-\uDFFF]/, "")}`
  const longer = `…${text.slice(-2500).replace(/^[\uDC00-\uDFFF]/, "")}`
  return escaped(longer).length <= most.section ? escaped(longer) : escaped(end).slice(0, most.section)
}

/** Whether a running turn may be shown now. */
const pacing = () => {
  let last: bigint | undefined
  return Effect.map(Clock.monotonicTimeNanos, (now) => {
    if (last !== undefined && now - last < BigInt(progressEvery) * 1_000_000n) return false
    last = now
    return true
  })
}

/** What is done before anybody can see it is simply done again. */
const unseen = <A, R>(effect: Effect.Effect<A, Failure, R>): Effect.Effect<A, Failure, R> =>
  Effect.mapError(effect, (failure) =>
    failure._tag === "Silent" ? { _tag: "NotSent" as const, reason: failure.reason } : failure
  )

/** Files on their way to Slack. */
const uploading = (api: WebApi) => {
  const brought = Effect.fnUntraced(function* ({ content, name }: Carried) {
    const params = { filename: name, length: content.size }
    const { file_id, upload_url } = yield* api.call("files.getUploadURLExternal", params, UploadTo)
    yield* api.bring(upload_url, content)
    return { id: file_id, title: name }
  })
  const complete = (file: { readonly id: string; readonly title: string }, where: Params) =>
    Effect.as(api.call("files.completeUploadExternal", { files: [file], ...where }, Schema.Unknown), file.id)
  return {
    /** Stored at Slack, shown nowhere yet. */
    stored: (carried: Carried) => unseen(Effect.flatMap(brought(carried), (file) => complete(file, {}))),
    /** Stored and shown in one step. */
    shown: (carried: Carried, where: Params) =>
      Effect.flatMap(unseen(brought(carried)), (file) => complete(file, where))
  }
}

/** Shows a reply: with its file where it has one that can be sent, else in words. */
const withFile = <A, R, R2>(
  reply: Reply,
  file: (carried: Carried) => Effect.Effect<A, Failure, R>,
  words: (reply: Reply) => Effect.Effect<A, Failure, R2>
) =>
  Effect.flatMap(carriedOf(reply, carrying), (carried) => {
    const told = { ...reply, text: inWords(reply) }
    return carried === undefined ? words(told) : Effect.catchIf(file(carried), isNoFile, () => words(told))
  })

const noPreview = { unfurl_links: false, unfurl_media: false }

/** The buttons under a question go; what it asked stays. */
const withoutButtons = (api: WebApi, reply: Reply, ts: string) =>
  courtesy(api)("chat.update", { channel: reply.conversation.peer, ts, ...shapesOf(reply)[0], blocks: [] })

/** Placeholder, then edits. */
export const edits = (api: WebApi, signs: Signs, words: { readonly stop: string }): Channel.Edit<Needs> => {
  const mayShow = pacing()
  const upload = uploading(api)
  const late = new Late()
  // Placeholders that somebody deleted, and what stands for them.
  const instead = new Instead<string>()

  const place = Effect.fnUntraced(function* (conversation: Conversation, text: string) {
    const params = { ...whereOf(conversation), text: escaped(text), ...noPreview }
    const { ts } = yield* api.call("chat.postMessage", params, Posted)
    signs.rang(conversation)
    return { ts, placedAt: yield* Clock.currentTimeMillis }
  })

  const update = ({ peer }: Conversation, ts: string, params: Params) =>
    api.call("chat.update", { channel: peer, ts, ...params }, Schema.Unknown)

  const into = (reply: Reply, ts: string) =>
    withFile(
      reply,
      (carried) =>
        Effect.flatMap(upload.stored(carried), (id) =>
          update(reply.conversation, ts, { text: render(carried.caption), blocks: [], file_ids: [id] })
        ),
      (reply) => withLooks(reply, (shape) => update(reply.conversation, ts, shape))
    )

  /** Updates a message; where it is gone the text is posted as a new one, which is updated from then on. */
  const show = Effect.fnUntraced(function* (reply: Reply, id: string) {
    const { conversation } = reply
    const key = `${conversation.peer}/${id}`
    const { placedAt, ts } = remoteOf(id)
    yield* Effect.catchIf(into(reply, instead.get(key) ?? ts), isGone, () =>
      Effect.gen(function* () {
        const placed = yield* place(conversation, "…")
        instead.set(key, placed.ts)
        return yield* into(reply, placed.ts)
      })
    )
    const shownAs = instead.get(key) ?? ts
    if (isQuestion(reply)) yield* signs.asked(reply, shownAs, withoutButtons(api, reply, shownAs))
    instead.delete(key)
    yield* Effect.andThen(signs.answered(reply), signs.edited(reply, ts, placedAt))
    const wasLate = late.take(`${conversation.peer}/${ts}`)
    if (isRepeatable(reply)) {
      const edit = Effect.ignore(withLooks(reply, (shape) => update(conversation, shownAs, shape)))
      yield* signs.again(reply, shownAs, { edit, late: wasLate, placedAt })
    }
    return {}
  })

  const progress = Effect.fnUntraced(function* (conversation: Conversation, ts: string, text: string) {
    if (!(yield* mayShow)) return
    const shown = tail(text)
    const shape = { text: shown, blocks: blocksOf(shown, [[{ text: words.stop, says: "/stop" }]]) }
    yield* late.during(`${conversation.peer}/${ts}`, update(conversation, ts, shape))
  })

  return Channel.edit({
    place: (conversation, text) =>
      Effect.map(explained(place(conversation, text)), (remote) => ({ remoteId: remoteId(remote) })),
    edit: (id, reply) => explained(show(reply, id)),
    progress: (id, conversation, text) => explained(progress(conversation, remoteOf(id).ts, text))
  })
}

/** Plain messages: after a crash in between nobody can tell whether one was posted. */
export const plain = (api: WebApi, signs: Signs, policy: "resend-once" | "hold"): Channel.Ambiguous<Needs> => {
  const upload = uploading(api)
  return Channel.ambiguous(policy, (reply) => {
    const where = whereOf(reply.conversation)
    const { channel, ...thread } = where
    const sent = withFile(
      reply,
      (carried) => upload.shown(carried, { channel_id: channel, ...thread, initial_comment: render(carried.caption) }),
      (reply) =>
        withLooks(reply, (shape) =>
          Effect.map(api.call("chat.postMessage", { ...where, ...shape, ...noPreview }, Posted), ({ ts }) => ts)
        )
    )
    const marked = Effect.tap(sent, (ts) =>
      isQuestion(reply) ? signs.asked(reply, ts, withoutButtons(api, reply, ts)) : signs.answered(reply)
    )
    return explained(Effect.map(marked, (remoteId) => ({ remoteId })))
  })
}
