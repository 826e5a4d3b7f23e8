/**
 * The people and their clients. A client sends one message after the other and
 * repeats each with the same id until it has a receipt: after a lost answer, a
 * refusal that passes, or the death of the process that it asked. Readers of a
 * channel that is pulled keep their cursor. All of them outlive every gateway.
 */
import { type Accepted, type AcceptError, isPermanent } from "@sluice/runtime/Message"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { DeliveryClass } from "../../history/Operation.ts"
import type { FarSides } from "./far.ts"
import type { History } from "./history.ts"
import type { Life } from "./Life.ts"
import type { Plan, Talk } from "./plan.ts"
import type { Random } from "./random.ts"
import { outside, type Time } from "./time.ts"

interface Message {
  readonly id: string
  readonly n: number
  readonly text: string
  readonly command: boolean
  readonly unseen: boolean
  /** The host says it by itself. */
  readonly post: boolean
}

export interface Surroundings {
  readonly plan: Plan
  readonly time: Time
  readonly history: History
  readonly random: Random
  readonly weather: () => number
  readonly far: FarSides
  /** The process that can be reached now. */
  readonly life: () => Life | undefined
}

/** One client in one conversation. */
class Client {
  readonly waiting: Array<Message> = []
  readonly #around: Surroundings
  readonly #name: string
  readonly #channel: DeliveryClass
  readonly #peer: string
  #n = 0
  /** Whom it asked and has no answer of. */
  #asks: { readonly message: Message; readonly life: Life } | undefined
  #resting = false
  /** Refusals in a row: it asks less and less often. */
  #refusals = 0

  constructor(around: Surroundings, name: string, channel: DeliveryClass, peer: string) {
    this.#around = around
    this.#name = name
    this.#channel = channel
    this.#peer = peer
  }

  say(message: Omit<Message, "n">): void {
    this.waiting.push({ ...message, n: ++this.#n })
    this.pump()
  }

  #tell(message: Message, phase: "invoke" | "ok" | "fail" | "info", more: object = {}): void {
    this.#around.history.tell({
      op: "send",
      phase,
      by: this.#name,
      channel: this.#channel,
      // Nothing may ever be shown there: a crash at the first request is all that there was.
      class: this.#channel,
      conversation: `${this.#channel}/${this.#peer}`,
      id: message.id,
      n: message.n,
      ...(message.command ? { command: true } : {}),
      ...(message.unseen ? { unseen: true } : {}),
      ...(message.post ? { post: true } : {}),
      ...(message.text === "/retry" ? { retry: true } : {}),
      ...more
    })
  }

  /** Asks again after a while. */
  #rest(millis: number): void {
    this.#asks = undefined
    this.#resting = true
    this.#around.time.timer(outside, millis, () => {
      this.#resting = false
      this.pump()
    })
  }

  /** Its answer never comes. */
  gone(life: Life): void {
    if (this.#asks?.life !== life) return
    this.#tell(this.#asks.message, "info", { why: "the gateway is gone" })
    this.#asks = undefined
  }

  /** Sends what comes next, if nothing is on its way. */
  pump(): void {
    const [message] = this.waiting
    const { life: current, random, time, weather } = this.#around
    const life = current()
    if (message === undefined || this.#asks !== undefined || this.#resting || life === undefined) return
    const request = this.#request(life, message)
    if (request === undefined) return
    const asks = { message, life }
    this.#asks = asks
    const fiber = this.#accept(life, request, message, (ended) => {
      if (this.#asks === asks) ended()
    })
    if (random.chance(weather())) {
      // The same again, beside the first: a network that repeats, or an impatient client.
      this.#accept(life, request, message, () => {})
    }
    if (random.chance(weather() / 2)) {
      time.task(life, () => {
        if (this.#asks !== asks) return
        fiber.interruptUnsafe()
        if (this.#asks !== asks) return
        this.#tell(message, "info", { why: "the client left" })
        this.#rest(random.int(1, 3000))
      })
    }
  }

  /** How it is handed in; nothing when this process takes nothing yet. */
  #request(life: Life, { id, post, text }: Message): Effect.Effect<Accepted, AcceptError> | undefined {
    const handle = life.handles.get(this.#channel)
    if (post) return life.post(this.#channel, this.#peer, { id, text })
    return handle?.accept({ conversation: this.#peer, sender: this.#name, id, text })
  }

  /** One request; `decide` is given what follows for the client, if it still waits for this answer. */
  #accept(
    life: Life,
    request: Effect.Effect<Accepted, AcceptError>,
    message: Message,
    decide: (ended: () => void) => void
  ) {
    const { random, weather } = this.#around
    this.#tell(message, "invoke")
    return life.fork(request, (exit): void => {
      if (Exit.isSuccess(exit)) {
        const { duplicate, seq } = exit.value
        const lost = random.chance(weather())
        if (lost) this.#tell(message, "info", { why: "the answer was lost" })
        else this.#tell(message, "ok", message.post ? { duplicate } : { seq, duplicate })
        return decide(() => {
          if (lost) return this.#rest(random.int(1, 3000))
          this.#asks = undefined
          this.#refusals = 0
          this.waiting.shift()
          this.pump()
        })
      }
      const error = Cause.findErrorOption(exit.cause)
      if (error._tag === "Some" && isPermanent(error.value)) {
        this.#tell(message, "fail", { why: error.value._tag })
        return decide(() => {
          this.#asks = undefined
          this.waiting.shift()
          this.pump()
        })
      }
      // Who left has said so.
      if (Cause.hasInterruptsOnly(exit.cause)) return decide(() => this.#rest(1000))
      this.#tell(message, "info", { why: error._tag === "Some" ? error.value._tag : "defect" })
      const wait = error._tag === "Some" && "retryAfter" in error.value ? error.value.retryAfter : 1000
      decide(() => this.#rest(Math.min(Math.max(wait, 1) * 2 ** this.#refusals++, 120_000)))
    })
  }
}

/** Who speaks in a conversation. */
const names = { 0: "", 1: "'s other device", 2: "'s button", 3: "'s host" } as const

export class People {
  readonly #around: Surroundings
  readonly #clients = new Map<string, Client>()
  readonly #cursors = new Map<string, number>()
  readonly #reading = new Map<string, Fiber.Fiber<unknown, unknown>>()

  constructor(around: Surroundings) {
    this.#around = around
  }

  #client(talk: Talk, which: keyof typeof names): Client {
    const key = `${talk.channel}/${talk.peer}/${which}`
    const known = this.#clients.get(key)
    if (known !== undefined) return known
    const client = new Client(this.#around, `${talk.peer}${names[which]}`, talk.channel, talk.peer)
    this.#clients.set(key, client)
    return client
  }

  say(talk: number, client: 0 | 1 | 2, id: string, text: string, command: boolean): void {
    const known = this.#around.plan.talks[talk]
    if (known === undefined) return
    this.#client(known, client).say({ id, text, command, unseen: known.loose, post: false })
  }

  /** The host has something to say; nobody can stop that. */
  post(talk: number, id: string, text: string): void {
    const known = this.#around.plan.talks[talk]
    if (known === undefined) return
    this.#client(known, 3).say({ id, text, command: false, unseen: false, post: true })
  }

  /** Messages without a receipt. */
  get waiting(): number {
    let sum = 0
    for (const client of this.#clients.values()) sum += client.waiting.length
    return sum
  }

  /** Somebody can be reached through this channel again. */
  connected(): void {
    for (const client of this.#clients.values()) client.pump()
    for (const { channel, peer } of this.#around.plan.talks) if (channel === "pull") this.#read(peer)
  }

  /** Nobody can read any more; who reads comes back with the channel. */
  unread(): void {
    for (const fiber of this.#reading.values()) fiber.interruptUnsafe()
  }

  gone(life: Life): void {
    this.#reading.clear()
    for (const client of this.#clients.values()) client.gone(life)
  }

  /** Reads on from its cursor; now and then its connection breaks. */
  #read(peer: string): void {
    const { far, life: current, random, time, weather } = this.#around
    const life = current()
    const handle = life?.handles.get("pull")
    if (life === undefined || handle === undefined || this.#reading.has(peer)) return
    const read = handle.replies({ conversation: peer }, this.#cursors.get(peer) ?? 0).pipe(
      Stream.runForEach((reply) =>
        Effect.sync(() => {
          if (life.dead) return
          this.#cursors.set(peer, reply.number)
          far.pulled(peer, reply)
        })
      )
    )
    let ended = false
    // A journal that has failed ends it before it is here.
    const fiber = life.fork(read, () => {
      ended = true
      this.#reading.delete(peer)
      time.timer(outside, 1000, () => this.#read(peer))
    })
    // The process may have died of the very statement that this began with.
    if (ended || life.dead) return
    this.#reading.set(peer, fiber)
    if (random.chance(weather())) time.timer(life, random.int(1, 5000), () => fiber.interruptUnsafe())
  }
}
