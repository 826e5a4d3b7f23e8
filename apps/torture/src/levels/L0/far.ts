/**
 * The far sides of the channels, one for each delivery class, which outlive every
 * gateway. A request is lost before it leaves, on its way, or on its way back; it
 * comes late, twice, or is asked to wait; and a gateway that dies while one is on
 * its way never learns whether it arrived. What is shown is written down.
 */
import * as Channel from "@sluice/runtime/Channel"
import type { Conversation, Reply } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import type { Deliver, DeliveryClass } from "../../history/Operation.ts"
import type { History } from "./history.ts"
import type { Life } from "./Life.ts"
import type { Fate } from "./plan.ts"
import type { Random } from "./random.ts"
import { type Shown, Texts } from "./texts.ts"
import { outside, type Time } from "./time.ts"

/** What the far sides need of the world. */
export interface Surroundings {
  readonly time: Time
  readonly history: History
  readonly random: Random
  /** How often a request meets trouble that nobody planned. */
  readonly weather: () => number
  /** What the history calls a message. */
  readonly named: (id: string, conversation: string) => string
  /** Somebody sees a text. */
  readonly seen: (channel: DeliveryClass, peer: string, text: string) => void
}

interface Request {
  readonly arrive: () => string
  /** What the gateway learns of it, or that it learns nothing. */
  readonly tell: (phase: "ok" | "info" | "fail", remoteId: string, failure?: "unsent" | "refused") => void
}

interface Flight {
  readonly life: Life
  /** Nobody knows any more whether it arrives: it does, or it does not. */
  readonly lose: () => void
}

const troubles = ["slow", "drop", "lose", "lose-answer", "duplicate", "throttle"] as const

export class FarSides {
  readonly #around: Surroundings
  readonly #planned = new Map<DeliveryClass, Array<Fate>>()
  readonly #keys = new Map<string, string>()
  #flights = new Set<Flight>()
  #ids = 0
  readonly #texts: Texts

  constructor(around: Surroundings) {
    this.#around = around
    this.#texts = new Texts(around.named)
  }

  /** Fates of the next requests to this channel. */
  plan(channel: DeliveryClass, fates: ReadonlyArray<Fate>): void {
    this.#planned.set(channel, [...(this.#planned.get(channel) ?? []), ...fates])
  }

  mend(): void {
    this.#planned.clear()
  }

  /** Requests that nobody has answered. */
  get busy(): boolean {
    return this.#flights.size > 0
  }

  /** What was on its way when a process died has arrived, or has not. */
  gone(life: Life): void {
    for (const flight of this.#flights) {
      if (flight.life !== life) continue
      this.#flights.delete(flight)
      flight.lose()
    }
  }

  #fate(channel: DeliveryClass): Fate {
    const planned = this.#planned.get(channel)?.shift()
    if (planned !== undefined) return planned
    const { random, weather } = this.#around
    return random.chance(weather()) ? random.pick(troubles) : "answer"
  }

  #tell(channel: DeliveryClass, peer: string, phase: Deliver["phase"], shown: Shown): void {
    this.#around.history.tell({
      op: "deliver",
      phase,
      by: "far side",
      channel,
      class: channel,
      conversation: `${channel}/${peer}`,
      ...shown
    })
  }

  /** A request on its way. `arrive` is what the far side does with it, and says what it is called there. */
  #request(life: Life, channel: DeliveryClass, fate: Fate, { arrive, tell }: Request) {
    return Effect.callback<{ readonly remoteId: string }, Channel.DeliveryError>((resume) => {
      if (life.dead) return
      const { random, time } = this.#around
      let remoteId: string | undefined
      const land = () => (remoteId ??= arrive())
      const lost = () => tell(remoteId === undefined ? "fail" : "info", remoteId ?? "")
      const lose = () => {
        if (fate !== "lose" && random.chance(0.5)) land()
        if (remoteId === undefined) lost()
      }
      const flight: Flight = { life, lose }
      this.#flights.add(flight)
      const later = (millis: number, then: () => void) =>
        time.timer(outside, millis, () => {
          if (this.#flights.has(flight)) then()
        })
      const fail = (error: Channel.DeliveryError) => {
        if (this.#flights.delete(flight)) resume(Effect.fail(error))
      }
      const answer = () => {
        if (!this.#flights.delete(flight)) return
        tell("ok", land())
        resume(Effect.succeed({ remoteId: land() }))
      }
      const unknown = () => {
        lost()
        fail(new Channel.Unknown({ cause: "no answer" }))
      }
      const throttled = (scope: "conversation" | "channel") =>
        fail(new Channel.Throttled({ retryAfter: random.int(1, 9000), scope }))
      const fates: Record<Fate, () => unknown> = {
        answer: () => {
          land()
          return random.chance(0.7) ? answer() : later(random.int(1, 40), answer)
        },
        slow: () =>
          later(random.int(1, 3000), () => {
            land()
            later(random.int(1, 3000), answer)
          }),
        duplicate: () => {
          land()
          if (channel === "keyed") arrive()
          answer()
        },
        "lose-answer": () => {
          land()
          later(random.int(0, 2000), unknown)
        },
        lose: () => later(random.int(0, 2000), unknown),
        hang: () => random.chance(0.5) && land(),
        throttle: () => throttled("conversation"),
        "throttle-all": () => throttled("channel"),
        drop: () => {
          tell("fail", "", "unsent")
          fail(new Channel.NotSent({ cause: "no route" }))
        },
        defect: () => {
          lost()
          if (this.#flights.delete(flight)) resume(Effect.die(new Error("undefined is not a function")))
        },
        refuse: () => {
          tell("fail", "", "refused")
          fail(new Channel.Refused({ reason: "chat not found" }))
        }
      }
      fates[fate]()
      return Effect.sync(() => {
        if (!this.#flights.delete(flight)) return
        if (remoteId === undefined) lose()
        else lost()
      })
    })
  }

  /** How this class delivers, for one process. */
  delivery(life: Life, channel: DeliveryClass): Channel.Delivery {
    const request = (
      peer: string,
      kind: "new" | "edit",
      remote: string | undefined,
      text: string,
      reply: Reply | undefined
    ) =>
      Effect.suspend(() => {
        if (life.dead) return Effect.never
        const fate = this.#fate(channel)
        const own = remote ?? `${channel}${++this.#ids}`
        const shown = this.#texts.describe(kind, own, text, reply)
        const arrive = () => {
          const known = channel === "keyed" && shown.key !== undefined ? this.#keys.get(shown.key) : undefined
          if (known !== undefined) return known
          if (shown.key !== undefined) this.#keys.set(shown.key, own)
          this.#tell(channel, peer, "invoke", shown)
          this.#around.seen(channel, peer, text)
          return own
        }
        return this.#request(life, channel, fate, {
          arrive,
          tell: (phase, remoteId, failure) =>
            this.#tell(channel, peer, phase, { ...shown, remoteId, ...(failure === undefined ? {} : { failure }) })
        })
      })
    const deliver = (reply: Reply) => request(reply.conversation.peer, "new", undefined, reply.text, reply)
    switch (channel) {
      case "pull":
        return Channel.pull
      case "keyed":
        return Channel.keyed(deliver)
      case "resend-once":
      case "hold":
        return Channel.ambiguous(channel, deliver)
      case "edit":
        return Channel.edit({
          place: ({ peer }: Conversation, text) => request(peer, "new", undefined, text, undefined),
          edit: (remote, reply) => request(reply.conversation.peer, "edit", remote, reply.text, reply),
          progress: (remote, { peer }, text) => Effect.asVoid(request(peer, "edit", remote, text, undefined))
        })
    }
  }

  /** A reader of a channel that is pulled got a reply. */
  pulled(peer: string, reply: Reply): void {
    const { key: _, ...shown } = this.#texts.describe("pull", String(reply.number), reply.text, reply)
    this.#tell("pull", peer, "ok", shown)
    this.#around.seen("pull", peer, reply.text)
  }
}
