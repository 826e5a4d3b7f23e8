/**
 * What Telegram knows in the tests: its queue of updates, of which each stays until
 * it is acknowledged, its chats as people see them, and the fates of requests.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as http from "node:http"

/** What happens to one request. */
export type Fate =
  | "answer"
  /** The connection ends before anything happens. */
  | "drop"
  /** It takes effect, then the connection ends. */
  | "lose-answer"
  /** It takes effect and is never answered. */
  | "hang"
  /** Nothing happens, and there is no answer. */
  | "silence"
  /** It takes effect, and the answer is a web page. */
  | "garbage"
  | { readonly refuse: number; readonly description?: string; readonly parameters?: object }
  /** It waits for the gate before it goes on. */
  | { readonly gate: Deferred.Deferred<void>; readonly then?: Fate }
  /** It takes effect at once, and its answer waits. */
  | { readonly late: Deferred.Deferred<void> }

export type Json = { readonly [key: string]: unknown }

/** A request of the bot's. */
export interface Call {
  readonly method: string
  readonly params: Json
  /** What stands before the bot in the address, where a test tells its gateways apart by that. */
  readonly from?: string
}

/** A message that the bot has sent, as a person sees it now. */
export interface Shown {
  readonly id: number
  readonly chat: number
  readonly thread: number | undefined
  text: string
  entities: ReadonlyArray<Json>
  buttons: ReadonlyArray<{ readonly text: string; readonly callback_data?: string }>
  edits: number
  file?: { readonly name: string; readonly text: string }
}

/** Whoever keeps a record of what people see of the bot. */
export interface Witness {
  /** A message of the bot's stands there, is another one now, or was to become what it is. What is returned hears whether the bot was told. */
  readonly shown: (message: Shown, call: Call) => (told: boolean) => void
  /** A request that took no effect, and the bot can't know that. */
  readonly lost: (call: Call) => void
}

/** Where updates are delivered to instead of being asked for. */
export interface Hook {
  readonly url: string
  readonly secret: string
}

/** A refusal, as the Bot API words it. */
export class Refusal {
  readonly code: number
  readonly description: string
  readonly parameters: object | undefined
  constructor(code: number, description: string, parameters?: object) {
    this.code = code
    this.description = description
    this.parameters = parameters
  }
}

const bad = (what: string) => new Refusal(400, `Bad Request: ${what}`)

const wordsOf = (params: Json, key: string): string => {
  const value = params[key]
  return typeof value === "string" ? value : ""
}

const buttonsOf = (params: Json): Shown["buttons"] => {
  const markup = params["reply_markup"] as { readonly inline_keyboard?: ReadonlyArray<Shown["buttons"]> } | undefined
  return (markup?.inline_keyboard ?? []).flat()
}

/** What Telegram knows. */
export class World {
  readonly updates: Array<Json & { readonly update_id: number }> = []
  readonly sent = new Map<number, Json & { readonly update_id: number }>()
  readonly calls: Array<Call> = []
  readonly chats = new Map<number, Array<Shown>>()
  readonly fates = new Map<string, Array<Fate>>()
  readonly always = new Map<string, Fate | (() => Fate)>()
  readonly files: Map<string, { readonly bytes: Uint8Array; readonly path?: string }> = new Map()
  readonly witness: Witness | undefined
  hook: Hook | undefined
  /** What the request at hand has touched. */
  #touched: Shown | undefined
  #watchers: Array<{ readonly is: () => boolean; readonly done: Deferred.Deferred<void> }> = []
  #held: ((conflict: boolean) => void) | undefined
  #update = 100
  #message = 10

  constructor(witness?: Witness) {
    this.witness = witness
  }

  readonly changed = () => {
    const met = this.#watchers.filter(({ is }) => is())
    this.#watchers = this.#watchers.filter((watcher) => !met.includes(watcher))
    for (const { done } of met) Deferred.doneUnsafe(done, Effect.void)
  }

  until(is: () => boolean): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (is()) return Effect.void
      const done = Deferred.makeUnsafe<void>()
      this.#watchers.push({ is, done })
      return Deferred.await(done)
    })
  }

  chat(id: number): Array<Shown> {
    const known = this.chats.get(id) ?? []
    this.chats.set(id, known)
    return known
  }

  nextMessage(): number {
    return ++this.#message
  }

  push(update: Json): number {
    const number = ++this.#update
    const numbered = { update_id: number, ...update }
    this.sent.set(number, numbered)
    this.updates.push(numbered)
    this.#held?.(false)
    this.changed()
    return number
  }

  again(number: number): void {
    const update = this.sent.get(number)
    if (update === undefined || this.updates.includes(update)) return
    this.updates.push(update)
    this.updates.sort((one, other) => one.update_id - other.update_id)
    this.#held?.(false)
    this.changed()
  }

  /** Forgets what is acknowledged. */
  confirm(params: Json): void {
    const offset = Number(params["offset"] ?? 0)
    for (const update of this.updates.filter(({ update_id }) => update_id < offset)) {
      this.updates.splice(this.updates.indexOf(update), 1)
    }
    this.changed()
  }

  getUpdates(params: Json, response: http.ServerResponse, answer: (result: unknown) => void): void {
    this.#held?.(true)
    if (this.hook !== undefined) {
      return answer(new Refusal(409, "Conflict: can't use getUpdates method while webhook is active"))
    }
    this.confirm(params)
    const page = () => this.updates.slice(0, Number(params["limit"] ?? 100))
    if (page().length > 0) return answer(page())
    const timer = setTimeout(() => this.#held?.(false), Number(params["timeout"] ?? 0) * 1000)
    const over = () => {
      clearTimeout(timer)
      if (this.#held === wake) this.#held = undefined
    }
    const wake = (conflict: boolean) => {
      over()
      answer(
        conflict
          ? new Refusal(409, "Conflict: terminated by other getUpdates request; make sure that only one bot is running")
          : page()
      )
    }
    this.#held = wake
    response.on("close", over)
  }

  send(params: Json): unknown {
    const text = wordsOf(params, "text")
    if (text.trim() === "") return bad("message text is empty")
    if (text.length > 4096) return bad("message is too long")
    const message: Shown = {
      id: this.nextMessage(),
      chat: Number(params["chat_id"]),
      thread: params["message_thread_id"] === undefined ? undefined : Number(params["message_thread_id"]),
      text,
      entities: (params["entities"] ?? []) as ReadonlyArray<Json>,
      buttons: buttonsOf(params),
      edits: 0
    }
    this.chat(message.chat).push(message)
    this.#touched = message
    return { message_id: message.id, date: 1_700_000_000, chat: { id: message.chat, type: "private" }, text }
  }

  edit(params: Json): unknown {
    const message = this.chat(Number(params["chat_id"])).find(({ id }) => id === params["message_id"])
    const text = wordsOf(params, "text")
    const entities = (params["entities"] ?? []) as ReadonlyArray<Json>
    const buttons = buttonsOf(params)
    if (message === undefined) return bad("message to edit not found")
    if (text.trim() === "") return bad("message text is empty")
    if (text.length > 4096) return bad("message is too long")
    const same =
      message.text === text &&
      JSON.stringify([message.entities, message.buttons]) === JSON.stringify([entities, buttons])
    this.#touched = message
    if (same) return bad("message is not modified: specified new message content and reply markup are exactly the same")
    Object.assign(message, { text, entities, buttons, edits: message.edits + 1 })
    return { message_id: message.id, date: 1_700_000_000, chat: { id: message.chat, type: "private" }, text }
  }

  /** A text message becomes a document, or another one. */
  editMedia(params: Json): unknown {
    const message = this.chat(Number(params["chat_id"])).find(({ id }) => id === Number(params["message_id"]))
    const media = JSON.parse(wordsOf(params, "media")) as { readonly media: string; readonly caption?: string }
    if (message === undefined) return bad("message to edit not found")
    if ((media.caption ?? "").length > 1024) return bad("message caption is too long")
    Object.assign(message, { text: media.caption ?? "", buttons: [], edits: message.edits + 1, file: params["file"] })
    this.#touched = message
    return { message_id: message.id, date: 1_700_000_000, chat: { id: message.chat, type: "private" } }
  }

  /** A new message with a document. */
  sendDocument(params: Json): unknown {
    const caption = wordsOf(params, "caption")
    if (caption.length > 1024) return bad("message caption is too long")
    const sent = this.send({ ...params, text: caption === "" ? "(file)" : caption })
    const last = this.chat(Number(params["chat_id"])).at(-1)
    if (last !== undefined) Object.assign(last, { file: params["document"] })
    return sent
  }

  /** The buttons under a message go, or others come. */
  editButtons(params: Json): unknown {
    const message = this.chat(Number(params["chat_id"])).find(({ id }) => id === params["message_id"])
    if (message === undefined) return bad("message to edit not found")
    const buttons = buttonsOf(params)
    if (JSON.stringify(buttons) === JSON.stringify(message.buttons)) return bad("message is not modified")
    Object.assign(message, { buttons })
    return true
  }

  /** Does what is asked for; `answered` is to hear whether the bot was told of it. */
  perform(call: Call): { readonly result: unknown; readonly answered: (told: boolean) => void } {
    this.#touched = undefined
    const result = this.#act(call)
    const answered = this.#touched === undefined ? undefined : this.witness?.shown(this.#touched, call)
    return { result, answered: answered ?? (() => undefined) }
  }

  #act({ method, params }: Call): unknown {
    switch (method) {
      case "setWebhook":
        this.hook = { url: wordsOf(params, "url"), secret: wordsOf(params, "secret_token") }
        return true
      case "deleteWebhook":
        this.hook = undefined
        return true
      case "editMessageReplyMarkup":
        return this.editButtons(params)
      case "getMe":
        return { id: 4711, is_bot: true, first_name: "Sluice", username: "sluice_bot" }
      case "getWebhookInfo":
        return { url: this.hook?.url ?? "", has_custom_certificate: false, pending_update_count: this.updates.length }
      case "sendMessage":
        return this.send(params)
      case "editMessageText":
        return this.edit(params)
      case "editMessageMedia":
        return this.editMedia(params)
      case "sendDocument":
        return this.sendDocument(params)
      case "getFile": {
        const file = this.files.get(wordsOf(params, "file_id"))
        if (file === undefined) return bad("wrong file_id or the file is temporarily unavailable")
        if (file.path === "too big") return bad("file is too big")
        return {
          file_id: wordsOf(params, "file_id"),
          file_size: file.bytes.length,
          file_path: `files/${wordsOf(params, "file_id")}`
        }
      }
      default:
        return true
    }
  }

  fate(method: string): Fate {
    const always = this.always.get(method) ?? "answer"
    return this.fates.get(method)?.shift() ?? (typeof always === "function" ? always() : always)
  }
}
