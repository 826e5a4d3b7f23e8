/**
 * The other side of the channels that send, in the harness's process, so that its
 * record is not the gateway's and outlives it. It gives what people wrote, from the
 * place on that the gateway has confirmed, shows what it is told to, and writes both
 * to the history. What becomes of a request is decided by `fate`: answered, lost on
 * the way there, lost on the way back, late, done twice, or asked to wait.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { readFileSync } from "node:fs"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import process from "node:process"
import type { History } from "../history/writer.mjs"
import { classes, type FarChannel, type Showing, type Update } from "./channels.ts"
import { toldBy } from "./sayings.ts"

/** What becomes of a request to show something. `twice`: the network delivers it again (not where nothing tells it apart). */
/** `broken` and `garbage`: shown, and the answer is a 500 or no sense; `never`: shown, and answered by nobody until `letGo`. */
export type Fate =
  | { readonly is: "broken" | "garbage" | "never" }
  | { readonly is: "answer" | "lost" | "unanswered" | "twice" }
  | { readonly is: "late"; readonly millis: number }
  | { readonly is: "throttle"; readonly millis: number }

/** Decides about each request. */
export type Fates = (channel: FarChannel, showing: Showing) => Fate

/** Nothing goes wrong. */
export const kind: Fates = () => ({ is: "answer" })

/** Something goes wrong in about one of `each` requests, as `random` has it. */
export const unkind =
  (random: () => number, each: number): Fates =>
  () => {
    if (random() * each >= 1) return { is: "answer" }
    const dice = random()
    if (dice < 0.2) return { is: "lost" }
    if (dice < 0.4) return { is: "unanswered" }
    if (dice < 0.6) return { is: "late", millis: Math.ceil(random() * 250) }
    return dice < 0.8 ? { is: "twice" } : { is: "throttle", millis: Math.ceil(random() * 200) }
  }

/** The far sides of all channels. */
export interface Far {
  readonly url: string
  /** May be exchanged at any time. */
  fate: Fates
  /** Somebody writes. Completes when the gateway has confirmed it. */
  readonly write: (channel: FarChannel, peer: string, id: string, text: string) => Effect.Effect<void>
  /** What was shown, by the ids of messages that it answers. */
  readonly answered: ReadonlySet<string>
  /** Everything that was written and not confirmed. */
  readonly unconfirmed: () => number
  /** Requests that nobody would ever answer lose their connection. */
  readonly letGo: () => void
}

/** One channel's other side. */
class Side {
  readonly name: FarChannel
  readonly history: History
  readonly answered: Set<string>
  readonly updates: Array<Update> = []
  confirmed = 0
  readonly #keys = new Map<string, string>()
  readonly #waiting = new Set<() => void>()
  readonly #confirmations = new Map<number, () => void>()
  #last = 0

  constructor(name: FarChannel, history: History, answered: Set<string>) {
    this.name = name
    this.history = history
    this.answered = answered
  }

  write(peer: string, id: string, text: string, confirmed: () => void): void {
    const update = this.updates.length
    this.updates.push({ update, peer, id, text })
    this.#confirmations.set(update, confirmed)
    for (const wake of this.#waiting) wake()
  }

  /** The page behind an offset, which confirms everything before it; waits for one. */
  page(offset: number, respond: (updates: ReadonlyArray<Update>) => void): () => void {
    while (this.confirmed < offset) {
      const update = this.confirmed++
      this.#confirmations.get(update)?.()
      this.#confirmations.delete(update)
    }
    const wake = () => {
      if (this.updates.length === this.confirmed) return
      this.#waiting.delete(wake)
      respond(this.updates.slice(this.confirmed, this.confirmed + 16))
    }
    this.#waiting.add(wake)
    wake()
    return () => void this.#waiting.delete(wake)
  }

  /** A request that is lost before anything is shown. */
  lost({ inReplyTo, key, kind, peer, remoteId, text }: Showing): void {
    const reply = { ...(kind === undefined ? {} : { kind }), ...(inReplyTo === undefined ? {} : { inReplyTo }) }
    this.history.append({
      op: "deliver",
      phase: "fail",
      by: `far ${this.name}`,
      channel: this.name,
      class: classes[this.name],
      conversation: `${this.name}/${peer}`,
      kind: remoteId === undefined ? "new" : "edit",
      remoteId: "",
      ...(key === undefined ? {} : { key }),
      ...toldBy(text, reply)
    })
  }

  /** Shows something; returns its id and what is written when the answer has left. */
  show(showing: Showing): { readonly remoteId: string; readonly ended: (phase: "ok" | "info") => void } {
    const { act, inReplyTo, key, kind, peer, text } = showing
    const known = key === undefined || act !== "send" ? undefined : this.#keys.get(key)
    const remoteId = showing.remoteId ?? known ?? String(++this.#last)
    if (act === "send" && key !== undefined) this.#keys.set(key, remoteId)
    const reply = { ...(kind === undefined ? {} : { kind }), ...(inReplyTo === undefined ? {} : { inReplyTo }) }
    const said = act === "place" || act === "progress" ? { what: "placeholder" as const, ids: [] } : toldBy(text, reply)
    for (const id of said.ids) this.answered.add(id)
    const line = {
      op: "deliver",
      by: `far ${this.name}`,
      channel: this.name,
      class: classes[this.name],
      conversation: `${this.name}/${peer}`,
      kind: showing.remoteId === undefined ? "new" : "edit",
      remoteId,
      ...(key === undefined ? {} : { key }),
      ...said
    } as const
    this.history.append({ ...line, phase: "invoke" })
    return { remoteId, ended: (phase) => void this.history.append({ ...line, phase }) }
  }
}

const json = (response: ServerResponse, status: number, body: unknown): void => {
  const text = JSON.stringify(body)
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) })
  response.end(text)
}

/** Whether a process is there; a zombie hears nothing. */
export const lives = (pid: number): boolean => {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "latin1"))
  } catch {
    return false
  }
}

/** Shows what is asked for as fate has it. */
const deliver = (
  side: Side,
  showing: Showing,
  fate: Fate,
  response: ServerResponse,
  silent: Set<ServerResponse>
): void => {
  if (fate.is === "lost") {
    side.lost(showing)
    return void response.destroy()
  }
  if (fate.is === "throttle") return json(response, 429, { retryAfter: fate.millis })
  const { ended, remoteId } = side.show(showing)
  // Nothing tells a second plain send from a first one, so only what has a key or an id comes twice.
  const tellsApart = showing.key !== undefined || showing.remoteId !== undefined
  if (fate.is === "twice" && tellsApart) side.show(showing).ended("info")
  if (fate.is === "broken" || fate.is === "garbage" || fate.is === "never") {
    ended("info")
    if (fate.is === "broken") json(response, 500, { type: "broken" })
    else if (fate.is === "garbage") response.writeHead(200, { "content-type": "text/html" }).end("<html>\u0000</ht")
    else silent.add(response)
    return
  }
  const answer = () => {
    // A gateway that was killed meanwhile is told nothing. On a busy machine its request is read long after that.
    if (fate.is === "unanswered" || response.destroyed || !lives(showing.from ?? process.pid)) {
      ended("info")
      return void response.destroy()
    }
    ended("ok")
    json(response, 200, { remoteId })
  }
  if (fate.is === "late") setTimeout(answer, fate.millis)
  else answer()
}

const read = (request: IncomingMessage, then: (body: unknown) => void): void => {
  const parts: Array<Buffer> = []
  request.on("data", (part: Buffer) => parts.push(part))
  request.on("end", () => then(JSON.parse(Buffer.concat(parts).toString("utf8"))))
  // A gateway that is killed while it writes has asked nothing.
  request.on("error", () => undefined)
}

/** Opens the far sides. */
export const open = (history: History, fates: Fates = kind): Effect.Effect<Far, never, Scope.Scope> => {
  const answered = new Set<string>()
  const side = (name: FarChannel) => new Side(name, history, answered)
  const sides: Record<FarChannel, Side> = {
    keyed: side("keyed"),
    edit: side("edit"),
    resend: side("resend"),
    hold: side("hold")
  }
  const far: { fate: Fates } = { fate: fates }
  const silent = new Set<ServerResponse>()
  const server = createServer((request, response) => {
    const [, what, name = ""] = (request.url ?? "").split("/")
    const side = sides[name as FarChannel]
    read(request, (body) => {
      if (what === "deliver") {
        const showing = body as Showing
        return deliver(side, showing, far.fate(side.name, showing), response, silent)
      }
      const { offset } = body as { readonly offset: number }
      response.on(
        "close",
        side.page(offset, (updates) => json(response, 200, { updates }))
      )
    })
  })
  // A gateway keeps its connections as long as it likes: whoever closes first would lose a request.
  server.keepAliveTimeout = 0
  server.requestTimeout = 0
  return Effect.acquireRelease(
    Effect.callback<Far>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        const found: Far = Object.assign(far, {
          url: `http://127.0.0.1:${port}`,
          write: (channel: FarChannel, peer: string, id: string, text: string) =>
            Effect.callback<void>((resume) => sides[channel].write(peer, id, text, () => resume(Effect.void))),
          answered,
          letGo: () => {
            for (const response of silent) response.destroy()
            silent.clear()
          },
          unconfirmed: () => Object.values(sides).reduce((sum, one) => sum + one.updates.length - one.confirmed, 0)
        })
        resume(Effect.succeed(found))
      })
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
}
