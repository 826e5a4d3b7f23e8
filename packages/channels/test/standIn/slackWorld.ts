/**
 * What Slack knows in the tests: its channels as people see them, the files that it
 * keeps, and the fates of requests.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

export type Json = { readonly [key: string]: unknown }

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
  /** Refused with Slack's word for why, or with a status and nothing that can be read. */
  | { readonly refuse: string; readonly retryAfter?: number; readonly status?: number }
  | { readonly status: number }
  /** It waits for the gate before it goes on. */
  | { readonly gate: Deferred.Deferred<void>; readonly then?: Fate }

/** A request of the app's. */
export interface Call {
  readonly method: string
  readonly params: { readonly [name: string]: string }
}

/** A message that the app has posted, as a person sees it now. */
export interface Shown {
  readonly ts: string
  readonly channel: string
  readonly thread: string | undefined
  text: string
  blocks: ReadonlyArray<Json>
  edits: number
  files: ReadonlyArray<{ readonly name: string; readonly text: string }>
}

/** A refusal, in Slack's word for it. */
export class Refusal {
  readonly error: string
  constructor(error: string) {
    this.error = error
  }
}

interface Kept {
  name: string
  text: string
  readonly mine: boolean
}

const blocksOf = (params: Call["params"]): ReadonlyArray<Json> =>
  JSON.parse(params["blocks"] ?? "[]") as ReadonlyArray<Json>

interface Button {
  readonly text: { readonly text: string }
  readonly value: string
  readonly action_id: string
}

/** The buttons under a message. */
export const buttonsOf = ({ blocks }: Pick<Shown, "blocks">): ReadonlyArray<Button> =>
  blocks.flatMap(({ elements, type }) => (type === "actions" ? (elements as ReadonlyArray<Button>) : []))

/** What Slack knows. */
export class World {
  readonly calls: Array<Call> = []
  readonly channels = new Map<string, Array<Shown>>()
  readonly fates = new Map<string, Array<Fate>>()
  readonly always = new Map<string, Fate | (() => Fate)>()
  readonly archived = new Set<string>()
  readonly reactions = new Set<string>()
  readonly kept = new Map<string, Kept>()
  scopes = "chat:write,files:read,files:write,im:history,app_mentions:read,reactions:write"
  /** Where the stand-in listens. */
  url = ""
  #watchers: Array<{ readonly is: () => boolean; readonly done: Deferred.Deferred<void> }> = []
  #time = 0

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

  channel(id: string): Array<Shown> {
    const known = this.channels.get(id) ?? []
    this.channels.set(id, known)
    return known
  }

  nextTs(): string {
    return `1700000000.${String(++this.#time).padStart(6, "0")}`
  }

  fate(method: string): Fate {
    const always = this.always.get(method) ?? "answer"
    return this.fates.get(method)?.shift() ?? (typeof always === "function" ? always() : always)
  }

  #wrong(params: Call["params"]): Refusal | undefined {
    const { channel = "", text = "" } = params
    if (!/^[CDG][A-Z0-9]+$/.test(channel)) return new Refusal("channel_not_found")
    if (this.archived.has(channel)) return new Refusal("is_archived")
    if (text.trim() === "") return new Refusal("no_text")
    if (text.length > 4000) return new Refusal("msg_too_long")
    const sections = blocksOf(params).map(({ text }) => (text as { readonly text?: string } | undefined)?.text ?? "")
    return sections.some((section) => section.length > 3000) ? new Refusal("invalid_blocks") : undefined
  }

  #post(params: Call["params"]): unknown {
    const wrong = this.#wrong(params)
    if (wrong !== undefined) return wrong
    const { channel = "", text = "" } = params
    const message: Shown = {
      ts: this.nextTs(),
      channel,
      thread: params["thread_ts"],
      text,
      blocks: blocksOf(params),
      edits: 0,
      files: []
    }
    this.channel(channel).push(message)
    return { channel, ts: message.ts, message: { text, ts: message.ts } }
  }

  #update(params: Call["params"]): unknown {
    const wrong = this.#wrong(params)
    if (wrong !== undefined) return wrong
    const { channel = "", text = "", ts } = params
    const message = this.channel(channel).find((one) => one.ts === ts)
    if (message === undefined) return new Refusal("message_not_found")
    const ids = JSON.parse(params["file_ids"] ?? "[]") as ReadonlyArray<string>
    const files = ids.map((id) => this.kept.get(id)).filter((file) => file !== undefined)
    if (files.length < ids.length) return new Refusal("file_not_found")
    Object.assign(message, { text, blocks: blocksOf(params), edits: message.edits + 1 })
    if (ids.length > 0) message.files = files.map(({ name, text }) => ({ name, text }))
    return { channel, ts, text }
  }

  #react(params: Call["params"], on: boolean): unknown {
    const key = `${params["channel"]}/${params["timestamp"]}/${params["name"]}`
    if (this.reactions.has(key) === on) return new Refusal(on ? "already_reacted" : "no_reaction")
    if (on) this.reactions.add(key)
    else this.reactions.delete(key)
    return {}
  }

  #uploadTo(params: Call["params"]): unknown {
    const id = `F${this.kept.size + 1}`
    this.kept.set(id, { name: params["filename"] ?? "", text: "", mine: true })
    return { file_id: id, upload_url: `${this.url}/upload/${id}` }
  }

  #complete(params: Call["params"]): unknown {
    const [{ id = "", title = "" } = {}] = JSON.parse(params["files"] ?? "[]") as ReadonlyArray<Record<string, string>>
    const file = this.kept.get(id)
    if (file === undefined) return new Refusal("file_not_found")
    file.name = title
    const { channel_id, initial_comment = "", thread_ts } = params
    if (channel_id !== undefined) {
      this.#post({ channel: channel_id, text: initial_comment, ...(thread_ts === undefined ? {} : { thread_ts }) })
      const last = this.channel(channel_id).at(-1)
      if (last !== undefined) last.files = [{ name: file.name, text: file.text }]
    }
    return { files: [{ id, title }] }
  }

  perform({ method, params }: Call): unknown {
    switch (method) {
      case "auth.test":
        return {
          url: "https://acme.slack.com/",
          team: "Acme",
          user: "sluice",
          team_id: "T1",
          user_id: "UBOT",
          bot_id: "BBOT"
        }
      case "chat.postMessage":
        return this.#post(params)
      case "chat.update":
        return this.#update(params)
      case "reactions.add":
      case "reactions.remove":
        return this.#react(params, method === "reactions.add")
      case "files.getUploadURLExternal":
        return this.#uploadTo(params)
      case "files.completeUploadExternal":
        return this.#complete(params)
      default:
        return new Refusal("unknown_method")
    }
  }
}
