/**
 * Slack on the Events API and the Web API. What somebody wrote is acknowledged when it
 * is on disk, so a crash costs a repeat that is recognised. Replies are placed and then
 * edited in, so that one that is sent again after a crash changes nothing; those who
 * want no placeholders have plain messages, of which nobody can tell. docs/slack.md
 * has the table of what a crash in each window does.
 */
import type { Attachments } from "@sluice/runtime/Attachments"
import * as Channel from "@sluice/runtime/Channel"
import type { Transient } from "@sluice/runtime/Message"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { Door, type Pairing as AnyPairing } from "./internal/chat/door.ts"
import { fetcher } from "./internal/chat/files.ts"
import { persist } from "./internal/chat/persist.ts"
import { Signs } from "./internal/chat/signs.ts"
import { commandOf, english, isCommand, type Words } from "./internal/chat/words.ts"
import { actsOf, courtesy } from "./internal/slack/acts.ts"
import { edits, plain, split } from "./internal/slack/delivery.ts"
import { isOvertaken, type Meaning, meaningOf, pressing, type Self } from "./internal/slack/events.ts"
import { type Delivered, type Hook, hookOf, type Receiving, UnderWay } from "./internal/slack/hook.ts"
import { opening } from "./internal/slack/media.ts"
import { type Bot, botOf, reach as reachApi, troubleOf } from "./internal/slack/reach.ts"
import { make as makeApi } from "./internal/slack/webApi.ts"
import { Event, Typed } from "./internal/slack/wire.ts"

export type { Words } from "./internal/chat/words.ts"
export type { Hook } from "./internal/slack/hook.ts"

/** Who was let in by a code, by their ids. The host keeps it. */
export type Pairing = AnyPairing<string>

/** How the Slack channel is made. */
export interface Options {
  /** The bot's token, `xoxb-...`. */
  readonly token: Redacted.Redacted
  /** The app's signing secret, by which its requests are known to be Slack's. */
  readonly signingSecret: Redacted.Redacted
  /** Ids of people, and of channels with everybody in them, that may speak. Nobody by default. */
  readonly allow?: ReadonlyArray<string>
  /** Lets in strangers that have a code; without it nobody but `allow`. */
  readonly pairing?: Pairing
  /** Where the Web API is; `https://slack.com/api` by default. */
  readonly apiRoot?: string
  /**
   * `edit`, the default: a placeholder that becomes the answer, exactly once over crashes. `plain`: messages without
   * placeholders, of which one may come twice after a crash, marked, or with `plain-hold` not at all.
   */
  readonly delivery?: "edit" | "plain" | "plain-hold"
  /** Largest file in bytes that is fetched; 20 MiB. */
  readonly fileLimit?: number
  /** Whether a message gets 👀 when it is on disk, until it has its end; true by default. */
  readonly reactions?: boolean
  /** An answer that was edited in so long after its placeholder is followed by a short message, which rings; 1 minute. */
  readonly nudgeAfter?: Duration.Input
  /** What the channel itself says, for another language. */
  readonly words?: Partial<Words>
}

/** What the channel asks of whoever runs it. */
export type Needs = HttpClient.HttpClient | Attachments

/** The Slack channel, and what answers the requests of Slack. */
export interface SlackChannel extends Channel.Channel<Needs> {
  readonly webhook: Hook
}

interface Ears {
  readonly handle: Channel.Handle
  readonly self: Self
  readonly allow: Set<string>
  /** Strangers, and kinds of events, that the log has told of, so that nobody fills it. */
  readonly logged: Set<string>
  readonly signs: Signs
  readonly call: ReturnType<typeof courtesy>
  readonly door: Door<string>
  readonly words: Words
  readonly fetch: ReturnType<typeof fetcher>
}

type Case<Tag extends Meaning["_tag"]> = Extract<Meaning, { readonly _tag: Tag }>

/** How many strangers and kinds of events the log names in the life of a process. */
const namedOnce = 100

/** Tells the operator something once. */
const once = ({ handle, logged }: Ears, key: string, words: string, about: Readonly<Record<string, string>>) => {
  if (logged.has(key) || logged.size >= namedOnce) return Effect.void
  logged.add(key)
  return Effect.logInfo(words).pipe(Effect.annotateLogs({ channel: handle.name, ...about }))
}

const keyOf = ({ chat, message }: Case<"Said">["place"]): string => `${chat}/${message}`

/**
 * Whether it is for the bot. In a thread where the bot has spoken it is spoken to without its name; and whoever takes the
 * name out of a message that was heard does not take the message back.
 */
const isHeard = Effect.fnUntraced(function* (
  { handle }: Ears,
  { addressed, inbound, place }: Case<"Said" | "Deleted">
): Effect.fn.Return<boolean, Transient> {
  if (addressed) return true
  const isNews = inbound.id === place.message
  if (!isNews && (yield* handle.versions(place, place.message)).length > 0) return true
  // What begins a thread is in none where the bot has spoken.
  return place.thread !== place.message && (yield* handle.page(place, { after: 0, limit: 1 })).latest > 0
})

/** Whether an edit or a deletion of it is stored: a crash let that overtake it, and what was taken back is not said again. */
const wasOvertaken = ({ handle }: Ears, { inbound, place }: Case<"Said">): Effect.Effect<boolean, Transient> =>
  Effect.map(handle.versions(place, place.message), (versions) => isOvertaken(inbound.id ?? "", versions))

/** What somebody said is committed when this succeeds, its files before it. The burst waits for them. */
const said = Effect.fnUntraced(function* (ears: Ears, meaning: Case<"Said">) {
  const { fetch, handle, signs } = ears
  const { files, inbound: whole, place } = meaning
  if (!(yield* isHeard(ears, meaning))) return
  yield* signs.hearing(handle, place)
  if (files.length > 0) yield* handle.receiving(place)
  if (yield* wasOvertaken(ears, meaning)) return
  const order = isCommand(whole.text)
  if (order) yield* Channel.skipPermanent(handle.accept(commandOf(whole)))
  if (order && files.length === 0) return
  // A file that a command is written to is sent with it, and said behind it.
  const inbound = order ? { ...whole, id: `${whole.id}/file`, text: "" } : whole
  const { attachments, notes } = yield* fetch(keyOf(place), files)
  const text = [inbound.text, ...notes].filter((line) => line !== "").join("\n")
  const accepted = yield* Channel.skipPermanent(
    handle.accept({ ...inbound, text, ...(attachments.length === 0 ? {} : { attachments }) })
  )
  if (accepted !== undefined && !accepted.duplicate) yield* signs.received(handle, place, accepted.seq)
}, Effect.scoped)

/** What was deleted while it waited is not answered. */
const withdrawn = Effect.fnUntraced(function* (ears: Ears, meaning: Case<"Deleted">) {
  if (yield* isHeard(ears, meaning)) yield* Channel.skipPermanent(ears.handle.accept(meaning.inbound))
})

const isActions = (block: unknown): boolean =>
  typeof block === "object" && block !== null && "type" in block && block.type === "actions"

/** A press says what is on the button, once: then the buttons go. */
const pressed = Effect.fnUntraced(function* (
  { call, handle, signs }: Ears,
  { inbound, place, pressed }: Case<"Pressed">
) {
  yield* Channel.skipPermanent(handle.accept(inbound))
  // The buttons of a running turn go with its next edit.
  if (inbound.text === "/stop" || pressed.message?.blocks === undefined) return
  const { blocks, text } = pressed.message
  const left = blocks.filter((block) => !isActions(block))
  yield* signs.soon(call("chat.update", { channel: place.chat, ts: place.message, text: text ?? "", blocks: left }))
})

/** A stranger's words are kept nowhere; what is answered is courtesy, and only where nobody else is. */
const knocked = Effect.fnUntraced(function* (ears: Ears, { place, text, user }: Case<"Stranger">) {
  const { allow, call, door, signs, words } = ears
  const answer = place.private ? yield* door.knock(user, text) : "nothing"
  // An operator who sets up an app learns here whose id to allow.
  if (answer !== "welcome") {
    const about = { id: user, ...(place.private ? {} : { where: place.chat }) }
    yield* once(ears, user, "Somebody who may not speak wrote and is not heard; who should be goes into allow", about)
  }
  if (answer === "nothing") return
  if (answer === "welcome") allow.add(user)
  const text_ = answer === "welcome" ? words.welcome : words.stranger
  yield* signs.soon(call("chat.postMessage", { channel: place.chat, text: text_ }))
})

const readEvent = Schema.decodeUnknownOption(Event)
const readTyped = Schema.decodeUnknownOption(Typed)
const understood = new Set(["message", "app_mention"])

/** What was delivered, as far as it is understood; the log hears once of each kind that is not. */
const meaning = Effect.fnUntraced(function* (ears: Ears, delivered: Delivered) {
  const allows = (id: string) => ears.allow.has(id)
  if (delivered._tag === "Pressed") return pressing(delivered.pressed, allows)
  if (delivered._tag === "Other" && delivered.type === "app_rate_limited") {
    yield* Effect.logWarning(
      "Slack left out events, because there were too many for one app: what people wrote is missing"
    )
    return undefined
  }
  const type = delivered._tag === "Other" ? delivered.type : Option.getOrUndefined(readTyped(delivered.event))?.type
  if (type === undefined || !understood.has(type) || delivered._tag === "Other") {
    yield* once(ears, `event ${type}`, "Slack delivers something that is not understood here; it is left alone", {
      type: type ?? "none"
    })
    return undefined
  }
  const event = Option.getOrUndefined(readEvent(delivered.event))
  if (event !== undefined) return meaningOf(event, ears.self, allows)
  yield* Effect.logWarning("An event can't be read and is skipped").pipe(
    Effect.annotateLogs({ channel: ears.handle.name, event: delivered.id })
  )
  return undefined
})

/** Handles what was delivered completely. */
const taking = (ears: Ears) => (delivered: Delivered) =>
  Effect.gen(function* () {
    const found = yield* meaning(ears, delivered)
    switch (found?._tag) {
      case "Said": {
        const { inbound, place } = found
        if (place.private && (yield* ears.door.wasCode(inbound.sender, inbound.text))) return
        return yield* said(ears, found)
      }
      case "Deleted":
        return yield* withdrawn(ears, found)
      case "Pressed":
        return yield* pressed(ears, found)
      case "Stranger":
        return yield* knocked(ears, found)
      case "Nothing":
      case undefined:
    }
  })

const defaultRoot = "https://slack.com/api"

/** Whether Slack is there and takes the app's token: a sentence, or what is wrong. */
export const reach = (
  options: Pick<Options, "token" | "apiRoot" | "reactions">,
  within?: Duration.Input
): Effect.Effect<string, string, HttpClient.HttpClient> =>
  reachApi(
    makeApi({ token: options.token, apiRoot: options.apiRoot ?? defaultRoot }),
    options.reactions ?? true,
    within
  )

/** Makes the Slack channel. */
export const make = (options: Options): SlackChannel => {
  const api = makeApi({ token: options.token, apiRoot: options.apiRoot ?? defaultRoot })
  const mode = options.delivery ?? "edit"
  const words = { ...english, ...options.words }
  const reactions = options.reactions ?? true
  const acts = actsOf(api, { reactions, nudge: words.done })
  const signs = new Signs(acts, Duration.toMillis(options.nudgeAfter ?? "1 minute"))
  const allow = new Set(options.allow)
  const logged = new Set<string>()
  const door = new Door(options.pairing)
  const fetch = fetcher(opening(api), options.fileLimit ?? 20 * 1024 * 1024)
  const call = courtesy(api)
  let bot: Bot | undefined
  let receiving: Receiving | undefined
  const receive = Effect.fnUntraced(function* (handle: Channel.Handle) {
    bot = yield* persist(handle.name, botOf(api, reactions), troubleOf)
    for (const id of yield* door.paired) allow.add(id)
    yield* signs.run(handle)
    const context = yield* Effect.context<Needs>()
    const take = taking({ handle, self: bot, allow, logged, signs, call, door, words, fetch })
    const underWay = new UnderWay(yield* Effect.scope)
    yield* Effect.addFinalizer(() => Effect.sync(() => (receiving = undefined)))
    receiving = { underWay, take: (delivered) => Effect.provideContext(take(delivered), context) }
    yield* handle.ready
    yield* handle.trouble(bot.lacks)
    return yield* Effect.never
  })
  const channel = Channel.make({
    delivery: mode === "edit" ? edits(api, signs, words) : plain(api, signs, mode === "plain" ? "resend-once" : "hold"),
    receive,
    split: (text) => split(text),
    files: true,
    describe: Effect.sync(() => (bot === undefined ? "not connected" : `@${bot.name} in ${bot.team}`))
  })
  return { ...channel, webhook: hookOf(options.signingSecret, () => receiving) }
}
