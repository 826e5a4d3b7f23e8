/**
 * Telegram as a world has it: the stand-in of the channel's own tests, in the harness's
 * process, so that it outlives every gateway. It keeps what people wrote until that is
 * acknowledged, by the next question or by a webhook's 200, shows what the bot sends
 * and edits, writes both to the history, and loses requests, answers and its temper as
 * `fate` has it. The address of the Bot API names the boot, so that it is known whether
 * who asked is still there to hear the answer.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import {
  type Call,
  type Fate,
  type Json,
  person,
  type Shown,
  standIn,
  type StandIn,
  type Witness
} from "../../../../packages/channels/test/standIn/telegram.ts"
import type { Deliver, DeliveryClass } from "../history/Operation.ts"
import type { History } from "../history/writer.mjs"
import { lives } from "./far.ts"
import { nap, type Place } from "./place.ts"
import { markIn, toldBy } from "./sayings.ts"

/** How the gateway speaks with Telegram. */
export interface Bot {
  readonly delivery: "edit" | "plain" | "plain-hold"
  /** Updates are delivered to the gateway instead of being asked for. */
  readonly webhook?: boolean
}

/** What each way to deliver promises. */
const promises = { edit: "edit", plain: "resend-once", "plain-hold": "hold" } as const

/** Decides about each request, by its method. */
export type TelegramFates = (method: string) => Fate

/** Something goes wrong with about one of `each` requests, as `random` has it. */
export const unkindTelegram =
  (random: () => number, each: number): TelegramFates =>
  () => {
    if (random() * each >= 1) return "answer"
    const dice = random()
    if (dice < 0.2) return "drop"
    if (dice < 0.4) return "lose-answer"
    if (dice < 0.6) {
      const late = Deferred.makeUnsafe<void>()
      setTimeout(() => Deferred.doneUnsafe(late, Effect.void), Math.ceil(random() * 250))
      return { late }
    }
    if (dice < 0.7) return "garbage"
    if (dice < 0.8) return { refuse: 502, description: "Bad Gateway" }
    return { refuse: 429, description: "Too Many Requests", parameters: { retry_after: random() * 0.2 } }
  }

/** Where somebody writes: `41`, or a topic of a group, `-1001_7`. */
export interface Talk {
  readonly name: string
  readonly chat: number
  readonly thread: number | undefined
}

/** Reads a talk's name. */
export const talkOf = (name: string): Talk => {
  const [chat, thread] = name.split("_")
  return { name, chat: Number(chat), thread: thread === undefined ? undefined : Number(thread) }
}

const addressOf = (chat: number, thread: number | undefined) => (thread === undefined ? `${chat}` : `${chat}/${thread}`)

/** The talk's conversation on its channel. */
export const peerOf = ({ chat, thread }: Talk): string => addressOf(chat, thread)

/** Telegram, and the bot on it. */
export interface Telegram {
  readonly class: DeliveryClass
  /** May be exchanged at any time. */
  fate: TelegramFates
  /** The `channels` of a gateway's configuration; each `version` is a channel of its own to a reload. */
  readonly channels: (boot: number, version: number) => Readonly<Record<string, unknown>>
  /** The process of a boot is there. */
  readonly began: (boot: number, pid: number) => void
  /** Somebody writes, edits what they wrote as `edits`, or presses a button. Completes when it is acknowledged. */
  readonly write: (talk: Talk, id: string, text: string, edits?: string) => Effect.Effect<void>
  readonly press: (talk: Talk, id: string, message: number, data: string) => Effect.Effect<void>
  /** Buttons that say something like this, the oldest message's first. */
  readonly buttons: (talk: Talk, says: RegExp) => ReadonlyArray<{ readonly message: number; readonly data: string }>
  /** What was shown, by the ids of messages that it answers. */
  readonly answered: ReadonlySet<string>
  readonly unconfirmed: () => number
}

/** Requests that show something. */
const showing: ReadonlySet<string> = new Set(["sendMessage", "editMessageText", "sendDocument", "editMessageMedia"])

const methods = [...showing, "getUpdates", "getMe", "setWebhook", "deleteWebhook"]

const stopButton = '"callback_data":"/stop"'

/** Of an edit's id, `17/e<date>-<hash of the text>`, what is known here. */
const plain = (id: string): string => id.replace(/^(\d+\/e\d+)-.*$/, "$1")

/** Writes down what the bot shows. */
class Notebook implements Witness {
  readonly answered = new Set<string>()
  readonly pids = new Map<string, number>()
  /** Ids of messages by those that Telegram knows them by. */
  readonly known = new Map<string, string>()
  readonly #history: History
  readonly #class: DeliveryClass
  readonly #chat: (chat: number) => ReadonlyArray<Shown>

  constructor(history: History, promised: DeliveryClass, chat: (chat: number) => ReadonlyArray<Shown>) {
    this.#history = history
    this.#class = promised
    this.#chat = chat
  }

  #lineOf({ method, params }: Call) {
    const chat = Number(params["chat_id"])
    const edited = method.startsWith("edit")
    const id = Number(params["message_id"])
    const thread = edited ? this.#chat(chat).find((one) => one.id === id)?.thread : params["message_thread_id"]
    return {
      op: "deliver",
      by: "far telegram",
      channel: "telegram",
      class: this.#class,
      conversation: `telegram/${addressOf(chat, thread === undefined ? undefined : Number(thread))}`,
      kind: edited ? "edit" : "new"
    } as const
  }

  /** What a text is. One with a button to stop shows a turn that runs, whatever it says so far. */
  #toldBy(text: string, runs: boolean): Pick<Deliver, "what" | "ids"> {
    if (runs || text === "…") return { what: "placeholder", ids: [] }
    const { inReplyTo, kind } = markIn(text) ?? { kind: "notice", inReplyTo: [] }
    const told = toldBy(text, { kind, inReplyTo: inReplyTo.map((id) => this.known.get(plain(id)) ?? `? ${id}`) })
    // The demo agent names neither its run nor the messages.
    return told.run === undefined && kind === "answer" && told.what !== "copy" ? { ...told, what: "answer" } : told
  }

  shown(message: Shown, call: Call): (told: boolean) => void {
    const runs = message.buttons.some(({ callback_data }) => callback_data === "/stop")
    const told = this.#toldBy(message.text, runs)
    for (const id of told.ids) this.answered.add(id)
    const line = { ...this.#lineOf(call), remoteId: String(message.id), ...told }
    this.#history.append({ ...line, phase: "invoke" })
    return (heard) => {
      const pid = this.pids.get(call.from ?? "")
      // A gateway that was killed meanwhile is told nothing. On a busy machine its request is read long after that.
      const there = heard && pid !== undefined && lives(pid)
      this.#history.append({ ...line, phase: there ? "ok" : "info" })
    }
  }

  lost(call: Call): void {
    if (!showing.has(call.method)) return
    const { caption, reply_markup: markup, text = caption } = call.params
    const runs = JSON.stringify(markup ?? "").includes(stopButton)
    const told = this.#toldBy(typeof text === "string" ? text : "", runs)
    this.#history.append({ ...this.#lineOf(call), phase: "fail", remoteId: "", ...told })
  }
}

const secret = "a-secret-between-telegram-and-the-gateway"

/** Delivers one update after the other to the gateway's webhook, each until it is taken. */
const delivering = (server: StandIn, place: Place, fate: () => Fate) =>
  Effect.gen(function* () {
    for (;;) {
      const update = yield* server.next
      const { hook } = server
      const found = hook()
      const { wire } = place
      if (found === undefined || wire === undefined) {
        yield* nap
        continue
      }
      const headers = { "x-telegram-bot-api-secret-token": found.secret }
      const answer = yield* Effect.result(wire.ask("/v1/webhooks/telegram", { body: update, headers }))
      // An answer that gets lost brings the update again.
      const taken = answer._tag === "Success" && answer.success.status === 200 && fate() === "answer"
      if (taken) server.confirm(update.update_id)
      else yield* nap
    }
  })

const bot = "sluice_bot"

/** A message of somebody's: in a group it names the bot, unless it is a command. */
const messageOf = ({ chat, thread }: Talk, number: number, text: string): Json => {
  const name = `@${bot} `
  const named = chat < 0 && !text.startsWith("/")
  return {
    message_id: number,
    date: 1_700_000_000,
    chat: { id: chat, type: chat > 0 ? "private" : "supergroup" },
    from: person(chat > 0 ? chat : 44),
    text: named ? `${name}${text}` : text,
    ...(named ? { entities: [{ type: "mention", offset: 0, length: name.length - 1 }] } : {}),
    ...(thread === undefined ? {} : { message_thread_id: thread, is_topic_message: true })
  }
}

/** What people do. Their messages have numbers far above those of the bot's. */
const doings = (server: StandIn, known: Map<string, string>): Pick<Telegram, "write" | "press" | "buttons"> => {
  const numbers = new Map<string, number>()
  let last = 1_000_000
  return {
    write: (talk, id, text, edits) =>
      Effect.suspend(() => {
        const number = edits === undefined ? ++last : (numbers.get(edits) ?? 0)
        numbers.set(id, number)
        known.set(edits === undefined ? String(number) : `${number}/e${++last}`, id)
        const message = messageOf(talk, number, text)
        const update = edits === undefined ? { message } : { edited_message: { ...message, edit_date: last } }
        return server.confirmed(server.push(update))
      }),
    press: ({ chat, thread }, id, message, data) =>
      Effect.suspend(() => {
        known.set(`callback/${id}`, id)
        const { chat: where, from } = messageOf({ name: "", chat, thread: undefined }, message, "")
        const topic = thread === undefined ? {} : { message_thread_id: thread, is_topic_message: true }
        const pressed = { id, from, data, message: { message_id: message, date: 1, chat: where, ...topic } }
        return server.confirmed(server.push({ callback_query: pressed }))
      }),
    buttons: ({ chat, thread }, says) =>
      server
        .shown(chat)
        .filter((one) => one.thread === thread)
        .flatMap(({ buttons, id }) =>
          buttons.flatMap(({ callback_data: data }) =>
            data !== undefined && says.test(data) ? [{ message: id, data }] : []
          )
        )
  }
}

/** Opens Telegram for a world; the bot's secrets are in the world's folder. */
export const openTelegram = Effect.fnUntraced(function* (
  history: History,
  place: Place,
  folder: string,
  { delivery, webhook = false }: Bot,
  fates: TelegramFates = () => "answer"
): Effect.fn.Return<Telegram, never, Scope.Scope> {
  const promised = promises[delivery]
  const chats: { shown: StandIn["shown"] } = { shown: () => [] }
  const notes = new Notebook(history, promised, (chat) => chats.shown(chat))
  const server = yield* standIn(undefined, notes)
  chats.shown = server.shown
  writeFileSync(join(folder, "telegram.token"), server.token, { mode: 0o600 })
  writeFileSync(join(folder, "telegram.hook"), secret, { mode: 0o600 })
  const hook = { url: "https://gateway.example/v1/webhooks/telegram", secretFile: "telegram.hook" }
  const telegram: Telegram = {
    class: promised,
    fate: fates,
    channels: (boot, version) => ({
      telegram: {
        tokenFile: "telegram.token",
        allow: [41, 42, 43, 44, -1001],
        apiRoot: `${server.url}/b${boot}`,
        delivery,
        nudgeAfter: `${2000 + version} millis`,
        ...(webhook ? { webhook: hook } : {})
      }
    }),
    began: (boot, pid) => void notes.pids.set(`b${boot}`, pid),
    ...doings(server, notes.known),
    answered: notes.answered,
    unconfirmed: () => server.unconfirmed().length
  }
  for (const method of methods) server.otherwise(method, () => telegram.fate(method))
  if (webhook) yield* Effect.forkScoped(delivering(server, place, () => telegram.fate("webhook")))
  return telegram
})
